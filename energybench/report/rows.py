"""Rows of a comparison beside the counts of their record: the points that the figures show."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from energybench.errors import RecordError
from energybench.units import Joule

if TYPE_CHECKING:
    import pandas as pd

    from energybench.report.data import ReportData


@dataclass(frozen=True)
class ReportRow:
    """One compared window.

    `recorded_j`   the target energy of one call, of the report's kind, gross or net as the fit's target is
    `low_j high_j` interval of the estimate, None where it has none
    `error_rel`    (estimated − recorded) / recorded
    `hit`          whether the interval holds the recorded energy, None where there is no interval
    `index`        position of its record in the records table
    """

    row_id: str
    workload: str
    network: str | None
    family: str
    split: str
    recorded_j: Joule
    estimated_j: Joule
    low_j: Joule | None
    high_j: Joule | None
    error_rel: float
    hit: bool | None
    index: int

    @property
    def label(self) -> str:
        """The network where there is one, else the workload."""
        return self.network or self.workload

    def to_dict(self) -> dict[str, Any]:
        """What the page's data says about the row."""
        return {
            "row_id": self.row_id,
            "workload": self.workload,
            "network": self.network,
            "family": self.family,
            "split": self.split,
            "recorded_j": self.recorded_j,
            "estimated_j": self.estimated_j,
            "low_j": self.low_j,
            "high_j": self.high_j,
            "error_rel": self.error_rel,
            "hit": self.hit,
        }


def report_rows(data: ReportData) -> list[ReportRow]:
    """The rows of the comparison, in its order. Raises RecordError on a row that the records do not have."""
    positions = _positions(data.records)
    rows: list[ReportRow] = []
    for number, row in enumerate(data.comparison["rows"]):
        index = positions.get((str(row.get("run_id")), str(row["row_id"])))
        if index is None:
            index = positions.get((None, str(row["row_id"])))
        if index is None:
            raise RecordError(
                f"row {number} of the comparison ({row['row_id']}) is not among the records; compare this run again"
            )
        rows.append(
            ReportRow(
                str(row["row_id"]),
                str(row["workload"]),
                None if row.get("network") is None else str(row["network"]),
                str(row["family"]),
                str(row["split"]),
                float(row["recorded_energy_j"]),
                float(row["estimated_energy_j"]),
                _number(row["low_j"]),
                _number(row["high_j"]),
                float(row["error_rel"]),
                None if row["hit"] is None else bool(row["hit"]),
                index,
            )
        )
    return rows


def _positions(frame: pd.DataFrame) -> Mapping[tuple[str | None, str], int]:
    """Where each record lies, by run and row, and by row alone where that is unique."""
    runs, names = frame["run_id"].astype(str), frame["row_id"].astype(str)
    positions: dict[tuple[str | None, str], int] = {}
    alone: dict[str, list[int]] = {}
    for i, (run, name) in enumerate(zip(runs, names, strict=True)):
        positions[run, name] = i
        alone.setdefault(name, []).append(i)
    positions.update({(None, name): found[0] for name, found in alone.items() if len(found) == 1})
    return positions


def _number(value: Any) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)


def median(values: Sequence[float]) -> float | None:
    """The median, None of nothing."""
    if not values:
        return None
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
