"""The interface every meter has, and what discovery says about one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from energybench.meters.clock import Clock
from energybench.records.reading import Domain, Reading
from energybench.records.vocabulary import Kind


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
