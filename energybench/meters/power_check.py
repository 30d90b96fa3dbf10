"""`compare_with_power`: does the energy counter agree with the power that the same device reports?

The two disagree on some boards (zeus issue 181: 187 J counted against 327 J integrated over the same idle 5 s), and
nothing in one of them shows it.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from energybench.errors import UsageError
from energybench.meters.base import EnergyMeter
from energybench.meters.ticks import wait_for_update
from energybench.meters.window import is_in_total
from energybench.units import Joule, Nanosecond, Second, Watt, ns_to_s

#: Counter and integral further apart than this are flagged: the gain class of the sensors (see `nvml.GAIN_REL`).
AGREEMENT_REL: Final = 0.05
#: Between two samples of power in an open window. A choice: a query of NVML takes up to a few hundred microseconds, of
#: which two a second are below 0.1 % of a CPU.
SAMPLE_PERIOD_S: Final[Second] = 0.5
#: Fewer samples say nothing about their own spread.
_LEAST_SAMPLES: Final = 10
#: The longest running average known (`.average` and, on Ampere and later, the plain power: 1 s; Yang, Adamek, Armour
#: 2023, arXiv 2312.02741), by half of which such a power lags.
_LONGEST_AVERAGE_S: Final[Second] = 1.0
#: Standard errors of the samples' mean that a disagreement must exceed.
_SIGMAS: Final = 3.0


@dataclass(frozen=True, slots=True)
class PowerCheck:
    """Energy by the counter and by the integral of power over the same stretch."""

    counter_j: Joule
    integral_j: Joule
    samples: int
    #: What sampling now and then may have missed of the integral; 0 where power was polled throughout.
    tolerance_j: Joule = 0.0

    @property
    def ratio(self) -> float:
        """Counter over integral."""
        return self.counter_j / self.integral_j

    @property
    def agrees(self) -> bool:
        """Whether the two differ by no more than `AGREEMENT_REL` and the integral's own tolerance."""
        return abs(self.counter_j - self.integral_j) <= AGREEMENT_REL * self.integral_j + self.tolerance_j


def compare_with_power(
    meter: EnergyMeter, *, duration_s: Second = 2.0, poll_s: Second = 0.02, timeout_s: Second = 2.0
) -> PowerCheck | None:
    """Count and integrate over the same stretch, both edges at counter updates.

    Args:
        meter: A meter that also reports power (`read_power_w`).
        duration_s: Length of the stretch. A running average lags by its length: keep the load steady.
        poll_s: Time between two polls of power, joined by trapezoids.
        timeout_s: Longest wait for an update of the counter.

    Returns:
        None where the meter reports no power.

    Raises:
        MeterUnavailable: the counter does not move, or the device is gone.
        UsageError: a duration or poll interval that is not positive.
    """
    if not (duration_s > 0 and poll_s > 0):
        raise UsageError("duration_s and poll_s must be positive; give seconds")
    read_power_w: Any = getattr(meter, "read_power_w", None)
    if read_power_w is None or read_power_w() is None:
        return None
    names = [d.name for d in meter.domains if is_in_total(d)]
    begin = wait_for_update(meter, timeout_s=timeout_s).reading
    end_ns = begin.time_ns + round(duration_s * 1e9)
    last_ns, last_w = begin.time_ns, read_power_w()
    integral_j, samples = 0.0, 0
    while meter.clock.now_ns() < end_ns:
        meter.clock.sleep(poll_s)
        power_w, time_ns = read_power_w(), meter.clock.now_ns()
        if power_w is None or last_w is None:
            return None
        integral_j += 0.5 * (last_w + power_w) * ns_to_s(time_ns - last_ns)
        samples += 1
        last_ns, last_w = time_ns, power_w
    end = wait_for_update(meter, timeout_s=timeout_s).reading
    # The stretch up to the counter's next update, at the last power seen.
    integral_j += last_w * ns_to_s(max(0, end.time_ns - last_ns))
    if integral_j <= 0:
        return None
    counter_j = sum(end.energy_nj[name] - begin.energy_nj[name] for name in names) / 1e9
    return PowerCheck(counter_j, integral_j, samples)


def check_samples(
    times_ns: Sequence[Nanosecond],
    powers_w: Sequence[Watt],
    *,
    begin_ns: Nanosecond,
    end_ns: Nanosecond,
    counter_j: Joule,
) -> PowerCheck | None:
    """Hold a window's energy against samples of power that were taken now and then in it; None for too few.

    Trapezoids join the samples, and the first and last power reach to the edges. The samples' own error is allowed for:
    three standard errors of their mean, and at both edges the spread of the samples over half the longest gap and half
    the longest running average. A load that swings is thus not blamed on the counter; a steady one shows 5 %.

    Args:
        times_ns: When the samples were taken, inside the window and in order.
        powers_w: What they were.
        begin_ns: Where the window begins.
        end_ns: Where it ends.
        counter_j: Its energy by the counter.
    """
    if len(times_ns) < _LEAST_SAMPLES:
        return None
    integral_j = powers_w[0] * ns_to_s(times_ns[0] - begin_ns) + powers_w[-1] * ns_to_s(end_ns - times_ns[-1])
    points = list(zip(times_ns, powers_w, strict=True))
    for (t0, p0), (t1, p1) in itertools.pairwise(points):
        integral_j += 0.5 * (p0 + p1) * ns_to_s(t1 - t0)
    if integral_j <= 0:
        return None
    moments_ns = (begin_ns, *times_ns, end_ns)
    longest_gap_s = max(ns_to_s(t1 - t0) for t0, t1 in itertools.pairwise(moments_ns))
    error_j = _SIGMAS * statistics.stdev(powers_w) / math.sqrt(len(powers_w)) * ns_to_s(end_ns - begin_ns)
    edges_j = (max(powers_w) - min(powers_w)) * (longest_gap_s + _LONGEST_AVERAGE_S)
    return PowerCheck(counter_j, integral_j, len(points), error_j + edges_j)
