"""`sum_over_ranks`: the energy of a distributed job, every counter counted once.

    with eb.measure("epoch") as m:          # in every process that torchrun started
        train()
    total = sum_over_ranks(m)               # the same on every rank

Ranks of one machine read the same CPU counters, and may read the same GPU's: their sum would count those as often as
there are ranks. A counter is known by its machine (the kernel's boot id) and its GPU's UUID or its domain's name; of
the ranks that read it, the one with the longest window speaks for it.
"""

from __future__ import annotations

import math
import platform
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from energybench.app.measure import Measurement
from energybench.errors import UsageError
from energybench.records.vocabulary import Kind
from energybench.units import Joule, Second


@dataclass(frozen=True, slots=True)
class CounterEnergy:
    """What one rank read from one counter."""

    host: str
    counter: str
    domain: str
    kind: Kind
    energy_j: Joule
    uncertainty_j: Joule | None
    gain_uncertainty_j: Joule
    time_s: Second


@dataclass(frozen=True, slots=True)
class RanksTotal:
    """The energy of all ranks together.

    `counters`  what was summed: every counter once
    `repeated`  how many readings of a counter that another rank had read too were left out
    """

    ranks: int
    kind: Kind
    energy_j: Joule
    uncertainty_j: Joule | None
    gain_uncertainty_j: Joule
    time_s: Second
    counters: tuple[CounterEnergy, ...]
    repeated: int


def sum_over_ranks(measurement: Measurement, *, group: Any | None = None) -> RanksTotal:
    """Gather the measurements of every rank and sum them. Every rank of the group must call it.

    Where torch.distributed is not initialised there is one rank.

    Args:
        measurement: This rank's, closed.
        group: The process group; the default one when None.

    Raises:
        UsageError: the measurement is open, or ranks measured different kinds of energy.
    """
    own = counters_of(measurement)
    distributed = getattr(sys.modules.get("torch"), "distributed", None)
    if distributed is None or not (distributed.is_available() and distributed.is_initialized()):
        return total([own])
    everybody: list[Any] = [None] * distributed.get_world_size(group)
    distributed.all_gather_object(everybody, own, group=group)
    return total(everybody)


def counters_of(measurement: Measurement, *, host: str | None = None) -> tuple[CounterEnergy, ...]:
    """What one measurement read, by counter; the parts of a domain and what overlaps the total left out."""
    if not measurement.windows:
        raise UsageError(f"the window {measurement.label!r} is still open; sum it after the with block")
    found = []
    host = host or host_id()
    for window, device_id in zip(measurement.windows, measurement.device_ids, strict=True):
        for name, energy in window.domains.items():
            if name not in {domain.name for domain in window.top_domains}:
                continue
            found.append(
                CounterEnergy(
                    host=host,
                    counter=device_id or name,
                    domain=name,
                    kind=window.kind,
                    energy_j=energy.energy_j,
                    uncertainty_j=energy.uncertainty_j,
                    gain_uncertainty_j=energy.gain_uncertainty_j,
                    time_s=window.time_s,
                )
            )
    return tuple(found)


def total(ranks: Iterable[tuple[CounterEnergy, ...]]) -> RanksTotal:
    """Sum over ranks, each counter once. Raises UsageError where kinds are mixed."""
    gathered = list(ranks)
    best: dict[tuple[str, str], CounterEnergy] = {}
    for one in (counter for rank in gathered for counter in rank):
        key = (one.host, one.counter)
        if key not in best or one.time_s > best[key].time_s:
            best[key] = one
    counters = tuple(best[key] for key in sorted(best))
    kinds = {one.kind for one in counters}
    if len(kinds) != 1:
        raise UsageError(f"ranks measured different kinds of energy ({', '.join(sorted(kinds))}); use one meter on all")
    known = [one.uncertainty_j for one in counters if one.uncertainty_j is not None]
    return RanksTotal(
        ranks=len(gathered),
        kind=counters[0].kind,
        energy_j=sum(one.energy_j for one in counters),
        # Different sensors err independently; their gains may be off the same way.
        uncertainty_j=math.hypot(*known) if len(known) == len(counters) else None,
        gain_uncertainty_j=sum(one.gain_uncertainty_j for one in counters),
        time_s=max(one.time_s for one in counters),
        counters=counters,
        repeated=sum(len(rank) for rank in gathered) - len(counters),
    )


def host_id() -> str:
    """This machine, until it is started again: containers on it share the counters and the id."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return platform.node()
