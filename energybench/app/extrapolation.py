"""`extrapolate`: the energy of a whole run from its first iterations, with an interval.

What is left is taken to be like what was seen: R iterations at the mean energy ē of those between the first mark and
the last, so that the start (imports, compilation, the first iteration) counts once and not R times. The iterations that
were seen are cut into B ≤ 10 stretches of equal length m; neighbours in time are alike, so the spread s of the
stretches' means, and not that of single iterations, says how far ē can be trusted (batch means: Schmeiser 1982,
Operations Research 30(3), who finds that few stretches suffice). With Student's t of B − 1 degrees of freedom

    E = E_now + R·(ē ± t·s·√(1/B + m/R)),

the first term for ē itself, the second for the scatter of what is to come. A run that changes its work on the way
(another batch size, evaluation at the end) is none of this, and no interval from its beginning can know.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from energybench.records.vocabulary import Kind
from energybench.units import Joule, Second, format_si

#: Stretches at most: more are shorter, and so less independent of one another.
_MOST_STRETCHES: Final = 10
#: Fewer have no spread worth the name: t is 4.3 at 95 % with three.
_LEAST_STRETCHES: Final = 3
#: Of the interval, and Student's two-sided 95 % quantiles for 2 to 9 degrees of freedom. A table and not scipy, whose
#: import would work beside the program that is measured.
LEVEL: Final = 0.95
_STUDENT_T: Final = (4.302653, 3.182446, 2.776445, 2.570582, 2.446912, 2.364624, 2.306004, 2.262157)


@dataclass(frozen=True, slots=True)
class Mark:
    """So many iterations are done, and so much energy and time has gone by since the run began."""

    iterations: int
    energy_j: Joule
    time_s: Second


@dataclass(frozen=True, slots=True)
class Extrapolation:
    """What the whole run will have taken, if it goes on as it began; the interval is for that energy as metered."""

    kind: Kind
    iterations: int
    total_iterations: int
    energy_j: Joule
    low_j: Joule
    high_j: Joule
    level: float
    time_s: Second

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready mapping."""
        return {
            "kind": self.kind,
            "iterations": self.iterations,
            "total_iterations": self.total_iterations,
            "energy_j": self.energy_j,
            "interval": {"level": self.level, "low_j": self.low_j, "high_j": self.high_j},
            "time_s": self.time_s,
        }

    def __str__(self) -> str:
        return (
            f"all {self.total_iterations:,} iterations, from {self.iterations:,}: {format_si(self.energy_j, 'J')} "
            f"({format_si(self.low_j, 'J')} … {format_si(self.high_j, 'J')} at {self.level:.0%}) in "
            f"{format_si(self.time_s, 's')}, extrapolated from {self.kind} energy"
        )


def extrapolate(marks: Sequence[Mark], total_iterations: int, *, kind: Kind) -> Extrapolation | None:
    """The whole run's energy from marks taken on the way.

    Args:
        marks: In order; the first closes the start, which is not repeated.
        total_iterations: What the whole run will have.
        kind: That of the marks' energies.

    Returns:
        None where the marks cannot be cut into three stretches, or more are done than the whole has.
    """
    distinct: list[Mark] = []
    for mark in marks:
        # Several marks of one count: the first of them is nearest to its iteration's end.
        if not distinct or mark.iterations > distinct[-1].iterations:
            distinct.append(mark)
    if len(distinct) <= _LEAST_STRETCHES or distinct[-1].iterations > total_iterations:
        return None
    cuts = _cuts(distinct)
    lengths = [b.iterations - a.iterations for a, b in itertools.pairwise(cuts)]
    means_j = [(b.energy_j - a.energy_j) / n for (a, b), n in zip(itertools.pairwise(cuts), lengths, strict=True)]
    if len(means_j) < _LEAST_STRETCHES:
        return None
    last, seen = distinct[-1], distinct[-1].iterations - distinct[0].iterations
    mean_j = (last.energy_j - distinct[0].energy_j) / seen
    rest = total_iterations - last.iterations
    half_j = 0.0
    if rest:
        count = len(means_j)
        spread_j = statistics.stdev(means_j)
        half_j = rest * _STUDENT_T[count - 1 - 2] * spread_j * math.sqrt(1 / count + (seen / count) / rest)
    energy_j = last.energy_j + rest * mean_j
    time_s = last.time_s + rest * (last.time_s - distinct[0].time_s) / seen
    return Extrapolation(
        kind=kind,
        iterations=last.iterations,
        total_iterations=total_iterations,
        energy_j=energy_j,
        low_j=max(last.energy_j, energy_j - half_j),
        high_j=energy_j + half_j,
        level=LEVEL,
        time_s=time_s,
    )


def _cuts(marks: Sequence[Mark]) -> list[Mark]:
    """Marks that cut the iterations into stretches as equal as they allow."""
    first, seen = marks[0].iterations, marks[-1].iterations - marks[0].iterations
    stretches = min(_MOST_STRETCHES, len(marks) - 1)
    cuts = [marks[0]]
    for mark in marks[1:]:
        if mark.iterations - first >= len(cuts) * seen / stretches:
            cuts.append(mark)
    return cuts
