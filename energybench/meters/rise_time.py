"""`find_rise_time_s`: how long a sensor takes to show a step of power, from which its averaging follows.

A sensor that averages over A seconds shows a step as a ramp of length A, whose rise from 10 to 90 % takes 0.8·A. Rises
within two updates are not resolved: such a sensor averages over an update or less, and its windows have no lag.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from energybench.meters.base import EnergyMeter
from energybench.meters.window import is_in_total
from energybench.records.reading import MeterCharacteristics
from energybench.units import Nanojoule, Nanosecond, Second, Watt, nj_to_j, ns_to_s, s_to_ns

#: Keeps the device busy for about that long, then returns.
Load: TypeAlias = Callable[[Second], object]

#: 10–90 % of a ramp.
_RISE_OF_RAMP: Final = 0.8
#: More than twice the longest average known, 1 s (`.average` power of Ampere and later: Yang, Adamek, Armour 2023,
#: arXiv 2312.02741), so that the last third is steady.
_WATCH_S: Final[Second] = 2.5
_STEPS: Final = 3
#: And at least as many updates, for sensors that are slower than any known.
_WATCH_UPDATES: Final = 25
#: Slices of load per update, between which the counter is polled.
_SLICES: Final = 8
_LEAST_SLICE_S: Final[Second] = 1e-3
#: A step smaller than this share of the idle power is not told from noise.
_LEAST_STEP_REL: Final = 0.1
#: A share from here on is the whole period: a phase that is not seen would take an eighth off.
_WHOLE_SHARE: Final = 0.95
#: To which a smaller share is resolved: one of eight phases.
_SHARE_STEP: Final = 1 / 8
#: Rises below this many updates are those of the updates themselves.
RESOLVED_UPDATES: Final = 2.0


def find_rise_time_s(meter: EnergyMeter, load: Load, *, update_period_s: Second, idle_power_w: Watt) -> Second | None:
    """Time from 10 to 90 % of a step of power as the meter shows it; None where the load makes no clear step.

    The median of three steps: the noise of single updates moves the crossings of one. The first is enough where it
    rises within `RESOLVED_UPDATES`, since a sensor that averages for longer cannot.

    Args:
        meter: An idle meter.
        load: What makes the steps.
        update_period_s: The characterised period: rises below two of them are its own.
        idle_power_w: The power before a step.
    """
    watch_s = max(_WATCH_S, _WATCH_UPDATES * update_period_s)
    rises_s = []
    for step in range(_STEPS):
        if step:
            meter.clock.sleep(watch_s)
        rise_s = _one_rise_s(meter, load, update_period_s, idle_power_w, watch_s)
        if rise_s is not None:
            rises_s.append(rise_s)
            if step == 0 and rise_s <= RESOLVED_UPDATES * update_period_s:
                break
    return statistics.median(rises_s) if rises_s else None


def _one_rise_s(
    meter: EnergyMeter, load: Load, update_period_s: Second, idle_power_w: Watt, watch_s: Second
) -> Second | None:
    start_ns = meter.clock.now_ns()
    seen = watch_load(meter, load, update_period_s, watch_s)
    # The first pair reaches back into the idle time before the step.
    powers = [
        (ns_to_s(after[0] - start_ns), nj_to_j(after[1] - before[1]) / ns_to_s(after[0] - before[0]))
        for before, after in itertools.pairwise(seen[1:])
        if after[1] > before[1]
    ]
    if len(powers) < 3:
        return None
    final_w = statistics.median([power_w for _, power_w in powers[-max(1, len(powers) // 3) :]])
    step_w = final_w - idle_power_w
    if step_w < _LEAST_STEP_REL * idle_power_w:
        return None
    ramp = [(0.0, idle_power_w), *powers]
    first_s, last_s = (_crossing_s(ramp, idle_power_w + share * step_w) for share in (0.1, 0.9))
    return None if first_s is None or last_s is None else max(0.0, last_s - first_s)


def watch_load(
    meter: EnergyMeter, load: Load, update_period_s: Second, watch_s: Second
) -> list[tuple[Nanosecond, Nanojoule]]:
    """Keep the device busy and note the total at each of its updates, to an eighth of a period, the first poll too."""
    slice_s = max(_LEAST_SLICE_S, update_period_s / _SLICES)
    names = [d.name for d in meter.domains if is_in_total(d)]
    seen: list[tuple[Nanosecond, Nanojoule]] = []
    end_ns = meter.clock.now_ns() + s_to_ns(watch_s)
    while meter.clock.now_ns() < end_ns:
        reading = meter.read()
        energy_nj = sum(reading.energy_nj[name] for name in names)
        if not seen or energy_nj != seen[-1][1]:
            seen.append((reading.time_ns, energy_nj))
        load(slice_s)
    return seen


def averaging_s(found: MeterCharacteristics) -> Second | None:
    """How long the sensor averages for one update; None where that was not found.

    Several updates by the rise time; one or a part of one by the share that is seen, less the eighth to which that is
    resolved.
    """
    rise_s, period_s = found.rise_time_s, found.update_period_s
    if rise_s is None or not period_s:
        return None
    if rise_s > RESOLVED_UPDATES * period_s:
        return rise_s / _RISE_OF_RAMP
    share = found.seen_share
    if share is None or share >= _WHOLE_SHARE:
        return None if share is None else period_s
    return max(0.0, share - _SHARE_STEP) * period_s


def _crossing_s(points: Sequence[tuple[Second, Watt]], level_w: Watt) -> Second | None:
    """When the line through the points first reaches a level."""
    for (t0, p0), (t1, p1) in itertools.pairwise(points):
        if p0 < level_w <= p1:
            return t0 + (t1 - t0) * (level_w - p0) / (p1 - p0)
    return None
