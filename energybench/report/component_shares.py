"""Counted work of a Transformer's parts, network by network, beside what the document claims [D17]."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from energybench.estimation.components import CLAIMED_SHARES, COMPONENT_NAMES
from energybench.records.vocabulary import COMPONENTS
from energybench.report.rows import ReportRow

if TYPE_CHECKING:
    from energybench.report.data import ReportData


@dataclass(frozen=True)
class NetworkComponents:
    """Shares of a network's FLOPs, as fractions; what belongs to no part is the rest."""

    name: str
    heldout: bool
    shares: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready mapping."""
        return {"name": self.name, "heldout": self.heldout, "shares": dict(self.shares)}


def component_rows(data: ReportData, rows: Sequence[ReportRow]) -> list[NetworkComponents]:
    """One for each Transformer among the compared rows; counts are exact, so every window of one says the same."""
    frame = data.records
    columns = {part: f"flops_{part}" for part in COMPONENTS}
    if any(column not in frame.columns for column in columns.values()):
        return []
    result: dict[str, NetworkComponents] = {}
    for row in rows:
        if row.network is None or row.network in result:
            continue
        record = frame.iloc[row.index]
        work = {part: int(record[column]) for part, column in columns.items()}
        if sum(work.values()) and int(record["flops"]):
            shares = {str(part): flops / int(record["flops"]) for part, flops in work.items()}
            result[row.network] = NetworkComponents(row.network, row.split == "heldout", shares)
    return list(result.values())


def claims() -> list[dict[str, Any]]:
    """Part, its name and the claimed share."""
    return [{"part": part, "name": COMPONENT_NAMES[part], "claimed_share": CLAIMED_SHARES[part]} for part in COMPONENTS]
