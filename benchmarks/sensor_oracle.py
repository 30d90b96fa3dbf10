"""An oracle that knows a power sensor: what its counter may say of one window, drawn afresh for every window.

It shares no code with `energybench.meters`: period, averaging, noise and rounding come straight from the scenario, and
the counter is worked out from the energy of a step of power. What it does not know is what nobody at the counter
knows: when the sensor ticks, how much of the power was there before the window, where in an aligned window the work
lies, and how a value is rounded. It is bound by the promise that it is compared with: its interval must hold the truth
at its level whatever the power before the window was, not only on average over all of them.
"""

from __future__ import annotations

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

    ticks = first + period_s * np.arange(int(window_s / period_s) + 3)
    charged = (energy_j(ticks) - energy_j(ticks - sensor.averaging_s)) / sensor.averaging_s * period_s
    noise = 1 + sensor.noise_rel * rng.standard_normal(ticks.shape) if sensor.noise_rel else 1.0
    counted = (charged * noise * (ticks <= length_s)).sum(axis=2)
    rest = rng.uniform(0.0, sensor.resolution_j, shape)[:, :, 0]
    reading = np.floor((rest + counted) / sensor.resolution_j) * sensor.resolution_j
    error: NDArray[np.float64] = reading - (energy_j(length_s) - energy_j(0.0))[:, :, 0]
    return error


def narrowest_interval(errors: NDArray[np.float64], level: float = LEVEL) -> tuple[float, float]:
    """The narrowest interval that holds that share of the draws of every row."""
    ordered = np.sort(errors, axis=1)
    draws = ordered.shape[1]
    held = int(np.ceil(level * draws))
    best = (-np.inf, np.inf)
    # The lower end may leave out at most the allowed share of the row that reaches lowest.
    for low in np.unique(ordered[:, : draws - held + 1]):
        below = np.array([np.searchsorted(row, low) for row in ordered])
        if (below + held > draws).any():
            continue
        high = max(row[b + held - 1] for row, b in zip(ordered, below, strict=True))
        if high - low < best[1] - best[0]:
            best = (float(low), float(high))
    return best
