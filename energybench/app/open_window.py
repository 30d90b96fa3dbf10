"""`OpenWindow`: a window between its begin and its end, and what is sampled while it is open.

The edges take the counters as the kernel gives them; parsing, subtracting and judging wait until a value is asked for
(`evaluate`), so that begin and end cost little more than reading the counters twice.
"""

from __future__ import annotations

import sys
import threading
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from energybench.errors import EnergybenchError
from energybench.meters.base import EnergyMeter, RawReader, RawReading, raw_reader
from energybench.meters.characterise import nominal_averaging_s, nominal_update_period_s
from energybench.meters.clock import VirtualClock
from energybench.meters.power_check import SAMPLE_PERIOD_S, PowerCheck, check_samples
from energybench.meters.window import Window
from energybench.meters.wrap import keep_alive_period_s
from energybench.records.reading import Reading
from energybench.units import Nanosecond, Second, Watt, s_to_ns

#: A window at least this long is evaluated when it closes, so that a counter that cannot be trusted is an error of the
#: ``with`` statement; a shorter one when its first value is asked for, since evaluating (tens of microseconds) would
#: lengthen the windows around it. A choice: in a second it is less than 1e-4.
EVALUATE_AT_CLOSE_S: Final[Second] = 1.0
EVALUATE_AT_CLOSE_NS: Final[Nanosecond] = s_to_ns(EVALUATE_AT_CLOSE_S)
#: A window shorter than this many counter updates is mostly rounding: 0.44/50 is a standard uncertainty near 1 %.
ENOUGH_UPDATES: Final = 50


class Source(NamedTuple):
    """A meter and the cheapest way to poll it."""

    meter: EnergyMeter
    reader: RawReader


def source_of(meter: EnergyMeter) -> Source:
    """A meter as windows read it."""
    return Source(meter, raw_reader(meter))


#: The times and values of power samples.
PowerSamples: TypeAlias = tuple[Sequence[Nanosecond], Sequence[Watt]]


class Edges(NamedTuple):
    """What a closed window has: per meter its first and last poll, the readings on the way, and samples of power."""

    sources: tuple[Source, ...]
    begin: Sequence[RawReading]
    end: Sequence[RawReading]
    between: Sequence[Sequence[Reading]]
    power: Sequence[PowerSamples | None]


class Evaluated(NamedTuple):
    """The windows of one measurement, what is to be said about them, and counter against power by meter."""

    windows: tuple[Window, ...]
    notes: tuple[str, ...]
    power_checks: dict[str, PowerCheck]


def fence() -> None:
    """Wait for the CUDA work of this process, where torch has started CUDA; nothing otherwise."""
    torch = sys.modules.get("torch")
    if torch is None:
        return
    cuda = getattr(torch, "cuda", None)
    if cuda is not None and cuda.is_initialized():
        cuda.synchronize()


class OpenWindow:
    """A window that has begun. Made, it has polled every meter once, last of all.

    Loops and not comprehensions, tuples and not classes: begin and end cost as much as reading the counters twice, and
    half as much again.
    """

    __slots__ = ("_begin", "_companions", "_sources")

    def __init__(self, sources: tuple[Source, ...]) -> None:
        self._sources = sources
        self._companions: list[_Companions] = []
        self._begin: list[RawReading] = []
        for meter, _ in sources:
            companions = _companions(meter)
            keeper, sampler = companions
            if keeper is not None:
                keeper.windows.add(self)
            if sampler is not None:
                sampler.windows.add(self)
            self._companions.append(companions)
        try:
            fence()
            for _, (read, _) in sources:
                self._begin.append(read())
        except BaseException:
            self.abandon()
            raise

    def close(self) -> Edges:
        """Poll every meter again. Raises what the meters raise."""
        end: list[RawReading] = []
        between: list[Sequence[Reading]] = []
        power: list[PowerSamples | None] = []
        begin = self._begin
        try:
            fence()
            for _, (read, _) in self._sources:
                end.append(read())
        finally:
            for (keeper, sampler), before in zip(self._companions, begin, strict=True):
                between.append(() if keeper is None else keeper.leave(self))
                power.append(None if sampler is None else sampler.leave(self, before[0]))
        return Edges(self._sources, begin, end, between, power)

    def abandon(self) -> None:
        """Give up the window."""
        for keeper, sampler in self._companions:
            if keeper is not None:
                keeper.windows.discard(self)
            if sampler is not None:
                sampler.windows.discard(self)


class KeepAlive:
    """Reads a meter whose counter wraps, now and then, while any window is open on it.

    One sleeping thread per meter, started once; it wakes every `period_s` (minutes on real counters). Windows enter and
    leave `windows` without a lock: readings that were taken outside of a window are told by their times.
    """

    def __init__(self, meter: EnergyMeter, period_s: Second) -> None:
        self.meter = meter
        self.windows: set[OpenWindow] = set()
        self._period_s = period_s
        self._stop = threading.Event()
        self._readings: list[Reading] = []
        threading.Thread(target=self._run, name="energybench-keep-alive", daemon=True).start()

    def leave(self, window: OpenWindow) -> Sequence[Reading]:
        """Every reading taken since some window was opened."""
        self.windows.discard(window)
        return tuple(self._readings) if self._readings else ()

    def stop(self) -> None:
        """End the thread."""
        self._stop.set()

    def _run(self) -> None:
        while not self._stop.wait(self._period_s):
            if not self.windows:
                # Only this thread adds and takes away. A window that opens just now has no use for what was before it.
                self._readings.clear()
                continue
            try:
                self._readings.append(self.meter.read())
            except EnergybenchError:
                return  # the window's own last reading will fail the same way, and say so


