"""`Workload`: one thing that a calibration runs, with its name, its counts and how to build it on a device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, Protocol

from energybench.records.op_counts import DTYPE_BYTES, OpCounts
from energybench.records.vocabulary import Caches, Family, Implementation, KernelClass, Split

#: The recorded distribution of every input: independent standard normal values. Values alone move the energy of a
#: large GEMM by tens of percent, so the distribution belongs to the workload.
INPUT_DISTRIBUTION: Final = "normal(0,1)"


@dataclass(frozen=True, slots=True)
class Tally:
    """What one call does.

    `counts`      on the compulsory basis
    `source`      ``counted``, ``closed_form`` or ``model``
    `parameters`  M of the document's equations [D1, D10], 0 for work without weights
    `operators`   operators run in one call [D3], 0 for idle
    `components`  FLOPs per part of a Transformer [D18]
    """

    counts: OpCounts
    source: str
    parameters: int
    operators: int
    components: Mapping[str, int] = field(default_factory=dict)


class Runnable(Protocol):
    """A workload that was built on a device."""

    def run(self) -> None:
        """One call; on a GPU it returns when the work is enqueued."""
        ...

    def is_finite(self) -> bool:
        """Whether every value of the last call's outputs is finite; waits for the device."""
        ...


class Recipe(Protocol):
    """How a workload is counted and built."""

    def tally(self) -> Tally:
        """Count one call without running it. Raises CountingError."""
        ...

    def issued_counts(self) -> OpCounts | None:
        """Counts with the traffic that the kernel's own loops ask for; None where the kernel is not ours."""
        ...

    def build(self, device: str, threads: int | None, seed: int) -> Runnable:
        """Allocate inputs on `device` and make the work ready to run."""
        ...


@dataclass(frozen=True)
class Workload:
    """One row of a design. `name` is stable: it identifies the row in records, seeds and a resumed run.

    `threads`  CPU threads it runs on, None for those of the run
    `caches`   whether each call finds its operands where the last call left them, or out of every cache
    """

    name: str
    kernel_id: str
    family: Family
    split: Split
    kernel_class: KernelClass
    implementation: Implementation
    dtype: str
    recipe: Recipe
    direction: str = "forward"
    network: str | None = None
    shape: Mapping[str, int] = field(default_factory=dict)
    input_distribution: str = INPUT_DISTRIBUTION
    threads: int | None = None
    caches: Caches = "hot"

    @cached_property
    def tally(self) -> Tally:
        """What one call does; counted when first asked for."""
        return self.recipe.tally()

    @property
    def is_idle(self) -> bool:
        return self.split == "idle"

    @property
    def parameters(self) -> int:
        return self.tally.parameters

    @property
    def operators(self) -> int:
        return self.tally.operators

    def counts(self) -> OpCounts:
        """Counts of one call on the compulsory basis."""
        return self.tally.counts

    def issued_counts(self) -> OpCounts | None:
        """Counts of one call on the issued basis, None where the kernel is not ours."""
        return self.recipe.issued_counts()

    def components(self) -> Mapping[str, int]:
        """FLOPs of one call per part of a Transformer [D18]."""
        return self.tally.components

    def needed_bytes(self, copies: int = 1) -> int:
        """Memory that building and running it may take on its device: a bound to refuse it by, not a measurement.

        Twice every tensor of every operator: the compulsory bytes hold each once for the operator that reads or writes
        it, which covers what training saves; a copy of another element type and the check of the outputs make two. To
        that come what libraries allocate beside the tensors: unfolded patches of a convolution, scores of an
        attention, gates of a recurrent layer. Each further copy of its operands (`Rotation`) adds the compulsory bytes.
        """
        counts = self.counts()
        return (1 + copies) * counts.bytes + DTYPE_BYTES[self.dtype] * self._workspace_elements(counts)

    def _workspace_elements(self, counts: OpCounts) -> int:
        shape = self.shape
        if self.kernel_class in ("conv", "depthwise") and "C_out" in shape:
            return counts.macs * shape.get("groups", 1) // shape["C_out"]  # N·OH·OW·C_in·KH·KW
        if self.kernel_class == "attention" and {"B", "Hn", "S"} <= set(shape):
            return 2 * shape["B"] * shape["Hn"] * shape["S"] ** 2
        if self.kernel_class == "rnn" and {"T", "B", "H"} <= set(shape):
            return 8 * shape["T"] * shape["B"] * shape["H"]
        return 0

    def build(self, device: str, *, threads: int | None = None, seed: int = 0) -> Runnable:
        """Make the work ready to run on `device`; the same seed gives the same inputs."""
        return self.recipe.build(device, threads, seed)
