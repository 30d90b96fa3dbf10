"""`RowPlan`: how long the parts of one row are, planned from the meter's tick and the time there is."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from energybench.errors import UsageError
from energybench.protocol.idle import SETTLE_S, idle_length_s, response_s
from energybench.units import Second

#: A window that time makes short still spans this many counter updates: an edge that is charged with a whole period
#: then costs 2.2 % (sqrt(7/36)/20), and random phases at both ends average what a part-time sensor misses.
LEAST_UPDATE_PERIODS: Final = 20
#: Of the window, run right before it: clocks, caches and the sensor's average have then met this workload.
PRE_RUN_SHARE: Final = 0.1
#: In a run short of time one row in so many has an idle window beside it; the others take the last one's power.
SHARED_IDLE_ROWS: Final = 8
#: Updates that a row waits for on average, at its edges and for its random phases.
_EDGE_PERIODS: Final = 2.5
#: Building inputs, timing the call and reading states: what a row takes beside its windows at most, unless it is known.
PREPARE_S: Final[Second] = 0.2


@dataclass(frozen=True, slots=True)
class RowPlan:
    """The parts of one row.

    `window_s`    window over the work
    `pre_run_s`   work right before it
    `idle_s`      idle window beside it
    `idle_every`  one row in so many has an idle window of its own
    `settle_s`    pause before an idle window
    `row_s`       all of it, on average
    `rows`        rows that fit the time there is; None where there is no limit
    """

    window_s: Second
    pre_run_s: Second
    idle_s: Second
    idle_every: int
    settle_s: Second
    row_s: Second
    rows: int | None = None


def _of_window(window_s: Second, update_period_s: Second, *, idle_every: int, prepare_s: Second) -> RowPlan:
    pre_run_s = max(PRE_RUN_SHARE * window_s, response_s(update_period_s))
    idle_s, settle_s = idle_length_s(window_s, update_period_s), max(SETTLE_S, response_s(update_period_s))
    row_s = pre_run_s + window_s + (idle_s + settle_s) / idle_every + _EDGE_PERIODS * update_period_s + prepare_s
    return RowPlan(window_s, pre_run_s, idle_s, idle_every, settle_s, row_s)


def plan_rows(
    window_s: Second,
    update_period_s: Second,
    *,
    workloads: int,
    min_repeats: int,
    time_s: Second | None,
    prepare_s: Second = PREPARE_S,
) -> RowPlan:
    """The longest windows with which every workload gets its least number of them in the time there is.

    `window_s` is what precision asks for. Where that takes too long, idle windows are shared among rows first, then
    windows are cut, down to 20 updates of the counter (or a fifth of `window_s`, which is the same for a window of 100
    updates). Where even these are too long for all repeats, the windows are such that one round of every workload
    fits; and where that is too long as well, rows are as short as they can be and the time ends the run.

    Args:
        window_s: Length that the target error and the design ask for.
        update_period_s: The counter's period, 0 for one that moves continuously.
        workloads: Rows in a round.
        min_repeats: Rounds at least.
        time_s: Time for all rows; None for as long as it takes.
        prepare_s: What a row takes beside its windows.
    """
    if not (window_s > 0 and update_period_s >= 0 and workloads > 0 and min_repeats > 0):
        raise UsageError("a plan needs a window, workloads and repeats above 0; check the design")
    of_window = partial(_of_window, update_period_s=update_period_s, prepare_s=prepare_s)
    full = of_window(window_s, idle_every=1)
    if time_s is None:
        return full
    least_s = min(window_s, max(LEAST_UPDATE_PERIODS * update_period_s, window_s / 5))
    of_shared = partial(of_window, idle_every=SHARED_IDLE_ROWS)
    for rows in (workloads * min_repeats, workloads):
        for idle_every in (1, SHARED_IDLE_ROWS):
            plan = of_window(window_s, idle_every=idle_every)
            if _rows_in(time_s, plan) >= rows:
                return replace(plan, rows=_rows_in(time_s, plan))
        if _rows_in(time_s, of_shared(least_s)) >= rows:
            plan = _longest(least_s, window_s, of_shared, rows=rows, time_s=time_s)
            return replace(plan, rows=_rows_in(time_s, plan))
    plan = of_shared(least_s)
    return replace(plan, rows=max(1, _rows_in(time_s, plan)))


def _rows_in(time_s: Second, plan: RowPlan) -> int:
    """Rows that the time is sure to hold: it ends a run before a row as long as the longest might outlast it.

    The longest has an idle window of its own, of which `row_s` counts a share.
    """
    longest_s = plan.row_s + (plan.idle_s + plan.settle_s) * (1 - 1 / plan.idle_every)
    return max(0, 1 + math.floor((time_s - longest_s) / plan.row_s))


def _longest(
    low_s: Second, high_s: Second, of_window: Callable[[Second], RowPlan], *, rows: int, time_s: Second
) -> RowPlan:
    """The plan with the longest windows of which `rows` fit; those of `low_s` do."""
    for _ in range(40):
        middle_s = (low_s + high_s) / 2
        low_s, high_s = (middle_s, high_s) if _rows_in(time_s, of_window(middle_s)) >= rows else (low_s, middle_s)
    return of_window(low_s)
