"""`measure`: the energy of a block, a function or a program, from every meter that covers it.

    with eb.measure("forward") as m:
        model(x)
    print(m.energy_j, m.uncertainty_j, m.kind)

CUDA work is fenced at both edges where torch has already started CUDA; torch is never imported for it.
"""

from __future__ import annotations

import atexit
import functools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import MappingProxyType, TracebackType
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar, cast

from energybench.app.devices_in_use import expand_device, gpus_in_use, visible_gpus
from energybench.errors import EnergybenchError, MeterUnavailable, UsageError
from energybench.meters.base import EnergyMeter
from energybench.meters.characterise import nominal_averaging_s, nominal_update_period_s
from energybench.meters.clock import VirtualClock
from energybench.meters.discovery import open_meter
from energybench.meters.window import DomainEnergy, Window
from energybench.meters.wrap import keep_alive_period_s
from energybench.records.reading import Reading
from energybench.records.vocabulary import Kind
from energybench.units import Joule, Second, Watt, ns_to_s, s_to_ns

_F = TypeVar("_F", bound=Callable[..., Any])

#: A window at least this long is evaluated when it closes, so that a counter that cannot be trusted is an error of the
#: ``with`` statement; a shorter one when its first value is asked for, since evaluating (tens of microseconds) would
#: lengthen the windows around it. A choice: in a second it is less than 1e-4.
EVALUATE_AT_CLOSE_S: Final[Second] = 1.0
#: A window shorter than this many counter updates is mostly rounding: 0.44/50 is a standard uncertainty near 1 %.
ENOUGH_UPDATES: Final = 50
_EVALUATE_AT_CLOSE_NS: Final = s_to_ns(EVALUATE_AT_CLOSE_S)

_open_meters: dict[tuple[str, str, Watt | None], EnergyMeter] = {}
_open_meters_lock: Final = threading.Lock()


