"""`characterise`: watch a meter on this device before the run, and find what its windows' uncertainty depends on."""

from __future__ import annotations

import itertools
import math
import statistics
from typing import Final

from energybench.errors import UsageError
from energybench.meters.base import EnergyMeter
from energybench.meters.hidden_noise import find_hidden_noise_rel
from energybench.meters.power_check import compare_with_power
from energybench.meters.rise_time import RESOLVED_UPDATES, Load, find_rise_time_s
from energybench.meters.seen_share import find_seen_share
from energybench.meters.ticks import wait_for_update
from energybench.meters.window import QUANTISATION_VARIANCE, Window, is_in_total
from energybench.records.reading import MeterCharacteristics, Reading
from energybench.units import Second, nj_to_j, ns_to_s

#: A segment of idle must span some updates, or its power is mostly the rounding of one.
_UPDATES_PER_SEGMENT: Final = 5
#: Standard errors above the estimate that the noise of one update is taken at: 95 % one-sided.
NOISE_MARGIN: Final = 1.645
#: Polls per period while bursts are placed; below the least sleep the meter is polled as fast as it answers.
_POLLS_PER_PERIOD: Final = 200
_LEAST_POLL_S: Final[Second] = 2e-4
IDLE_SEGMENT_S: Final[Second] = 0.2


def nominal_update_period_s(meter: EnergyMeter) -> Second | None:
    """The update period that the meter's maker states, for a meter nobody has characterised yet; None if none does."""
    period_s: Second | None = getattr(meter, "nominal_update_period_s", None)
    return period_s


def nominal_averaging_s(meter: EnergyMeter) -> Second | None:
    """How long the meter's sensor averages for one update, where its maker states it; None where none does."""
    averaging_s: Second | None = getattr(meter, "nominal_averaging_s", None)
    return averaging_s


def update_noise_rel(found: MeterCharacteristics, *, idle_segment_s: Second = IDLE_SEGMENT_S) -> float | None:
    """Relative noise of one counter update; None where the characteristics lack a value.

    As it was found from single updates; in characteristics from before that was done, from the spread of the idle
    powers, each of which averages several updates. An upper estimate: an idle device is not perfectly steady.
    """
    if found.update_noise_rel is not None:
        return found.update_noise_rel
    if not (found.update_period_s and found.idle_power_w and found.idle_power_stdev_w is not None):
        return None
    segment_s = max(idle_segment_s, _UPDATES_PER_SEGMENT * found.update_period_s)
    return found.idle_power_stdev_w / found.idle_power_w * math.sqrt(segment_s / found.update_period_s)


