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
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import MappingProxyType, TracebackType
from typing import Any, Final, NamedTuple, TypeVar, cast

from energybench.app.devices_in_use import expand_device, gpus_in_use, visible_gpus
from energybench.app.extrapolation import Extrapolation
from energybench.app.iterations import Iterations
from energybench.app.open_window import (
    EVALUATE_AT_CLOSE_NS,
    Edges,
    OpenWindow,
    Source,
    evaluate,
    source_of,
    stop_threads,
)
from energybench.errors import EnergybenchError, MeterUnavailable, UsageError
from energybench.meters.base import EnergyMeter
from energybench.meters.clock import VirtualClock
from energybench.meters.discovery import open_meter
from energybench.meters.power_check import PowerCheck
from energybench.meters.window import DomainEnergy, Window
from energybench.records.vocabulary import Kind
from energybench.units import Joule, Second, Watt, ns_to_s

_F = TypeVar("_F", bound=Callable[..., Any])

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
    _edges: Edges | None = field(default=None, repr=False)
    _power_checks: Mapping[str, PowerCheck] | None = field(default=None, repr=False)

    def _close(self, edges: Edges) -> None:
        """Take the edges of the window, which are evaluated at once where it was long."""
        self._edges = edges
        if edges.end[0][0] - edges.begin[0][0] >= EVALUATE_AT_CLOSE_NS:
            self._closed()

    def _closed(self) -> tuple[Window, ...]:
        edges = self._edges
        if edges is not None:
            windows, notes, checks = evaluate(edges)
            # Only now: where evaluating fails, it fails the same way next time.
            self._windows, self._notes, self._edges = windows, (*self._notes, *notes), None
            self._power_checks = MappingProxyType(checks)
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

    @property
    def power_checks(self) -> Mapping[str, PowerCheck]:
        """By meter, its counter beside the integral of its power, where it tells one and the window was long enough.

        One that disagrees stands in `notes` too.
        """
        self._closed()
        return self._power_checks or {}

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
            "counter_over_power": {name: check.ratio for name, check in self.power_checks.items()},
            "notes": list(self.notes),
        }


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
        self._open: list[tuple[Measurement, OpenWindow]] = []

    def __enter__(self) -> Measurement:
        chosen = self._chosen or meters_for(self._spec, self._device, self._tdp_w)
        measurement = Measurement(self._label, chosen.kind, chosen.names, chosen.device_ids, chosen.notes)
        self._open.append((measurement, OpenWindow(chosen.sources)))
        return measurement

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            measurement, window = self._open.pop()
            measurement._close(window.close())
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


class CommandMeasurement(NamedTuple):
    """How a program ended, as a shell says it (128 + the number of the signal that ended it), and its energy."""

    exit_code: int
    measurement: Measurement
    #: What the whole run would take, where its iterations were counted.
    whole_run: Extrapolation | None = None


def measure_command(
    argv: Sequence[str],
    meter: str | EnergyMeter = "auto",
    *,
    label: str | None = None,
    device: str | None = None,
    tdp_w: Watt | None = None,
    total_iterations: int | None = None,
    iteration: str | None = None,
    iterations: Iterations | None = None,
) -> CommandMeasurement:
    """Run a program in a window. Signals that this process gets while it runs are passed on to it.

    Counters that wrap are read on the way, without a helper process. On a virtual device the time of the program
    passes as idling, since the program runs elsewhere, and a note says so.

    Args:
        argv: The program and its arguments.
        meter: As in `measure`, and so `device` and `tdp_w`; ``auto`` covers every GPU that the program could see.
        label: Of the measurement; the program's name when None.
        device: See `meter`.
        tdp_w: See `meter`.
        total_iterations: How many iterations a whole run has, to extrapolate to.
        iteration: A regular expression: a line of output in which it is found ends an iteration. Without it the program
            tells its steps through `energybench.callbacks`.
        iterations: A counter of a caller's own, in place of these two.

    Raises:
        UsageError: the program cannot be started, or the meter replays a recording or cannot see it while it runs.
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
    if iterations is None and (total_iterations is not None or iteration is not None):
        iterations = Iterations(meters, total=total_iterations, pattern=iteration)
        with iterations.told_by_callbacks():
            return _run(argv, chosen.sources, measurement, virtual, iterations)
    return _run(argv, chosen.sources, measurement, virtual, iterations)


def _run(
    argv: Sequence[str],
    sources: tuple[Source, ...],
    measurement: Measurement,
    virtual: Sequence[VirtualClock],
    iterations: Iterations | None,
) -> CommandMeasurement:
    """Start the program in a window and wait for it."""
    open_window = OpenWindow(sources)
    begun_ns = time.monotonic_ns()
    try:
        child = subprocess.Popen(list(argv)) if iterations is None else iterations.start_program(argv)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        open_window.abandon()
        raise UsageError(f"{argv[0]} cannot be started ({reason}); check the command after --") from None
    with _signals_passed_to(child):
        code = child.wait()
    for clock in virtual:
        clock.sleep(ns_to_s(time.monotonic_ns() - begun_ns))
    measurement._close(open_window.close())
    if iterations is not None:
        iterations.finish_output()
    return CommandMeasurement(
        code if code >= 0 else 128 - code, measurement, None if iterations is None else iterations.whole_run()
    )


class ChosenMeters(NamedTuple):
    """The meters of a window, and what every window of them shares."""

    meters: tuple[EnergyMeter, ...]
    kind: Kind
    names: tuple[str, ...]
    device_ids: tuple[str, ...]
    notes: tuple[str, ...]
    sources: tuple[Source, ...]


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
        tuple(source_of(meter) for meter in meters),
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
    stop_threads()
    with _open_meters_lock:
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