@dataclass(slots=True)
class Measurement:
    """What one window found. The energies exist once the window is closed; a short one is evaluated on first reading.

    `energy_j` is the total over the meters' top-level domains; `uncertainty_j` one standard deviation of its edges and
    rounding (None where it cannot be stated), `gain_uncertainty_j` the sensors' systematic part. `notes` says, one
    sentence each, what limits the number.

    Reading any of them raises UsageError while the window is open, CounterWrapAmbiguous where a counter was reset.
    """

    label: str
    kind: Kind
    meters: tuple[str, ...]
    #: UUID of the device behind each meter, empty for one that is known by its domains.
    device_ids: tuple[str, ...] = ()
    _notes: tuple[str, ...] = ()
    _windows: tuple[Window, ...] = field(default=(), repr=False)
    _edges: _Edges | None = field(default=None, repr=False)

    def _closed(self) -> tuple[Window, ...]:
        edges = self._edges
        if edges is not None:
            windows, notes = _evaluate(edges)
            # Only now: where evaluating fails, it fails the same way next time.
            self._windows, self._notes, self._edges = windows, (*self._notes, *notes), None
        if not self._windows:
            raise UsageError(f"the window {self.label!r} is still open; read its energy after the with block")
        return self._windows

    @property
    def windows(self) -> tuple[Window, ...]:
        """One window per meter; empty while open."""
        return () if self._edges is None and not self._windows else self._closed()

    @property
    def notes(self) -> tuple[str, ...]:
        """What limits the number, a sentence each."""
        if self._edges is not None:
            self._closed()
        return self._notes

    @property
    def energy_j(self) -> Joule:
        return sum(w.energy_j for w in self._closed())

    @property
    def uncertainty_j(self) -> Joule | None:
        """Meters err independently of one another: their variances add."""
        parts = [w.uncertainty_j for w in self._closed()]
        known = [part for part in parts if part is not None]
        return sum(part**2 for part in known) ** 0.5 if len(known) == len(parts) else None

    @property
    def gain_uncertainty_j(self) -> Joule:
        """Gains may be off the same way: they add linearly."""
        return sum(w.gain_uncertainty_j for w in self._closed())

    @property
    def time_s(self) -> Second:
        """From the last meter's first reading to the first meter's last one: the time all of them covered."""
        windows = self._closed()
        return ns_to_s(min(w.end_ns for w in windows) - max(w.begin_ns for w in windows))

    @property
    def power_w(self) -> Watt | None:
        """Mean power: the sum of the meters' mean powers; None for a window without duration."""
        powers_w = [w.mean_power_w for w in self._closed()]
        known = [power_w for power_w in powers_w if power_w is not None]
        return sum(known) if len(known) == len(powers_w) else None

    @property
    def domains(self) -> Mapping[str, DomainEnergy]:
        """Energy by domain, the parts of a domain (core, uncore) and psys included: do not sum them."""
        return MappingProxyType({name: d for w in self._closed() for name, d in w.domains.items()})

    @property
    def corrected(self) -> bool:
        """A counter wrap was corrected in some domain."""
        return any(w.corrected for w in self._closed())

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready mapping, without the raw readings."""
        return {
            "label": self.label,
            "kind": self.kind,
            "meters": list(self.meters),
            "energy_j": self.energy_j,
            "uncertainty_j": self.uncertainty_j,
            "gain_uncertainty_j": self.gain_uncertainty_j,
            "time_s": self.time_s,
            "power_w": self.power_w,
            "corrected": self.corrected,
            "domains": {
                name: {
                    "energy_j": d.energy_j,
                    "uncertainty_j": d.uncertainty_j,
                    "corrected": d.corrected,
                    "in_total": d.in_total,
                }
                for name, d in self.domains.items()
            },
            "notes": list(self.notes),
        }


#: The meters of a closed window, their first and last readings, and those taken on the way.
_Edges: TypeAlias = tuple[tuple[EnergyMeter, ...], Sequence[Reading], Sequence[Reading], Sequence[Sequence[Reading]]]


class measure:  # noqa: N801 - used like a function, as the design names it
    """Measure a block, or every call of a function.

    As a context manager it gives a `Measurement`; as a decorator it measures each call and keeps the latest on the
    wrapped function as ``measurement``. Windows may nest and may run in several threads: each has its own readings of
    the same meters, which see the whole device whoever uses it.

    Args:
        label: What is measured; goes into the `Measurement`.
        meter: A name as `open_meter` takes it, or open meters, whose energies are summed. ``auto`` takes the CPU's
            counters and those of every GPU on which torch holds memory in this process; one that is missing is named
            in `notes`. Over the ranks of a distributed job: `energybench.app.ranks.sum_over_ranks`.
        device: ``cpu``, ``cuda:N``, ``cuda:0,1`` or ``cuda:all`` to measure those alone; None leaves it to `meter`.
        tdp_w: Datasheet power for the modelled meter.

    Raises:
        MeterUnavailable, MeterPermissionError: nothing measures here; the message names the remedy.
        CounterWrapAmbiguous: the block was so long that a counter may have wrapped twice, or a counter was reset.
    """

    def __init__(
        self,
        label: str = "",
        meter: str | EnergyMeter | list[EnergyMeter] | tuple[EnergyMeter, ...] = "auto",
        *,
        device: str | None = None,
        tdp_w: Watt | None = None,
    ) -> None:
        self._label = label
        self._spec = meter
        # Meters that are given are looked at once, not in every window.
        self._chosen = None if isinstance(meter, str) else meters_for(meter)
        self._device = device
        self._tdp_w = tdp_w
        self._open: list[_OpenWindow] = []

    def __enter__(self) -> Measurement:
        chosen = self._chosen or meters_for(self._spec, self._device, self._tdp_w)
        measurement = Measurement(self._label, chosen.kind, chosen.names, chosen.device_ids, chosen.notes)
        self._open.append(_OpenWindow(measurement, chosen.meters))
        return measurement

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self._open.pop().close()
        except EnergybenchError:
            if exc is None:
                raise
            # The block's own error is the one to see; its measurement stays open.

    def __call__(self, function: _F) -> _F:
        @functools.wraps(function)
        def measured(*args: Any, **kwargs: Any) -> Any:
            one = measure(self._label or function.__qualname__, self._spec, device=self._device, tdp_w=self._tdp_w)
            with one as measurement:
                result = function(*args, **kwargs)
            measured.measurement = measurement  # type: ignore[attr-defined]
            return result

        return cast("_F", measured)


def fence() -> None:
    """Wait for the CUDA work of this process, where torch has started CUDA; nothing otherwise."""
    torch = sys.modules.get("torch")
    cuda = getattr(torch, "cuda", None)
    if cuda is not None and cuda.is_initialized():
        cuda.synchronize()


class CommandMeasurement(NamedTuple):
    """How a program ended, as a shell says it (128 + the number of the signal that ended it), and its energy."""

    exit_code: int
    measurement: Measurement


def measure_command(
    argv: Sequence[str],
    meter: str | EnergyMeter = "auto",
    *,
    label: str | None = None,
    device: str | None = None,
    tdp_w: Watt | None = None,
) -> CommandMeasurement:
    """Run a program in a window. Signals that this process gets while it runs are passed on to it.

    Counters that wrap are read on the way, without a helper process. On a virtual device the time of the program
    passes as idling, since the program runs elsewhere, and a note says so.

    Raises:
        UsageError: the program cannot be started, or the meter replays a recording.
        MeterUnavailable, MeterPermissionError: as `measure`.
    """
    if not argv:
        raise UsageError("no command was given; write it after --, as `energybench measure -- python train.py`")
    chosen = meters_for(meter, device, tdp_w, command=True)
    meters, notes = chosen.meters, chosen.notes
    if any(m.kind == "replayed" for m in meters):
        raise UsageError("a recording cannot measure a program; use --meter auto")
    virtual = [m.clock for m in meters if isinstance(m.clock, VirtualClock)]
    if virtual:
        notes = (*notes, "the virtual device idled while the program ran; this is no energy of the program")
    measurement = Measurement(label or argv[0], chosen.kind, chosen.names, chosen.device_ids, notes)
    open_window = _OpenWindow(measurement, meters)
    begun_ns = time.monotonic_ns()
    try:
        child = subprocess.Popen(list(argv))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        open_window.abandon()
        raise UsageError(f"{argv[0]} cannot be started ({reason}); check the command after --") from None
    with _signals_passed_to(child):
        code = child.wait()
    for clock in virtual:
        clock.sleep(ns_to_s(time.monotonic_ns() - begun_ns))
    open_window.close()
    return CommandMeasurement(code if code >= 0 else 128 - code, measurement)


class _OpenWindow:
    """A window between its begin and its end. Made, it has read every meter once, last of all.

    Loops and not comprehensions, tuples and not classes: begin and end cost as much as reading the counters twice, and
    half as much again.
    """

    __slots__ = ("_begin", "_keepers", "_measurement", "_meters")

    def __init__(self, measurement: Measurement, meters: tuple[EnergyMeter, ...]) -> None:
        self._measurement = measurement
        self._meters = meters
        self._keepers: list[_KeepAlive | None] = []
        for meter in meters:
            keeper = _keep_alive(meter)
            if keeper is not None:
                keeper.windows.add(self)
            self._keepers.append(keeper)
        self._begin: list[Reading] = []
        try:
            fence()
            for meter in meters:
                self._begin.append(meter.read())
        except BaseException:
            self.abandon()
            raise

    def close(self) -> None:
        """Read every meter again and give the measurement its windows."""
        end: list[Reading] = []
        between: list[Sequence[Reading]] = []
        try:
            fence()
            for meter in self._meters:
                end.append(meter.read())
        finally:
            for keeper in self._keepers:
                between.append(() if keeper is None else keeper.leave(self))
        begin = self._begin
        self._measurement._edges = (self._meters, begin, end, between)
        for before, after, meter in zip(begin, end, self._meters, strict=True):
            if before.energy_nj == after.energy_nj:
                _check_present(meter)
        if end[0].time_ns - begin[0].time_ns >= _EVALUATE_AT_CLOSE_NS:
            self._measurement._closed()

    def abandon(self) -> None:
        """Give up the window."""
        for keeper in self._keepers:
            if keeper is not None:
                keeper.leave(self)


class _KeepAlive:
    """Reads a meter whose counter wraps, now and then, while any window is open on it.

    One sleeping thread per meter, started once; it wakes every `period_s` (minutes on real counters). Windows enter and
    leave `windows` without a lock: readings that were taken outside of a window are told by their times.
    """

    def __init__(self, meter: EnergyMeter, period_s: Second) -> None:
        self.meter = meter
        self.windows: set[_OpenWindow] = set()
        self._period_s = period_s
        self._stop = threading.Event()
        self._readings: list[Reading] = []
        threading.Thread(target=self._run, name="energybench-keep-alive", daemon=True).start()

    def leave(self, window: _OpenWindow) -> Sequence[Reading]:
        """Every reading taken since some window was opened."""
        self.windows.discard(window)
        return tuple(self._readings) if self._readings else ()

    def stop(self) -> None:
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


_keepers: dict[int, _KeepAlive] = {}


def _keep_alive(meter: EnergyMeter) -> _KeepAlive | None:
    keeper = _keepers.get(id(meter))
    if keeper is not None and keeper.meter is meter:
        return keeper
    period_s = keep_alive_period_s(meter.domains)
    if period_s is None:
        # A meter that corrects wraps itself, when it is read, says how often that must be.
        period_s = getattr(meter, "keep_alive_s", None)
    if period_s is None or isinstance(meter.clock, VirtualClock) or meter.kind == "replayed":
        return None
    with _open_meters_lock:
        keeper = _keepers.get(id(meter))
        if keeper is None or keeper.meter is not meter:
            keeper = _keepers[id(meter)] = _KeepAlive(meter, period_s)
        return keeper


def _check_present(meter: EnergyMeter) -> None:
    """A counter that stood still may belong to a file that is gone: no energy of 0. Raises MeterUnavailable."""
    check_present = getattr(meter, "check_present", None)
    if check_present is not None:
        check_present()


def _evaluate(edges: _Edges) -> tuple[tuple[Window, ...], tuple[str, ...]]:
    """The windows, and what is to be said about them."""
    windows: list[Window] = []
    notes: list[str] = []
    for meter, begin, end, kept in zip(*edges, strict=True):
        # The keeper may have read before this window was opened, for another one.
        between = [r for r in kept if begin.time_ns < r.time_ns < end.time_ns]
        window = Window.from_readings(
            begin,
            end,
            meter.domains,
            kind=meter.kind,
            update_period_s=nominal_update_period_s(meter),
            averaging_s=nominal_averaging_s(meter),
            between=between,
        )
        updates = window.update_periods
        if window.energy_j == 0:
            notes.append(f"the counter of {meter.name} did not move: the window is too short for it, or it is stuck")
        elif updates is not None and updates < ENOUGH_UPDATES:
            notes.append(f"{window.time_s:.3g} s are {updates:.1f} updates of {meter.name}; {ENOUGH_UPDATES} give 1 %")
        windows.append(window)
    return tuple(windows), tuple(notes)


class ChosenMeters(NamedTuple):
    """The meters of a window, and what every window of them shares."""

    meters: tuple[EnergyMeter, ...]
    kind: Kind
    names: tuple[str, ...]
    device_ids: tuple[str, ...]
    notes: tuple[str, ...]


def meters_for(
    spec: str | EnergyMeter | list[EnergyMeter] | tuple[EnergyMeter, ...],
    device: str | None = None,
    tdp_w: Watt | None = None,
    *,
    command: bool = False,
) -> ChosenMeters:
    """The meters to read, each device once and all of one kind, and what is to be said about them.

    A program may use any GPU that it sees, so a `command` is measured on all of them; this process on those it uses.
    """
    errors: list[MeterUnavailable] = []
    if not isinstance(spec, str):
        found: list[EnergyMeter] = list(spec) if isinstance(spec, list | tuple) else [spec]
    elif spec != "auto" or device is not None:
        devices = expand_device(device or "cpu")
        if device is None and spec in ("nvml", "amdsmi"):
            gpus = visible_gpus() if command else gpus_in_use()
            devices = tuple(f"cuda:{i}" for i in gpus or (0,))
        found = [_cached_meter(spec, one, tdp_w) for one in devices]
    else:
        found = []
        for one in ("cpu", *(f"cuda:{i}" for i in (visible_gpus() if command else gpus_in_use()))):
            try:
                found.append(_cached_meter("auto", one, tdp_w))
            except MeterUnavailable as error:
                errors.append(error)
        if not found:
            raise errors[0]
    distinct = {getattr(meter, "uuid", "") or meter.name: meter for meter in found}
    meters = tuple(distinct.values())
    kinds = {meter.kind for meter in meters}
    if len(kinds) != 1:
        # A sum of a measured and another energy would be neither.
        raise UsageError(f"the meters here are of different kinds ({', '.join(sorted(kinds))}); name one with meter=")
    return ChosenMeters(
        meters,
        meters[0].kind,
        tuple(meter.name for meter in meters),
        tuple(getattr(meter, "uuid", "") for meter in meters),
        (*(str(m.announcement) for m in meters if hasattr(m, "announcement")), *(f"not covered: {e}" for e in errors)),
    )


def _cached_meter(spec: str, device: str, tdp_w: Watt | None) -> EnergyMeter:
    """Meters stay open between windows: opening one costs far more than reading it."""
    key = (spec, device, tdp_w)
    with _open_meters_lock:
        if key not in _open_meters:
            _open_meters[key] = open_meter(spec, device=device, tdp_w=tdp_w)
        return _open_meters[key]


@atexit.register
def close_meters() -> None:
    """Close the meters that `measure` opened; the next window opens them again."""
    with _open_meters_lock:
        while _keepers:
            _keepers.popitem()[1].stop()
        while _open_meters:
            _open_meters.popitem()[1].close()


@contextmanager
def _signals_passed_to(child: subprocess.Popen[bytes]) -> Iterator[None]:
    """Pass signals on to the program, except a Ctrl-C that the terminal has sent to it already."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def pass_on(number: int, _frame: object) -> None:
        if child.poll() is None:
            child.send_signal(number)

    previous: dict[signal.Signals, Any] = {}
    try:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            previous[number] = signal.signal(number, pass_on)
        if _in_foreground():
            signal.signal(signal.SIGINT, lambda *_: None)
        yield
    finally:
        for restored, handler in previous.items():
            signal.signal(restored, handler)


def _in_foreground() -> bool:
    """Whether a terminal would send Ctrl-C to this process and its children alike."""
    try:
        with open("/dev/tty", "rb", buffering=0) as terminal:
            return os.tcgetpgrp(terminal.fileno()) == os.getpgrp()
    except OSError:
        return False
