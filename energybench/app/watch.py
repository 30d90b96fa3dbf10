"""`watch_command`: run a program and say now and then how much energy it has taken so far."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Final

from energybench.app.measure import Measurement, measure_command
from energybench.errors import EnergybenchError
from energybench.meters import open_meter
from energybench.meters.base import EnergyMeter
from energybench.meters.characterise import nominal_update_period_s
from energybench.meters.window import Window
from energybench.meters.wrap import keep_alive_period_s
from energybench.records.reading import Reading
from energybench.units import NS_PER_S, Second, Watt, format_si

Report = Callable[[str], None]

#: How long the reporting thread may take to end after the program has ended; it wakes at once when told.
JOIN_TIMEOUT_S: Final = 5.0


class _RunningTotal(threading.Thread):
    """Reads the meter every `every_s` and reports the energy since it started."""

    def __init__(self, meter: EnergyMeter, every_s: Second, report: Report) -> None:
        super().__init__(name="energybench-watch", daemon=True)
        self._meter = meter
        self._every_s = every_s
        self._report = report
        self._ended = threading.Event()
        self._begin = meter.read()
        # Readings that keep a wrapping counter unambiguous: one per keep-alive period, not one per line.
        self._kept: list[Reading] = []
        period_s = keep_alive_period_s(meter.domains)
        self._keep_every_ns = None if period_s is None else int(period_s * NS_PER_S)

    def run(self) -> None:
        last = self._begin
        while not self._ended.wait(self._every_s):
            try:
                now = self._meter.read()
                window = self._window(now)
            except EnergybenchError as error:
                self._report(f"energybench: {error}")
                return
            power_w = self._window_power_w(last, now)
            self._report(_line("so far", window, power_w))
            if self._keep_every_ns is not None:
                newest_ns = self._kept[-1].time_ns if self._kept else self._begin.time_ns
                if now.time_ns - newest_ns >= self._keep_every_ns:
                    self._kept.append(now)
            last = now

    def _window(self, now: Reading) -> Window:
        return Window.from_readings(
            self._begin,
            now,
            self._meter.domains,
            kind=self._meter.kind,
            update_period_s=nominal_update_period_s(self._meter),
            between=self._kept,
        )

    def _window_power_w(self, last: Reading, now: Reading) -> Watt | None:
        step = Window.from_readings(
            last,
            now,
            self._meter.domains,
            kind=self._meter.kind,
            update_period_s=nominal_update_period_s(self._meter),
        )
        return step.mean_power_w

    def end(self) -> None:
        """Stop reporting."""
        self._ended.set()
        self.join(JOIN_TIMEOUT_S)


def _energy(energy_j: float, uncertainty_j: float | None) -> str:
    spread = "uncertainty unknown" if uncertainty_j is None else f"± {format_si(uncertainty_j, 'J')}"
    return f"{format_si(energy_j, 'J')} {spread}"


def _line(label: str, window: Window, power_w: Watt | None) -> str:
    rate = "" if power_w is None else f", now {format_si(power_w, 'W')}"
    mean = "" if window.mean_power_w is None else f", mean {format_si(window.mean_power_w, 'W')}"
    return (
        f"energybench: {label}: {window.kind} {_energy(window.energy_j, window.uncertainty_j)} in "
        f"{format_si(window.time_s, 's')}{mean}{rate}"
    )


def summary_line(measurement: Measurement) -> str:
    """One line: kind, energy with its uncertainty, time, mean power."""
    power = "" if measurement.power_w is None else f", mean {format_si(measurement.power_w, 'W')}"
    return (
        f"energybench: {measurement.kind} {_energy(measurement.energy_j, measurement.uncertainty_j)} in "
        f"{format_si(measurement.time_s, 's')}{power}"
    )


def watch_command(
    argv: Sequence[str],
    *,
    meter: str = "auto",
    device: str = "cpu",
    tdp_w: Watt | None = None,
    every_s: Second = 5.0,
    report: Report,
) -> int:
    """Run `argv`, report its running energy every `every_s` seconds, and return its exit code.

    Raises MeterUnavailable, MeterPermissionError, and UsageError when the program cannot be started.
    """
    opened = open_meter(meter, device=device, tdp_w=tdp_w)
    try:
        running = _RunningTotal(opened, every_s, report)
        running.start()
        try:
            result = measure_command(argv, opened)
        finally:
            running.end()
        report(summary_line(result.measurement))
        for note in result.measurement.notes:
            report(f"energybench: note: {note}")
        return result.exit_code
    finally:
        opened.close()
