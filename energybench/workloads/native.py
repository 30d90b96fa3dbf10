"""Rows that run our own kernels: convolution, GRU and attention over a sweep of shapes, and the calibration probes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from energybench.records.op_counts import OpCounts
from energybench.records.vocabulary import Family, KernelClass
from energybench.workloads.inputs import all_finite, normal_tensors
from energybench.workloads.workload import Runnable, Tally, Workload

if TYPE_CHECKING:
    from collections.abc import Callable

    from energybench.kernels import PreparedCall


class _NativeCall:
    def __init__(self, call: Callable[[], Any]) -> None:
        self._call = call
        self._output: Any = None

    def run(self) -> None:
        self._output = self._call()

    def is_finite(self) -> bool:
        return all_finite(self._output)


class _PreparedCall:
    def __init__(self, call: PreparedCall) -> None:
        self.run = call.run
        self._outputs = call.outputs

    def is_finite(self) -> bool:
        return all_finite(self._outputs)


@dataclass(frozen=True)
class NativeRecipe:
    """A kernel of `energybench.kernels` with its arguments.

    `arrays`      shapes of the positional array arguments, in the kernel's order
    `parameters`  which of them are weights (the M of the document's equations)
    `options`     the keyword arguments
    `variant`     the rung; named, for `auto` would differ between machines
    """

    kernel: str
    arrays: tuple[tuple[int, ...], ...]
    parameters: frozenset[int]
    options: Mapping[str, Any] = field(default_factory=dict)
    component: str | None = None
    variant: str = "naive"

    def _count(self, basis: Literal["compulsory", "issued"]) -> OpCounts:
        import numpy as np

        from energybench import kernels

        # Counts depend on shapes alone; `empty` leaves the memory untouched.
        arrays = [np.empty(shape, dtype=np.float32) for shape in self.arrays]
        return kernels.count(self.kernel, *arrays, basis=basis, variant=self.variant, **self.options)

    def tally(self) -> Tally:
        """Closed-form counts, which tests prove equal to the counting kernels."""
        counts = self._count("compulsory")
        return Tally(
            counts,
            "closed_form",
            parameters=sum(math.prod(self.arrays[i]) for i in self.parameters),
            operators=1,
            components={self.component: counts.flops} if self.component else {},
        )

    def issued_counts(self) -> OpCounts | None:
        """The traffic that the kernel's loops ask for."""
        return self._count("issued")

    def build(self, device: str, threads: int | None, seed: int) -> Runnable:
        """Inputs on the device and the call itself, prepared where it can be: windows pay for no check."""
        from energybench import kernels

        tensors = normal_tensors(self.arrays, dtype="float32", device=device, seed=seed)
        options = {**self.options, "variant": self.variant, "threads": threads}
        if device == "cpu":
            return _PreparedCall(kernels.prepare(self.kernel, *tensors, **options))
        function = getattr(kernels, self.kernel)
        return _NativeCall(lambda: function(*tensors, **options))


def _native(
    kernel: str,
    label: str,
    family: Family,
    kernel_class: KernelClass,
    shape: dict[str, int],
    recipe: NativeRecipe,
) -> Workload:
    return Workload(
        name=f"native/{kernel}/{label}",
        kernel_id=f"{kernel}_forward_{recipe.variant}_fp32",
        family=family,
        split="fit",
        kernel_class=kernel_class,
        implementation="native",
        dtype="float32",
        recipe=recipe,
        shape=shape,
    )


def native_conv2d(
    N: int, C_in: int, H: int, C_out: int, K: int, *, stride: int = 1, padding: int = 0, groups: int = 1
) -> Workload:
    """Our convolution of x[N, C_in, H, H] with w[C_out, C_in/groups, K, K] and a bias."""
    shape = {"N": N, "C_in": C_in, "H": H, "W": H, "C_out": C_out, "KH": K, "KW": K}
    shape.update(stride=stride, padding=padding, groups=groups)
    recipe = NativeRecipe(
        "conv2d",
        ((N, C_in, H, H), (C_out, C_in // groups, K, K), (C_out,)),
        frozenset({1, 2}),
        {"stride": stride, "padding": padding, "groups": groups},
    )
    label = f"n{N}c{C_in}h{H}o{C_out}k{K}s{stride}p{padding}g{groups}"
    return _native("conv2d", label, "cnn", "depthwise" if groups == C_in > 1 else "conv", shape, recipe)


def native_gru(T: int, B: int, I: int, H: int) -> Workload:  # noqa: E741 - the glossary's letter for the input size
    """Our GRU over x[T, B, I] with hidden size H."""
    recipe = NativeRecipe(
        "gru", ((T, B, I), (B, H), (3 * H, I), (3 * H, H), (3 * H,), (3 * H,)), frozenset({2, 3, 4, 5})
    )
    return _native("gru", f"t{T}b{B}i{I}h{H}", "rnn", "rnn", {"T": T, "B": B, "I": I, "H": H}, recipe)


def native_attention(B: int, Hn: int, S: int, D: int, *, causal: bool = False) -> Workload:
    """Our attention over q, k, v[B, Hn, S, D]."""
    recipe = NativeRecipe("attention", ((B, Hn, S, D),) * 3, frozenset(), {"causal": causal}, "self_attention")
    label = f"b{B}n{Hn}s{S}d{D}{'causal' if causal else ''}"
    shape = {"B": B, "Hn": Hn, "S": S, "D": D, "causal": int(causal)}
    return _native("attention", label, "transformer", "attention", shape, recipe)


def native_probe_fma(streams: int, steps: int) -> Workload:
    """MACs without memory traffic: 14·8 MACs a step in each stream. CPU only."""
    recipe = NativeRecipe("probe_fma", ((streams, 14, 8),), frozenset(), {"steps": steps})
    shape = {"streams": streams, "steps": steps}
    return _native("probe_fma", f"w{streams}k{steps}", "probe", "probe", shape, recipe)


def native_probe_stream(elements: int) -> Workload:
    """Bytes without arithmetic: a copy of `elements` by our own loop. CPU only."""
    recipe = NativeRecipe("probe_stream", ((elements,),), frozenset(), {"repeats": 1})
    return _native("probe_stream", f"e{elements}", "probe", "probe", {"elements": elements}, recipe)
