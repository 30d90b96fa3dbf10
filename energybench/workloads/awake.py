"""Active idle: the device is awake and does next to nothing. GPUs only.

A GPU with a kernel in flight holds its clocks and its memory up, whatever the kernel computes, and draws more than one
that has nothing to do. One thread that watches the clock shows that power: a *fit* row with a launch and time
and no other count, so that the active power of the physical equation (power × time of calls that do work) is seen
without any work beside it. An idle row (`idle.py`) is a window without a call.

The CPU has no such row: a core is awake only by running instructions, so a spin loop measures the spin, which is work
that no count explains. What a CPU draws awake and without work is the idle window right after the work (`idle_power_w`
of each record).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from energybench.errors import UsageError
from energybench.records.op_counts import OpCounts
from energybench.workloads.workload import Runnable, Tally, Workload

if TYPE_CHECKING:
    from types import ModuleType

#: Every awake workload is named like this.
AWAKE_PREFIX = "awake/"


class _Waiting:
    def __init__(self, torch: ModuleType, cycles: int) -> None:
        self._sleep = torch.cuda._sleep
        self._cycles = cycles

    def run(self) -> None:
        """Enqueue the wait."""
        self._sleep(self._cycles)

    def is_finite(self) -> bool:
        """There is no output."""
        return True


@dataclass(frozen=True, slots=True)
class AwakeRecipe:
    """One launch that waits `cycles` of the SM clock in one thread."""

    cycles: int

    def tally(self) -> Tally:
        """A launch and nothing else."""
        return Tally(OpCounts(launches=1), "closed_form", parameters=0, operators=1)

    def issued_counts(self) -> OpCounts | None:
        """The kernel is torch's."""
        return None

    def build(self, device: str, threads: int | None, seed: int) -> Runnable:
        """Ready to wait. Raises UsageError on the CPU."""
        if not device.startswith("cuda"):
            raise UsageError(f"{device} has no active idle: awake, a core runs instructions; leave the row out")
        import torch

        return _Waiting(torch, self.cycles)


def awake_workload(cycles: int) -> Workload:
    """A GPU kept awake by one waiting thread, `cycles` of its clock a call."""
    return Workload(
        name=f"{AWAKE_PREFIX}c{cycles}",
        kernel_id="awake_forward_vendor_wait",
        family="probe",
        split="fit",
        kernel_class="probe",
        implementation="vendor",
        dtype="float32",
        recipe=AwakeRecipe(cycles),
        shape={"cycles": cycles},
        input_distribution="none",
    )
