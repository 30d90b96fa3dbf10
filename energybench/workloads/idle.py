"""Idle rows: nothing runs, and what the meter shows is static power."""

from __future__ import annotations

from dataclasses import dataclass

from energybench.records.op_counts import OpCounts
from energybench.workloads.workload import Runnable, Tally, Workload


class _Nothing:
    def run(self) -> None:
        """Do nothing."""

    def is_finite(self) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class IdleRecipe:
    """No work: every count is zero."""

    def tally(self) -> Tally:
        """All zero."""
        return Tally(OpCounts(), "closed_form", parameters=0, operators=0)

    def issued_counts(self) -> OpCounts | None:
        """There is no kernel."""
        return None

    def build(self, device: str, threads: int | None, seed: int) -> Runnable:
        """A call that does nothing."""
        return _Nothing()


def idle_workload(index: int = 0) -> Workload:
    """A window in which nothing runs; `index` tells the idle rows of a design apart."""
    return Workload(
        name=f"idle/{index}",
        kernel_id="idle",
        family="probe",
        split="idle",
        kernel_class="idle",
        implementation="none",
        dtype="float32",
        recipe=IdleRecipe(),
        input_distribution="none",
    )
