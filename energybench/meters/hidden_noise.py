"""`find_hidden_noise_rel`: the noise of one update of a counter whose steps are coarser than that noise.

Differences of a few updates show rounding alone. Over many updates the noise of each adds up, a walk of length s·√N
beside which rounding stays what it is: values of a steady load, held against the number of the update, lie in a strip
as wide as one step where nothing is noisy, and in a wider one where something is. The narrowest such strip over all
slopes is what is measured here; a load makes updates large, so that more of their noise shows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from energybench.meters.base import EnergyMeter
from energybench.meters.rise_time import Load, watch_load
from energybench.meters.window import is_in_total
from energybench.units import Second, ns_to_s

#: Updates watched, and the least time.
_UPDATES: Final = 100
_LEAST_WATCH_S: Final[Second] = 2.5
#: How much wider than a step the strip is, in s·√N of noise, on the median of simulated sensors of 1 to 6 steps an
#: update: 0.51 at s = 1 %, 0.65 at 2 %, 0.82 at 5 %. The least of these, so that noise is rather taken too large.
_WIDER_BY: Final = 0.5
#: Halvings of the range of slopes, by thirds.
_HALVINGS: Final = 60
#: Mean time between updates over the characterised period, from which on the period is believed.
_LEAST_GAP: Final = 0.75


def find_hidden_noise_rel(meter: EnergyMeter, load: Load, *, update_period_s: Second) -> float | None:
    """Relative standard deviation of one update's energy; None where too few updates were seen.

    None too where the counter moves faster under load: its period was then not found in idle, whose updates are too
    small for its steps, and updates cannot be numbered.

    Args:
        meter: A meter whose sensor does not lag.
        load: Steady work; the device is busy for 2.5 s, or 100 updates.
        update_period_s: The characterised period.
    """
    seen = watch_load(meter, load, update_period_s, max(_LEAST_WATCH_S, _UPDATES * update_period_s))
    # The first ones reach back into what was before.
    seen = seen[len(seen) // 10 + 2 :]
    if len(seen) < _UPDATES // 4:
        return None
    if ns_to_s(seen[-1][0] - seen[0][0]) / (len(seen) - 1) < _LEAST_GAP * update_period_s:
        return None
    numbers = [round(ns_to_s(time_ns - seen[0][0]) / update_period_s) for time_ns, _ in seen]
    energies_nj = [energy_nj - seen[0][1] for _, energy_nj in seen]
    updates = numbers[-1]
    one_nj = energies_nj[-1] / updates if updates else 0.0
    if one_nj <= 0:
        return None
    step_nj = min(one_nj, sum(d.resolution_nj for d in meter.domains if is_in_total(d)))
    return max(0.0, strip_width(numbers, energies_nj) - step_nj) / (_WIDER_BY * math.sqrt(updates) * one_nj)


def strip_width(x: Sequence[float], y: Sequence[float]) -> float:
    """Width, in y, of the narrowest strip between two parallel lines that holds all points."""

    def width(slope: float) -> float:
        offsets = [b - slope * a for a, b in zip(x, y, strict=True)]
        return max(offsets) - min(offsets)

    # The width is convex in the slope, and no better slope lies further from that of the ends than all of it.
    slope = (y[-1] - y[0]) / (x[-1] - x[0])
    reach = width(slope) / (x[-1] - x[0])
    low, high = slope - reach, slope + reach
    for _ in range(_HALVINGS):
        first, second = low + (high - low) / 3, high - (high - low) / 3
        low, high = (low, second) if width(first) < width(second) else (first, high)
    return width((low + high) / 2)
