"""Windows that were discarded, each with its reason."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from energybench.report.data import ReportData


@dataclass(frozen=True)
class DiscardedWindow:
    """One invalid record."""

    row_id: str
    workload: str
    repeat: int
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready mapping."""
        return {"row_id": self.row_id, "workload": self.workload, "repeat": self.repeat, "reason": self.reason}


def discarded_windows(data: ReportData) -> list[DiscardedWindow]:
    """Invalid windows in the order they were measured."""
    frame = data.records
    invalid = frame[[not bool(valid) for valid in frame["valid"]]]
    return [
        DiscardedWindow(
            str(row["row_id"]),
            str(row["workload"]),
            int(row["repeat"]) if "repeat" in row else 0,
            str(row["invalid_reason"]) if isinstance(row["invalid_reason"], str) else "no reason was recorded",
        )
        for row in invalid.to_dict("records")
    ]


def reasons(windows: list[DiscardedWindow]) -> list[tuple[str, int]]:
    """Reasons without their numbers, most frequent first: what lies before the first digit or parenthesis."""
    counts = Counter(_head(window.reason) for window in windows)
    return counts.most_common()


def _head(reason: str) -> str:
    for i, character in enumerate(reason):
        if character.isdigit() or character in "(:":
            return reason[:i].rstrip(" :(,=") or reason
    return reason
