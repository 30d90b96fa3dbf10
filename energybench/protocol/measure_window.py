"""One window: fence, align, begin, run, fence, align, end; and the values that its readings give."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from energybench.meters.base import EnergyMeter
from energybench.meters.ticks import Update, wait_for_update
from energybench.meters.window import Window
from energybench.records.reading import Reading
from energybench.records.run_record import DomainValue
from energybench.records.vocabulary import Kind
from energybench.records.window_readings import WindowReadings
from energybench.units import Joule, Nanosecond, Second, Watt, ns_to_s

#: Polls per update period while an edge is aligned: the edge is then known to half a percent of a period.
POLLS_PER_PERIOD: Final = 200
#: Below this a sleep between polls costs more than it saves: the meter is polled as fast as it answers.
_LEAST_POLL_S: Final[Second] = 2e-4
#: An update that is late by this many periods is not coming.
_LATE_PERIODS: Final = 20


@dataclass(frozen=True, slots=True)
class Edges:
    """How the edges of windows are read.

    `update_period_s`  the characterised period, 0 for a counter that moves continuously, None if unknown
    `align`            wait for a counter update at both edges
    `whole_period`     each update is known to carry the energy of its whole period: an aligned edge is then as sharp
                       as the polls around it. A sensor that averages over part of its period, or over several, leaves
                       a part of the edge open however sharply it is read, and is charged with a whole period
    `update_noise_rel` relative standard deviation of one counter update, None if unknown
    """

    update_period_s: Second | None
    align: bool
    whole_period: bool = False
    update_noise_rel: float | None = None

    def wait(self, meter: EnergyMeter) -> Update | None:
        """The next counter update where edges are aligned, else None. Raises MeterUnavailable when none comes."""
        if not self.align or not self.update_period_s:
            return None
        poll_s = self.update_period_s / POLLS_PER_PERIOD
        return wait_for_update(
            meter,
            timeout_s=max(1.0, _LATE_PERIODS * self.update_period_s),
            poll_s=poll_s if poll_s >= _LEAST_POLL_S else 0.0,
        )

    def read(self, meter: EnergyMeter) -> tuple[Reading, Second | None]:
        """A reading at an edge, and the time between the polls around it where that bounds the age of the reading."""
        update = self.wait(meter)
        if update is None:
            return meter.read(), None
        return update.reading, update.poll_interval_s if self.whole_period else None


@dataclass(frozen=True, slots=True)
class MeasuredWindow:
    """Raw readings of one window, and when the work inside began and ended."""

    recorded: WindowReadings
    begin_ns: Nanosecond
    end_ns: Nanosecond


def measure_window(
    meter: EnergyMeter,
    edges: Edges,
    *,
    row_id: str,
    work: Callable[[], None],
    fence: Callable[[], None],
    lead_s: Second = 0.0,
) -> MeasuredWindow:
    """Run `work` inside a window.

    The order is what the energy means: everything enqueued before is finished (fence), the counter ticks, the first
    reading is taken, the work runs, it is finished (fence), the counter ticks again, the last reading is taken.

    Args:
        meter: Read at both edges.
        edges: How the edges are read.
        row_id: Name of the readings.
        work: What runs inside.
        fence: Waits for the device.
        lead_s: Pause between the first reading and the work. Drawn over an update period it gives the work a random
            phase at its start, as its length does at its end: a sensor that sees only the last part of a period
            gains at the start, on average, what it loses at the end.

    Raises:
        MeterUnavailable: the counter does not move.
    """
    fence()
    begin, begin_poll_s = edges.read(meter)
    meter.clock.sleep(lead_s)
    begin_ns = meter.clock.now_ns()
    work()
    fence()
    end_ns = meter.clock.now_ns()
    end, end_poll_s = edges.read(meter)
    recorded = WindowReadings(
        row_id=row_id,
        domains=meter.domains,
        begin=begin,
        end=end,
        update_period_s=edges.update_period_s,
        aligned=edges.align,
        poll_interval_s=None if begin_poll_s is None or end_poll_s is None else max(begin_poll_s, end_poll_s),
        update_noise_rel=edges.update_noise_rel,
    )
    return MeasuredWindow(recorded, begin_ns, end_ns)


@dataclass(frozen=True, slots=True)
class WindowValues:
    """Energy and time of one call, as a record keeps them. `energy_j` is gross."""

    energy_j: Joule
    energy_uncertainty_j: Joule
    time_s: Second
    domains: Mapping[str, DomainValue]


def window_values(
    recorded: WindowReadings,
    *,
    kind: Kind,
    begin_ns: Nanosecond,
    end_ns: Nanosecond,
    calls: int,
    idle_power_w: Watt | None,
) -> WindowValues:
    """What one call cost. The only way from readings to a record: a replay calls it too and must agree exactly.

    An aligned window is longer than its work: before it lies a pause for a random phase, after it the wait for the
    counter, and the device idles in both. They are charged at the idle power beside the window and taken off the
    total. Where no idle power is known, the whole window is the work's. Domains are given as they were read, per call,
    without that correction.

    An uncertainty that does not exist is bounded by the energy itself; such a window is never valid.

    Raises:
        CounterWrapAmbiguous: as `Window.from_readings`.
        RecordError: as `Window.from_readings`.
    """
    window = Window.from_window_readings(recorded, kind=kind)
    energy_j, time_s = window.energy_j, window.time_s
    if idle_power_w is not None:
        work_s = ns_to_s(end_ns - begin_ns)
        energy_j = max(0.0, energy_j - idle_power_w * max(0.0, time_s - work_s))
        time_s = work_s
    bound_j = window.energy_j if window.uncertainty_j is None else window.uncertainty_j
    domains = {
        name: DomainValue(
            d.energy_j / calls, (d.energy_j if d.uncertainty_j is None else d.uncertainty_j) / calls, d.corrected
        )
        for name, d in window.domains.items()
    }
    return WindowValues(energy_j / calls, bound_j / calls, time_s / calls, domains)


def idle_power_w(recorded: WindowReadings, *, kind: Kind) -> Watt | None:
    """Mean power of an idle window; None where it has no duration."""
    return Window.from_window_readings(recorded, kind=kind).mean_power_w
