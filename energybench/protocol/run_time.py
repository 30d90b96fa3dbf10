"""`RunTime`: what a run has spent of its budget and whether another row fits into the rest."""

from __future__ import annotations

from typing import Final

from energybench.meters.clock import Clock
from energybench.units import Nanosecond, Second, ns_to_s

#: Kept of the budget for writing the manifest and letting go of the device; to that comes as much as starting took,
#: which shows how much of a busy machine this process gets, up to a twentieth of the budget.
CLOSING_S: Final[Second] = 0.5
CLOSING_SHARE: Final = 0.05


def closing_s(budget_s: Second | None, starting_s: Second) -> Second:
    """What is kept of the budget for the end, where starting took `starting_s`."""
    return CLOSING_S if budget_s is None else CLOSING_S + min(starting_s, CLOSING_SHARE * budget_s)


class RunTime:
    """Time on the meter's clock, from where the budget began.

    Args:
        clock: The meter's.
        begin_ns: When the budget began.
        budget_s: The budget, None for no limit.
        starting_s: What starting took.
        row_s: What a row is planned to take.
    """

    def __init__(
        self, clock: Clock, begin_ns: Nanosecond, *, budget_s: Second | None, starting_s: Second, row_s: Second
    ) -> None:
        self._clock, self._begin_ns, self.budget_s = clock, begin_ns, budget_s
        self._closing_s = closing_s(budget_s, starting_s)
        self._planned_row_s = self._longest_row_s = row_s
        self._rows_s, self._rows_taken = 0.0, 0

    def add_row(self, row_s: Second) -> None:
        """A row was taken and lasted that long."""
        self._longest_row_s = max(self._longest_row_s, row_s)
        self._rows_s, self._rows_taken = self._rows_s + row_s, self._rows_taken + 1

    def is_out(self) -> bool:
        """Whether a row as long as the longest might outlast the budget."""
        left_s = self._longest_row_s + self._closing_s
        return self.budget_s is not None and self.spent_s() + left_s > self.budget_s

    def spent_s(self) -> Second:
        """So far."""
        return ns_to_s(self._clock.now_ns() - self._begin_ns)

    def rows_left(self) -> int | None:
        """How many rows the budget still has time for, at their mean length; None without a budget."""
        if self.budget_s is None:
            return None
        # as planned until rows were taken; then as they were
        mean_s = self._rows_s / self._rows_taken if self._rows_taken else self._planned_row_s
        return int(max(0.0, self.budget_s - self.spent_s()) / mean_s)
