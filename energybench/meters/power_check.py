"""`compare_with_power`: does the energy counter agree with the power that the same device reports?

The two disagree on some boards (zeus issue 181: 187 J counted against 327 J integrated over the same idle 5 s), and
nothing in one of them shows it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from energybench.errors import UsageError
from energybench.meters.base import EnergyMeter
from energybench.meters.ticks import wait_for_update
from energybench.meters.window import is_in_total
from energybench.units import Joule, Second, ns_to_s

#: Counter and integral further apart than this are flagged: the gain class of the sensors (see `nvml.GAIN_REL`).
AGREEMENT_REL: Final = 0.05


@dataclass(frozen=True, slots=True)
class PowerCheck:
    """Energy by the counter and by the integral of power over the same stretch."""

    counter_j: Joule
    integral_j: Joule
    samples: int

    @property
    def ratio(self) -> float:
        """Counter over integral."""
        return self.counter_j / self.integral_j

    @property
    def agrees(self) -> bool:
        """Whether the two differ by no more than `AGREEMENT_REL`."""
        return abs(self.ratio - 1) <= AGREEMENT_REL


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
