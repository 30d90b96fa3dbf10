"""An oracle that knows a power sensor: what its counter may say of one window, drawn afresh for every window.

It shares no code with `energybench.meters`: period, averaging, noise and rounding come straight from the scenario, and
the counter is worked out from the energy of a step of power. What it does not know is what nobody at the counter
knows: when the sensor ticks, how much of the power was there before the window, where in an aligned window the work
lies, and how a value is rounded. It is bound by the promise that it is compared with: its interval must hold the truth
at its level whatever the power before the window was, not only on average over all of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Power before the window over the power inside; between these the law of errors changes little.
RATIOS = (0.02, 0.1, 0.3, 0.6, 1.0)
#: Draws for one window and ratio: the ends of an interval then scatter by about 2 % of its width.
DRAWS = 500
LEVEL = 0.95


@dataclass(frozen=True)
class Sensor:
    """What the oracle knows."""

    period_s: float
    averaging_s: float
    noise_rel: float
    resolution_j: float


def errors_j(
    sensor: Sensor, *, window_s: float, power_w: float, rng: np.random.Generator, poll_s: float | None = None
) -> NDArray[np.float64]:
    """Reading minus truth of one window in as many draws, a row for each ratio of powers.

    With `poll_s` both edges lie just after a tick, and the work begins and ends within a period of them.
    """
    period_s, shape = sensor.period_s, (len(RATIOS), DRAWS, 1)
    ratio = np.array(RATIOS)[:, None, None]
    length_s: NDArray[np.float64] | float = window_s
    if poll_s is None:
        first = rng.uniform(0.0, period_s, shape)
        # Phases of the two edges are not tied to one another: the ticks of a real sensor jitter over a long window.
        length_s = window_s + rng.uniform(-0.5, 0.5, shape) * period_s
        work_at, work_end = np.zeros(shape), np.full(shape, np.inf)
    else:
        # Age of the begin, such that the end is no older than a poll either.
        over = window_s - round(window_s / period_s) * period_s
        low = max(0.0, -over)
        first = period_s - rng.uniform(low, max(low, min(poll_s, poll_s - over)), shape)
        work_at = rng.uniform(0.0, period_s, shape)
        work_end = window_s - rng.uniform(0.0, period_s, shape)

    def energy_j(t: NDArray[np.float64] | float) -> NDArray[np.float64]:
        working = np.clip(t - work_at, 0.0, work_end - work_at)
        return power_w * np.asarray(ratio * t + (1 - ratio) * working)

    # Between the head, whose averages may reach back before the work, and the tail, which may see its end, every draw
    # has `steady` ticks that are charged one period of the power inside each: their noise is one normal number.
    numbers, steady = explicit_ticks(sensor, window_s)
    ticks = first + period_s * numbers.astype(np.float64)
    charged = (energy_j(ticks) - energy_j(ticks - sensor.averaging_s)) / sensor.averaging_s * period_s
    in_window = ticks <= length_s
    counted = (charged * in_window).sum(axis=2) + power_w * period_s * steady
    if sensor.noise_rel:
        variance = ((charged * in_window) ** 2).sum(axis=2) + (power_w * period_s) ** 2 * steady
        counted += sensor.noise_rel * np.sqrt(variance) * rng.standard_normal(counted.shape)
    rest = rng.uniform(0.0, sensor.resolution_j, shape)[:, :, 0]
    reading = np.floor((rest + counted) / sensor.resolution_j) * sensor.resolution_j
    error: NDArray[np.float64] = reading - (energy_j(length_s) - energy_j(0.0))[:, :, 0]
    return error


def explicit_ticks(sensor: Sensor, window_s: float) -> tuple[NDArray[np.int64], int]:
    """Numbers of the ticks that may see an edge of the work, counted from the first in the window, and how many do not.

    The first tick is at most one period after the begin, the work begins at most one after it and ends at most one
    before the end, and a window of the oracle is at most half a period shorter than it is said to be.
    """
    period_s = sensor.period_s
    last = int(window_s / period_s) + 3
    head = min(last, math.ceil(sensor.averaging_s / period_s) + 2)
    tail = max(head, math.floor(window_s / period_s - 1.5))
    return np.concatenate((np.arange(head), np.arange(tail, last))), tail - head


def narrowest_interval(errors: NDArray[np.float64], level: float = LEVEL) -> tuple[float, float]:
    """The narrowest interval that holds that share of the draws of every row."""
    ordered = np.sort(errors, axis=1)
    draws = ordered.shape[1]
    held = int(np.ceil(level * draws))
    # The lower end may leave out at most the allowed share of the row that reaches lowest.
    lows = np.unique(ordered[:, : draws - held + 1])
    below = np.array([np.searchsorted(row, lows) for row in ordered])
    possible = (below + held <= draws).all(axis=0)
    lows, below = lows[possible], below[:, possible]
    highs = np.take_along_axis(ordered, below + held - 1, axis=1).max(axis=0)
    best = int(np.argmin(highs - lows))
    return float(lows[best]), float(highs[best])
