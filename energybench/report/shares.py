"""What each term of the fitted equation pays for, by network and by group of workloads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from energybench.model.catalogue import equation_from_terms
from energybench.model.features import BoolArray, FeatureTable, FloatArray
from energybench.model.pricing import price_rows
from energybench.model.residual import ResidualLearner
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


def row_energies(data: ReportData, rows: Sequence[ReportRow]) -> tuple[tuple[str, ...], FloatArray, BoolArray]:
    """Coefficient names (k,), each term's energy of the rows that the equation describes (m, k), and which those are.

    The last has one entry a row, with m of them true.
    """
    equation = fitted_equation(data)
    frame = data.records.iloc[[row.index for row in rows]]
    values = [data.fit["params"][name]["value"] for name in equation.names]
    learnt = data.fit.get("residual")
    residual = None if learnt is None else ResidualLearner.from_dict(learnt)
    priced = price_rows(equation, values, FeatureTable.from_frame(frame), data.fit.get("held_power_w"), residual)
    return equation.names, priced.energies_j, priced.design.kept


def energy_shares(data: ReportData, rows: Sequence[ReportRow]) -> list[GroupShares]:
    """Shares by network, and by group of workloads outside networks; groups without an estimate are left out."""
    if not rows:
        return []
    names, energies, kept_rows = row_energies(data, rows)
    total = energies.sum(axis=1)
    kept = [row for row, there in zip(rows, kept_rows, strict=True) if there]
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
                {name: float(share) for name, share in zip(names, shares, strict=True)},
            )
        )
    return result