def characterise(
    meter: EnergyMeter,
    *,
    latency_reads: int = 200,
    updates: int = 40,
    idle_segments: int = 10,
    idle_segment_s: Second = IDLE_SEGMENT_S,
    timeout_s: Second = 2.0,
    load: Load | None = None,
) -> MeterCharacteristics:
    """Update period, resolution, latency, idle power and its spread, agreement with power, rise time. Starts idle.

    Runs on the meter's own clock, so a virtual device is characterised in virtual time. A counter that moves at every
    poll has no period to find: what is returned is then the poll interval, its upper bound. The resolution is the
    greatest common divisor of the values seen, a lower bound where the unit is no whole number of nanojoules.

    Args:
        meter: An open meter.
        latency_reads: Reads that the latency quantiles come from, at least 2.
        updates: Updates watched for the period and the noise of one, at least 2.
        idle_segments: Idle stretches whose powers are averaged, at least 2.
        idle_segment_s: Least length of one; longer where the update period asks for it.
        timeout_s: Longest wait for one update.
        load: Keeps the device busy for the seconds it is given; with it the rise time, the share of each period that
            the sensor sees, and noise that the counter's steps hide in idle are found too, last of all.

    Raises:
        MeterUnavailable: the counter does not move.
        UsageError: an argument that cannot work.
    """
    if min(latency_reads, updates, idle_segments) < 2:
        raise UsageError("latency_reads, updates and idle_segments must be at least 2; a spread needs two values")
    latencies_s = _read_latencies_s(meter, latency_reads)
    seen = [wait_for_update(meter, timeout_s=timeout_s).reading for _ in range(updates + 1)]
    update_period_s = statistics.median(ns_to_s(b.time_ns - a.time_ns) for a, b in itertools.pairwise(seen))
    noise_rel, is_hidden = _noise_of_updates(meter, seen, update_period_s)
    powers_w = []
    begin = wait_for_update(meter, timeout_s=timeout_s)
    for _ in range(idle_segments):
        meter.clock.sleep(max(idle_segment_s, _UPDATES_PER_SEGMENT * update_period_s) - update_period_s / 2)
        end = wait_for_update(meter, timeout_s=timeout_s)
        seen.append(end.reading)
        window = Window.from_readings(
            begin.reading,
            end.reading,
            meter.domains,
            kind=meter.kind,
            update_period_s=update_period_s,
            aligned=True,
            poll_interval_s=max(begin.poll_interval_s, end.poll_interval_s),
        )
        if window.mean_power_w is not None:
            powers_w.append(window.mean_power_w)
        begin = end
    check = compare_with_power(meter, timeout_s=timeout_s)
    idle_power_w = statistics.fmean(powers_w) if powers_w else None
    rise_s = seen_share = None
    if load is not None and idle_power_w is not None:
        rise_s = find_rise_time_s(meter, load, update_period_s=update_period_s, idle_power_w=idle_power_w)
        if rise_s is not None and rise_s <= RESOLVED_UPDATES * update_period_s:
            if is_hidden:
                hidden_rel = find_hidden_noise_rel(meter, load, update_period_s=update_period_s)
                noise_rel = max(noise_rel or 0.0, hidden_rel or 0.0)
            # Back in idle first: two updates.
            wait_for_update(meter, timeout_s=timeout_s)
            poll_s = update_period_s / _POLLS_PER_PERIOD
            seen_share = find_seen_share(
                meter,
                load,
                update_period_s=update_period_s,
                idle_power_w=idle_power_w,
                poll_s=poll_s if poll_s >= _LEAST_POLL_S else 0.0,
            )
    return MeterCharacteristics(
        update_period_s=update_period_s,
        resolution_j=_resolution_j(meter, seen),
        read_latency_p50_s=statistics.median(latencies_s),
        read_latency_p99_s=statistics.quantiles(latencies_s, n=100, method="inclusive")[98],
        idle_power_w=idle_power_w,
        idle_power_stdev_w=statistics.stdev(powers_w) if len(powers_w) > 1 else None,
        counter_integral_ratio=None if check is None else check.ratio,
        rise_time_s=rise_s,
        update_noise_rel=noise_rel,
        seen_share=seen_share,
    )


def _read_latencies_s(meter: EnergyMeter, reads: int) -> list[Second]:
    latencies_s = []
    before_ns = meter.clock.now_ns()
    for _ in range(reads):
        meter.read()
        after_ns = meter.clock.now_ns()
        latencies_s.append(ns_to_s(after_ns - before_ns))
        before_ns = after_ns
    return latencies_s


def _noise_of_updates(meter: EnergyMeter, seen: list[Reading], update_period_s: Second) -> tuple[float | None, bool]:
    """Relative standard deviation of the energy of one update with a margin; the rounding taken out.

    The second value says whether rounding is more than half of what was seen, so that it hides such noise.

    The margin is for having seen few updates: with it, an estimate so low that 95 % intervals hold less than 93 % comes
    in two to three of a hundred characterisations of forty updates, in one of those of eighty.

    Pairs between which an update was missed, or which were read late, are left out; below three there is no spread.
    """
    domains = [d for d in meter.domains if is_in_total(d)]
    energies_nj = [
        sum(after.energy_nj[d.name] - before.energy_nj[d.name] for d in domains)
        for before, after in itertools.pairwise(seen)
        if 0.5 < ns_to_s(after.time_ns - before.time_ns) / update_period_s < 1.5
    ]
    # A counter that restarted in between says nothing here.
    energies_nj = [energy_nj for energy_nj in energies_nj if energy_nj > 0]
    if len(energies_nj) < 3:
        return None, False
    rounding_nj2 = QUANTISATION_VARIANCE * sum(d.resolution_nj**2 for d in domains)
    seen_nj2 = statistics.variance(energies_nj)
    spread_nj = math.sqrt(max(0.0, seen_nj2 - rounding_nj2))
    standard_error = 1 / math.sqrt(2 * (len(energies_nj) - 1))
    noise_rel = spread_nj / statistics.fmean(energies_nj) * (1 + NOISE_MARGIN * standard_error)
    return noise_rel, 2 * rounding_nj2 > seen_nj2


def _resolution_j(meter: EnergyMeter, readings: list[Reading]) -> float | None:
    """Greatest common divisor of the values seen in the total's domains: a counter holds whole steps."""
    names = [d.name for d in meter.domains if is_in_total(d)]
    divisor = math.gcd(*(reading.energy_nj[name] for reading in readings for name in names))
    return nj_to_j(divisor) if divisor else None
