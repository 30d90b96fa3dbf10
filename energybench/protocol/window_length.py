"""How long a window must be for the error that is asked for, and how many calls fill it."""

from __future__ import annotations

import math
from typing import Final

from energybench.errors import UsageError
from energybench.meters.window import edge_variance
from energybench.records.reading import MeterCharacteristics
from energybench.units import Second

#: A window of a metered device spans at least this many counter updates.
MIN_UPDATE_PERIODS: Final = 50
#: One window never takes longer than this, however slow the counter.
MAX_WINDOW_S: Final[Second] = 30.0


def window_length_s(
    characteristics: MeterCharacteristics, *, target_rel_error: float, floor_s: Second, metered: bool
) -> Second:
    """Length of a window: the longest of what each reason asks.

    * the edges: an error of sqrt(7/36)·T_u/W (derived in `energybench.meters.window`) below `target_rel_error`
    * 50 update periods, so that a sensor that sees only part of its period averages over many of them
    * `floor_s`, the design's own length

    Args:
        characteristics: What characterising the meter found.
        target_rel_error: Relative standard error that the edges of one window may cause.
        floor_s: Length where the meter asks for nothing.
        metered: False for a modelled meter, whose counter is a clock without an update period.
    """
    if not (math.isfinite(target_rel_error) and target_rel_error > 0 and floor_s > 0):
        raise UsageError(f"target_rel_error={target_rel_error!r}, floor_s={floor_s!r}: give numbers above 0")
    period_s = characteristics.update_period_s
    if not metered or period_s is None:
        return floor_s
    needed_s = max(math.sqrt(edge_variance()) * period_s / target_rel_error, MIN_UPDATE_PERIODS * period_s, floor_s)
    return min(needed_s, max(MAX_WINDOW_S, floor_s))


def calls_for(window_s: Second, call_s: Second) -> int:
    """Whole calls that fill the window, at least one. Raises UsageError on durations that are not positive."""
    if not (window_s > 0 and call_s > 0 and math.isfinite(window_s / call_s)):
        raise UsageError(f"a window of {window_s!r} s of calls of {call_s!r} s cannot be; time the call again")
    return max(1, math.ceil(window_s / call_s))
