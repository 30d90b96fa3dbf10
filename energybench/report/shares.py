"""What each term of the fitted equation pays for, by network and by group of workloads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from energybench.model.catalogue import equation_from_terms
from energybench.model.features import FeatureTable
from energybench.report.rows import ReportRow
from energybench.report.wording import group_of

if TYPE_CHECKING:
    from energybench.model.equation import Equation
    from energybench.report.data import ReportData

#: Bars that a reader can still tell apart; what is beyond is said under the figure.
MAX_GROUPS: Final = 40


@dataclass(frozen=True)
class GroupShares:
    """Mean over a group's rows of each term's share in the row's estimate, as fractions that sum to 1.

    Rows count alike, whatever their size.
    """

    group: str
    heldout: bool
    n: int
    shares: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready mapping."""
        return {"group": self.group, "heldout": self.heldout, "n": self.n, "shares": dict(self.shares)}


def fitted_equation(data: ReportData) -> Equation:
    """The equation with the coefficients that the fit has."""
    return equation_from_terms(str(data.fit["equation"]), list(data.fit["params"]))


def energy_shares(data: ReportData, rows: Sequence[ReportRow]) -> list[GroupShares]:
    """Shares by network, and by group of workloads outside networks; groups without an estimate are left out."""
    import numpy as np

    if not rows:
        return []
    equation = fitted_equation(data)
    frame = data.records.iloc[[row.index for row in rows]]
    design = equation.features(FeatureTable.from_frame(frame))
    values = np.array([data.fit["params"][name]["value"] for name in design.names])
    energies = design.X * values
    total = energies.sum(axis=1)
    kept = [row for row, there in zip(rows, design.kept, strict=True) if there]
    groups: dict[tuple[bool, str], list[int]] = {}
    for i, row in enumerate(kept):
        if total[i] > 0:
            groups.setdefault((row.split == "heldout", row.network or group_of(row.workload)), []).append(i)
    result = []
    for (heldout, group), members in sorted(groups.items()):
        shares = (energies[members] / total[members, None]).mean(axis=0)
        result.append(
            GroupShares(
                group,
                heldout,
                len(members),
                {name: float(share) for name, share in zip(design.names, shares, strict=True)},
            )
        )
    return result
