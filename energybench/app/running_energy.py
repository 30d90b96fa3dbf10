"""`RunningEnergy`: a thread that reads meters now and then and says how much energy has gone by."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from energybench.errors import EnergybenchError
from energybench.meters.base import EnergyMeter
from energybench.meters.characterise import nominal_averaging_s, nominal_update_period_s
from energybench.meters.window import Window
from energybench.meters.wrap import keep_alive_period_s
from energybench.records.reading import Reading
from energybench.records.vocabulary import Kind
from energybench.units import NS_PER_S, Joule, Second, Watt, format_si, ns_to_s

#: How long the thread may take to end after it was told to; it wakes at once.
JOIN_TIMEOUT_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Totals:
    """Energy since the beginning. `power_w` is the mean since the last report, None for the first moment.

    `uncertainty_j`  one standard deviation; None where it cannot be stated
    """

    kind: Kind
    energy_j: Joule
    uncertainty_j: Joule | None
    time_s: Second
    power_w: Watt | None

    @property
    def mean_power_w(self) -> Watt | None:
        """Since the beginning; None without duration."""
        return self.energy_j / self.time_s if self.time_s > 0 else None


class RunningEnergy:
    """Totals of one or several meters of one kind, read every `every_s` seconds and at the end.

    `report` is called from the thread with each total; what it raises ends the reports, not the program.
    """

    def __init__(self, meters: Sequence[EnergyMeter], every_s: Second, report: Callable[[Totals], object]) -> None:
        self._meters = tuple(meters)
        self._every_s = every_s
        self._report = report
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self.error: EnergybenchError | None = None
        self._begin = [meter.read() for meter in self._meters]
        self._last = list(self._begin)
        # Readings that keep wrapping counters unambiguous: one per keep-alive period, not one per report.
        self._kept: list[list[Reading]] = [[] for _ in self._meters]
        periods_s = [keep_alive_period_s(meter.domains) for meter in self._meters]
        self._keep_every_ns = [None if p is None else int(p * NS_PER_S) for p in periods_s]
        self._thread = threading.Thread(target=self._run, name="energybench-watch", daemon=True)

    def start(self) -> None:
        """Begin to report."""
        self._thread.start()

    def end(self) -> Totals | None:
        """Stop reporting; the totals of now, None where a meter failed on the way."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(JOIN_TIMEOUT_S)
        return self.totals()

    def totals(self) -> Totals | None:
        """Read the meters now. None where one has failed; `error` says how."""
        try:
            with self._lock:
                return self._read()
        except EnergybenchError as error:
            self.error = error
            return None

    def _run(self) -> None:
        while not self._ended.wait(self._every_s):
            totals = self.totals()
            if totals is None:
                return
            self._report(totals)

    def _read(self) -> Totals:
        now = [meter.read() for meter in self._meters]
        wholes = [self._window(i, self._begin[i], now[i], self._kept[i]) for i in range(len(now))]
        # a counter that reads the same moment twice has no power between
        steps = [
            self._window(i, self._last[i], now[i]) for i in range(len(now)) if now[i].time_ns > self._last[i].time_ns
        ]
        for i, reading in enumerate(now):
            every_ns = self._keep_every_ns[i]
            newest_ns = self._kept[i][-1].time_ns if self._kept[i] else self._begin[i].time_ns
            if every_ns is not None and reading.time_ns - newest_ns >= every_ns:
                self._kept[i].append(reading)
        self._last = now
        uncertainties = [w.uncertainty_j for w in wholes]
        known = [u for u in uncertainties if u is not None]
        powers = [w.mean_power_w for w in steps]
        return Totals(
            kind=self._meters[0].kind,
            energy_j=sum(w.energy_j for w in wholes),
            # meters err independently of one another
            uncertainty_j=sum(u**2 for u in known) ** 0.5 if len(known) == len(wholes) else None,
            time_s=ns_to_s(min(r.time_ns for r in now) - max(r.time_ns for r in self._begin)),
            power_w=sum(p for p in powers if p is not None) if len(powers) == len(now) else None,
        )

    def _window(self, i: int, begin: Reading, end: Reading, between: Sequence[Reading] = ()) -> Window:
        meter = self._meters[i]
        return Window.from_readings(
            begin,
            end,
            meter.domains,
            kind=meter.kind,
            update_period_s=nominal_update_period_s(meter),
            averaging_s=nominal_averaging_s(meter),
            between=between,
        )


def energy_text(energy_j: Joule, uncertainty_j: Joule | None) -> str:
    """Energy with one standard deviation."""
    spread = "uncertainty unknown" if uncertainty_j is None else f"± {format_si(uncertainty_j, 'J')}"
    return f"{format_si(energy_j, 'J')} {spread}"


def totals_text(totals: Totals) -> str:
    """One line: kind, energy, time, mean power, power now."""
    rate = "" if totals.power_w is None else f", now {format_si(totals.power_w, 'W')}"
    mean = "" if totals.mean_power_w is None else f", mean {format_si(totals.mean_power_w, 'W')}"
    return (
        f"{totals.kind} {energy_text(totals.energy_j, totals.uncertainty_j)} in {format_si(totals.time_s, 's')}"
        f"{mean}{rate}"
    )