class PowerSampler:
    """Samples the power that a meter also reports, while any window is open on it, to hold its counter against.

    One sleeping thread per meter; two samples a second cost far below 0.1 % of a CPU.
    """

    def __init__(self, meter: Any, period_s: Second = SAMPLE_PERIOD_S) -> None:
        self._meter = meter
        self.windows: set[OpenWindow] = set()
        self._period_s = period_s
        self._stop = threading.Event()
        # 16 bytes a sample: a day's window holds less than 3 MB.
        self._times_ns = array("q")
        self._powers_w = array("d")
        threading.Thread(target=self._run, name="energybench-power-check", daemon=True).start()

    def leave(self, window: OpenWindow, begin_ns: Nanosecond) -> PowerSamples:
        """The samples taken since then."""
        self.windows.discard(window)
        # Powers are appended first: there is one for every time.
        first, last = bisect_right(self._times_ns, begin_ns), len(self._times_ns)
        return self._times_ns[first:last], self._powers_w[first:last]

    def stop(self) -> None:
        """End the thread."""
        self._stop.set()

    def _run(self) -> None:
        while not self._stop.wait(self._period_s):
            if not self.windows:
                # Nobody looks at what was before: new arrays, since a window may be leaving with the old.
                self._times_ns, self._powers_w = array("q"), array("d")
                continue
            try:
                power_w = self._meter.read_power_w()
            except EnergybenchError:
                return  # the counter fails the same way, and says so
            if power_w is not None:
                self._powers_w.append(power_w)
                self._times_ns.append(self._meter.clock.now_ns())


class _Companions(NamedTuple):
    keeper: KeepAlive | None
    power: PowerSampler | None


_running: dict[int, tuple[EnergyMeter, _Companions]] = {}
_running_lock: Final = threading.Lock()


def stop_threads() -> None:
    """End every thread that windows started; the next window starts them again."""
    with _running_lock:
        while _running:
            for companion in _running.popitem()[1][1]:
                if companion is not None:
                    companion.stop()


def _companions(meter: EnergyMeter) -> _Companions:
    entry = _running.get(id(meter))
    if entry is not None and entry[0] is meter:
        return entry[1]
    with _running_lock:
        entry = _running.get(id(meter))
        if entry is None or entry[0] is not meter:
            entry = _running[id(meter)] = (meter, _start(meter))
        return entry[1]


def _start(meter: EnergyMeter) -> _Companions:
    if isinstance(meter.clock, VirtualClock) or meter.kind == "replayed":
        return _Companions(None, None)
    period_s = keep_alive_period_s(meter.domains)
    if period_s is None:
        # A meter that corrects wraps itself, when it is read, says how often that must be.
        period_s = getattr(meter, "keep_alive_s", None)
    return _Companions(
        None if period_s is None else KeepAlive(meter, period_s),
        PowerSampler(meter) if hasattr(meter, "read_power_w") else None,
    )


def _check_present(meter: EnergyMeter) -> None:
    """A counter that stood still may belong to a file that is gone: no energy of 0. Raises MeterUnavailable."""
    check_present = getattr(meter, "check_present", None)
    if check_present is not None:
        check_present()


def evaluate(edges: Edges) -> Evaluated:
    """Turn polls into windows.

    Raises:
        CounterWrapAmbiguous: a counter was reset, or may have wrapped twice.
        MeterUnavailable: what a counter held was no number, or its file has vanished.
    """
    windows: list[Window] = []
    notes: list[str] = []
    checks: dict[str, PowerCheck] = {}
    for (meter, reader), first, last, kept, power in zip(*edges, strict=True):
        if first[1] == last[1]:
            _check_present(meter)
        begin, end = reader.parse(first), reader.parse(last)
        window = Window.from_readings(
            begin,
            end,
            meter.domains,
            kind=meter.kind,
            update_period_s=nominal_update_period_s(meter),
            averaging_s=nominal_averaging_s(meter),
            # The keeper may have read before this window was opened, for another one.
            between=[r for r in kept if begin.time_ns < r.time_ns < end.time_ns],
        )
        updates = window.update_periods
        if window.energy_j == 0:
            notes.append(f"the counter of {meter.name} did not move: the window is too short for it, or it is stuck")
        elif updates is not None and updates < ENOUGH_UPDATES:
            notes.append(f"{window.time_s:.3g} s are {updates:.1f} updates of {meter.name}; {ENOUGH_UPDATES} give 1 %")
        check = None if power is None else _power_check(window, *power)
        if check is not None:
            checks[meter.name] = check
            if not check.agrees:
                notes.append(
                    f"the counter of {meter.name} tells {check.counter_j:.4g} J and its power over the same time "
                    f"{check.integral_j:.4g} J: one of the two is wrong; hold the board against an external meter"
                )
        windows.append(window)
    return Evaluated(tuple(windows), tuple(notes), checks)


def _power_check(window: Window, times_ns: Sequence[Nanosecond], powers_w: Sequence[Watt]) -> PowerCheck | None:
    last = bisect_left(times_ns, window.end_ns)
    return check_samples(
        times_ns[:last],
        powers_w[:last],
        begin_ns=window.begin_ns,
        end_ns=window.end_ns,
        counter_j=window.energy_j,
    )
