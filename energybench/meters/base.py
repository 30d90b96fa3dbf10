"""The interface every meter has, and what discovery says about one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, TypeAlias

from energybench.meters.clock import Clock
from energybench.records.reading import Domain, Reading
from energybench.records.vocabulary import Kind
from energybench.units import Nanosecond

#: A poll as the kernel gave it, not parsed yet: the monotonic time, and something that is equal where nothing moved.
RawReading: TypeAlias = tuple[Nanosecond, Any]


class EnergyMeter(Protocol):
    """Cumulative energy of one or more domains.

    `kind` is `measured` only where the numbers come from the machine's own counter through the machine's own path;
    a meter given an injected root, library or scenario is `simulated`.
    """

    name: str
    kind: Kind
    clock: Clock
    domains: tuple[Domain, ...]

    def read(self) -> Reading:
        """Poll once. Raises MeterUnavailable when the meter has gone, MeterPermissionError when access was lost."""
        ...

    def close(self) -> None:
        """Release handles; a second call does nothing."""
        ...


class RawReader(NamedTuple):
    """How one meter is polled at the edge of a window, and how what it gave becomes a `Reading` later."""

    read: Callable[[], RawReading]
    parse: Callable[[RawReading], Reading]


def raw_reader(meter: EnergyMeter) -> RawReader:
    """A meter's own ``read_raw`` and ``parse`` where it has them, which spares the edges the parsing; else `read`."""
    read_raw, parse = getattr(meter, "read_raw", None), getattr(meter, "parse", None)
    if read_raw is not None and parse is not None:
        return RawReader(read_raw, parse)

    def read() -> RawReading:
        reading = meter.read()
        return reading.time_ns, reading.energy_nj

    return RawReader(read, lambda raw: Reading(*raw))


@dataclass(frozen=True, slots=True)
class MeterInfo:
    """One line of `energybench doctor`: what works, what is missing, and the exact command that would enable it.

    `observed`  what was found ("2 zones: package-0, dram", "no /sys/class/powercap")
    `remedy`    the command or step that makes it work; empty when it already does
    `optional`  hardware or a service that most machines lack, and this one does: worth a word, not a line
    """

    name: str
    available: bool
    kind: Kind
    observed: str
    remedy: str = ""
    domains: tuple[Domain, ...] = field(default=())
    optional: bool = False
