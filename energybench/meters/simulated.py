"""`SimulatedMeter`: the energy meter of a virtual device."""

from __future__ import annotations

from typing import Final

from energybench.errors import MeterUnavailable
from energybench.meters.clock import Clock
from energybench.meters.virtual_device import VirtualDevice
from energybench.records.reading import Domain, Reading
from energybench.records.vocabulary import Kind
from energybench.units import Nanosecond, Second, ns_to_s, s_to_ns

#: Virtual time one read takes: a chosen round number of the order of a driver call, not a measurement.
READ_LATENCY_S: Final[Second] = 50e-6


class SimulatedMeter:
    """Reads the counter that the last sensor update left; a read costs a little virtual time. Kind `simulated`.

    `device` runs the work: ``meter.device.execute(counts, calls)``.
    """

    kind: Kind = "simulated"

    def __init__(self, device: VirtualDevice, *, read_latency_s: Second = READ_LATENCY_S) -> None:
        sensor = device.scenario.sensor
        self.device = device
        self.name = f"simulated:{device.name}"
        self.clock: Clock = device.clock
        self.nominal_update_period_s: Second | None = sensor.update_period_s
        self.nominal_averaging_s: Second | None = sensor.averaging_window_s
        #: The maker's word that an update carries the energy of its whole period and of nothing before it.
        self.integrates_whole_period = sensor.averaging_window_s == sensor.update_period_s
        self.domains: tuple[Domain, ...] = (
            Domain(name="device", resolution_nj=device.sensor.resolution_nj, gain_rel=abs(sensor.gain - 1)),
        )
        self._read_latency_s = read_latency_s
        self._open = True

    def read(self) -> Reading:
        """Poll once; virtual time moves by the read's latency afterwards."""
        if not self._open:
            raise MeterUnavailable("the simulated meter was closed; open it again")
        reading = Reading(self.clock.now_ns(), {"device": self.device.sensor.counter_nj()})
        self.device.idle(self._read_latency_s)
        return reading

    def skip_quiet_polls(self, until_ns: Nanosecond, poll_s: Second = 0.0) -> None:
        """Let the virtual time pass of polls that would show the counter as it is, but for the last before `until_ns`.

        Each poll sleeps for `poll_s` and reads. What a loop of polls then reads is the same to the nanosecond and the
        nanojoule. Leakage follows the steps in which time passes, so a device that has any is polled in full.
        """
        if self.device.scenario.thermal is not None:
            return
        sleep_ns = s_to_ns(poll_s)
        poll_ns = sleep_ns + s_to_ns(self._read_latency_s)
        until_ns = min(until_ns, self.device.sensor.next_update_ns)
        quiet = -(-(until_ns - self.clock.now_ns() - sleep_ns) // poll_ns) - 1 if poll_ns else 0
        if quiet > 0:
            self.device.idle(ns_to_s(quiet * poll_ns))

    def close(self) -> None:
        """Nothing is held; reading afterwards is refused."""
        self._open = False
