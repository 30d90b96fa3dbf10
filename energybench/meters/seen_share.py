"""`find_seen_share`: which part of each update period a sensor looks at, found with short bursts of load.

A sensor that averages over A of its period T charges a burst T/A-fold where it looks and not at all where it does not
(25 of every 100 ms on GA100 and GH100: Yang, Adamek, Armour 2023, arXiv 2312.02741). Bursts of an eighth of a period
at eight phases show it: with responses r the share is (Σr)²/(8·Σr²), 1 where every phase answers alike.
"""

from __future__ import annotations

from typing import Final

from energybench.meters.base import EnergyMeter
from energybench.meters.rise_time import Load
from energybench.meters.ticks import wait_for_update
from energybench.meters.window import is_in_total
from energybench.units import Second, Watt, nj_to_j, ns_to_s

PHASES: Final = 8
_ROUNDS: Final = 3
#: Shorter bursts than this cannot be placed by a program; such a sensor's share stays unknown.
_LEAST_BURST_S: Final[Second] = 1e-3
#: Bursts whose charges sum to less than this share of the idle energy are not told from noise.
_LEAST_RESPONSE_REL: Final = 0.05


def find_seen_share(
    meter: EnergyMeter, load: Load, *, update_period_s: Second, idle_power_w: Watt, poll_s: Second = 0.0
) -> float | None:
    """Share of the update period that the sensor sees, 0…1; None where it cannot be found.

    Args:
        meter: An idle meter whose sensor does not average over several periods.
        load: Makes the bursts.
        update_period_s: The characterised period.
        idle_power_w: The power between the bursts.
        poll_s: Sleep between polls.

    Raises:
        MeterUnavailable: the counter does not move.
    """
    burst_s = update_period_s / PHASES
    if burst_s < _LEAST_BURST_S:
        return None
    names = [d.name for d in meter.domains if is_in_total(d)]
    response_j = [0.0] * PHASES
    for _ in range(_ROUNDS):
        for phase in range(PHASES):
            begin = wait_for_update(meter, timeout_s=20 * update_period_s, poll_s=poll_s).reading
            meter.clock.sleep(phase * burst_s - ns_to_s(meter.clock.now_ns() - begin.time_ns))
            # A little less than the phase, so that the burst ends before the counter moves.
            load(0.9 * burst_s)
            end = wait_for_update(meter, timeout_s=20 * update_period_s, poll_s=poll_s).reading
            charged_j = sum(nj_to_j(end.energy_nj[n] - begin.energy_nj[n]) for n in names)
            response_j[phase] += charged_j - idle_power_w * ns_to_s(end.time_ns - begin.time_ns)
    total_j = sum(response_j)
    if total_j < _LEAST_RESPONSE_REL * idle_power_w * update_period_s * _ROUNDS * PHASES:
        return None
    return min(1.0, total_j**2 / (PHASES * sum(r**2 for r in response_j)))
