"""`StoppingCriterion`: when one workload has been measured often enough."""

from __future__ import annotations

import math
import statistics

from energybench.errors import RecordError, UsageError
from energybench.meters.repeats import t_975
from energybench.units import Second


class StoppingCriterion:
    """Repeat until the 95 % interval of the mean is narrow enough, within a least and a greatest count and a budget.

    Args:
        target_rel_error: Stop when the interval's half-width is at most this share of the mean.
        min_count: Values at least.
        max_count: Values at most.
        budget_s: Stop when the values took this long together; None for no limit.

    `reason` is None until finished, then ``interval``, ``count`` or ``budget``.
    """

    def __init__(
        self, *, target_rel_error: float, min_count: int = 2, max_count: int = 10, budget_s: Second | None = None
    ) -> None:
        if not (math.isfinite(target_rel_error) and target_rel_error > 0):
            raise UsageError(f"target_rel_error={target_rel_error!r} is no target; give a share above 0, as 0.02")
        if not 1 <= min_count <= max_count:
            raise UsageError(f"counts {min_count}…{max_count} make no range; give 1 ≤ min_count ≤ max_count")
        self._target_rel_error = target_rel_error
        self._min_count, self._max_count = min_count, max_count
        self._budget_s = budget_s
        self._values: list[float] = []
        self._spent_s = 0.0
        self._reason: str | None = None

    @property
    def count(self) -> int:
        return len(self._values)

    @property
    def reason(self) -> str | None:
        return self._reason

    @property
    def relative_half_width(self) -> float | None:
        """Half-width of the 95 % interval over the mean; None below two values or for a mean of zero."""
        if len(self._values) < 2:
            return None
        mean = statistics.fmean(self._values)
        if mean == 0:
            return None
        standard_error = statistics.stdev(self._values) / math.sqrt(len(self._values))
        return t_975(len(self._values) - 1) * standard_error / abs(mean)

    def add(self, value: float, *, duration_s: Second = 0.0) -> None:
        """Take one value, and how long it took. Raises RecordError on a value that is not finite."""
        if not math.isfinite(value):
            raise RecordError(f"{value!r} is no measurement; values that are not finite are refused")
        self._values.append(value)
        self._spent_s += duration_s
        self._reason = self._decide()

    def is_finished(self) -> bool:
        """Whether no further value is wanted."""
        return self._reason is not None

    def _decide(self) -> str | None:
        if len(self._values) >= self._max_count:
            return "count"
        if self._budget_s is not None and self._spent_s >= self._budget_s:
            return "budget"
        half_width = self.relative_half_width
        if len(self._values) >= self._min_count and half_width is not None and half_width <= self._target_rel_error:
            return "interval"
        return None
