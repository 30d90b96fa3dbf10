"""Recorded beside estimated energy, one line a held-out network or workload, and the rows that miss most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from energybench.report.rows import ReportRow, median
from energybench.units import Joule

WORST_SHOWN: Final = 10


@dataclass(frozen=True)
class NetworkLine:
    """Medians over the windows of one network; `hits` of `n_intervals` intervals held the recorded energy."""

    name: str
    family: str
    n: int
    recorded_j: Joule | None
    estimated_j: Joule | None
    error_rel: float | None
    hits: int
    n_intervals: int

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready mapping."""
        return {
            "name": self.name,
            "family": self.family,
            "n": self.n,
            "recorded_j": self.recorded_j,
            "estimated_j": self.estimated_j,
            "error_rel": self.error_rel,
            "hits": self.hits,
            "n_intervals": self.n_intervals,
        }


def heldout_lines(rows: Sequence[ReportRow]) -> list[NetworkLine]:
    """One line for each held-out network, or workload where it belongs to none, in order of energy."""
    groups: dict[tuple[str, str], list[ReportRow]] = {}
    for row in rows:
        if row.split == "heldout":
            groups.setdefault((row.label, row.family), []).append(row)
    lines = []
    for (name, family), members in groups.items():
        intervals = [row.hit for row in members if row.hit is not None]
        lines.append(
            NetworkLine(
                name,
                family,
                len(members),
                median([row.recorded_j for row in members]),
                median([row.estimated_j for row in members]),
                median([row.error_rel for row in members]),
                sum(intervals),
                len(intervals),
            )
        )
    return sorted(lines, key=lambda line: line.recorded_j or 0.0)


def worst_rows(rows: Sequence[ReportRow]) -> list[ReportRow]:
    """The rows whose estimate is furthest off, as a share of the recorded energy."""
    return sorted(rows, key=lambda row: -abs(row.error_rel))[:WORST_SHOWN]
