"""Counter updates: waiting for one, which is how an edge of a window is aligned."""

from __future__ import annotations

from dataclasses import dataclass

from energybench.errors import MeterUnavailable
from energybench.meters.base import EnergyMeter
from energybench.meters.window import is_in_total
from energybench.records.reading import Reading
from energybench.units import Nanosecond, Second, ns_to_s, s_to_ns


@dataclass(frozen=True, slots=True)
class Update:
    """The first reading after the counter moved, and how long before it the last unmoved one was taken.

    `poll_interval_s` bounds the age of the edge: it is what `Window` takes as ``poll_interval_s``.
    """

    reading: Reading
    poll_interval_s: Second


def wait_for_update(meter: EnergyMeter, *, timeout_s: Second = 1.0, poll_s: Second = 0.0) -> Update:
    """Poll until a counter in the total moves.

    Args:
        meter: The meter to poll.
        timeout_s: Give up after this long.
        poll_s: Sleep between polls; 0 polls as fast as the meter answers. A virtual meter passes over polls that show
            nothing new.

    Raises:
        MeterUnavailable: no counter moved in time.
    """
    names = [d.name for d in meter.domains if is_in_total(d)]
    last = meter.read()
    deadline_ns: Nanosecond = last.time_ns + s_to_ns(timeout_s)
    skip = getattr(meter, "skip_quiet_polls", None)
    while True:
        if skip is not None:
            skip(deadline_ns, poll_s)
        if poll_s > 0:
            meter.clock.sleep(poll_s)
        reading = meter.read()
        if any(reading.energy_nj[n] != last.energy_nj[n] for n in names):
            return Update(reading, ns_to_s(reading.time_ns - last.time_ns))
        if reading.time_ns >= deadline_ns:
            raise MeterUnavailable(
                f"the counter of {meter.name} did not move within {timeout_s:g} s; it is stuck or not counting "
                "(virtual machines show such counters), choose another --meter"
            )
        last = reading
