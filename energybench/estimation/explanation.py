"""Why rows miss: the one coefficient whose change would explain the misses of all rows, and each bad row beside it.

A single miss cannot say which term is off: a little more of the largest term explains anything. Many misses can. For
each term the least-squares change δ of its coefficient is found over the relative misses of all rows, and the share of
their squares that it explains; the best term is named where that share is at least a half. A row is then explained by
what that change leaves of its own miss, by its kernel class where the whole class misses the same way, and otherwise by
what each term alone would have to be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from energybench.estimation.comparison import Comparison
from energybench.model.features import FeatureTable, FloatArray
from energybench.units import Joule, Second

if TYPE_CHECKING:
    import pandas as pd

    from energybench.profiles.profile import DeviceProfile

#: Share of the squared misses that one term must explain to be named.
ENOUGH_EXPLAINED: Final = 0.5
#: Rows of a class that miss the same way say something from this number on.
FEWEST_ALIKE: Final = 3


@dataclass(frozen=True)
class TermOff:
    """A coefficient that would have to be `factor` times as large; `explained` of the squared misses go away then."""

    term: str
    factor: float
    explained: float

    @property
    def text(self) -> str:
        """In one sentence."""
        return (
            f"{self.term} is off: {self.factor:.3g}× as large, it would explain {self.explained:.0%} of the "
            "squared misses of all rows"
        )

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready mapping."""
        return {"term": self.term, "factor": self.factor, "explained": self.explained, "text": self.text}


@dataclass(frozen=True)
class Culprit:
    """One term of one row: its share of the estimate and the factor that would remove the miss were it alone to blame.

    `factor`  None where the coefficient would have to be negative, or where the row has none of the term
    """

    term: str
    share: float
    factor: float | None

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready mapping."""
        return {"term": self.term, "share": self.share, "factor": self.factor}


@dataclass(frozen=True)
class RowExplanation:
    """Of one row.

    `off`             the term that explains all rows, None where none does
    `left_error_rel`  what is left of the row's error with that term changed
    `culprits`        the terms, the one that needs the least relative change first
    `alike`           compared rows of its kernel class; `same_way` of them miss to the same side
    `time_ratio`      predicted over measured time; None without a time law
    `hit`             its interval holds the recorded energy, so that there is nothing to explain
    """

    row_id: str
    error_rel: float
    off: TermOff | None
    left_error_rel: float | None
    culprits: tuple[Culprit, ...]
    kernel_class: str
    alike: int
    same_way: int
    class_median_error_rel: float
    time_ratio: float | None
    hit: bool | None

    @property
    def text(self) -> str:
        """In one sentence."""
        if self.hit:
            return "within its interval"
        way = "too high" if self.error_rel > 0 else "too low"
        if self.off is not None and self.left_error_rel is not None:
            left = f"{way}; {self.off.term} at {self.off.factor:.3g}× leaves {self.left_error_rel:+.1%}"
            if abs(self.left_error_rel) <= abs(self.error_rel) / 2:
                return left
            way = left + ", so it is not that alone"
        if self.alike >= FEWEST_ALIKE and self.same_way == self.alike:
            return (
                f"{way}; so are all {self.alike} {self.kernel_class} rows (median {self.class_median_error_rel:+.1%}): "
                "the class, not the row"
            )
        possible = [f"{c.term} ({c.share:.0%}) {c.factor:.4g}×" for c in self.culprits if c.factor is not None]
        if not possible:
            return f"{way}; no single term can be to blame"
        return f"{way}; were one term alone to blame, it would have to be {' or '.join(possible[:3])} as large"

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready mapping."""
        return {
            "row_id": self.row_id,
            "error_rel": self.error_rel,
            "left_error_rel": self.left_error_rel,
            "culprits": [c.to_dict() for c in self.culprits],
            "kernel_class": self.kernel_class,
            "rows_of_class": self.alike,
            "rows_that_miss_the_same_way": self.same_way,
            "class_median_error_rel": self.class_median_error_rel,
            "predicted_over_measured_time": self.time_ratio,
            "text": self.text,
        }


def term_off(names: Sequence[str], energies_j: FloatArray, recorded_j: FloatArray) -> TermOff | None:
    """The term whose change explains most of the squared relative misses; None where none explains enough.

    `energies_j` (n, k) are the terms' energies, `recorded_j` (n,). A change that makes the coefficient negative, or
    fewer than three rows, explain nothing.
    """
    if len(recorded_j) < FEWEST_ALIKE:
        return None
    missing = 1 - energies_j.sum(axis=1) / recorded_j
    parts = energies_j / recorded_j[:, None]
    squares = np.sum(parts**2, axis=0)
    total = float(np.sum(missing**2))
    if total == 0:
        return None
    change = np.divide(parts.T @ missing, squares, out=np.zeros_like(squares), where=squares > 0)
    explained = change**2 * squares / total
    explained[change <= -1] = 0.0
    best = int(np.argmax(explained))
    if explained[best] < ENOUGH_EXPLAINED:
        return None
    return TermOff(names[best], 1 + float(change[best]), float(explained[best]))


def culprits(names: Sequence[str], energies_j: FloatArray, recorded_j: Joule) -> tuple[Culprit, ...]:
    """Terms of one row (k,), the one that needs the least relative change first."""
    total = float(energies_j.sum())
    found = []
    for name, energy in zip(names, energies_j.tolist(), strict=True):
        factor = 1 + (recorded_j - total) / energy if energy > 0 else 0.0
        found.append(Culprit(name, energy / total if total > 0 else 0.0, factor if factor > 0 else None))
    return tuple(sorted(found, key=lambda c: float("inf") if c.factor is None else abs(np.log(c.factor))))


def miss_text(
    error_rel: float,
    recorded_j: Joule,
    names: Sequence[str],
    energies_j: FloatArray,
    off: TermOff | None,
    kernel_class: str,
    of_class: Sequence[float],
    hit: bool | None,
) -> str:
    """One row's miss in a sentence: `energies_j` (k,) of its terms, `of_class` the errors of its kernel class."""
    return _explain("", error_rel, recorded_j, names, energies_j, off, kernel_class, of_class, None, hit).text


def explain_comparison(
    records: pd.DataFrame, profile: DeviceProfile, comparison: Comparison, worst: int
) -> tuple[TermOff | None, tuple[RowExplanation, ...]]:
    """The term that is off, if one is, and the `worst` rows, the largest miss first.

    `records` are those of the comparison.
    """
    rows = comparison.rows
    places = {
        (str(run), str(row)): i for i, (run, row) in enumerate(zip(records["run_id"], records["row_id"], strict=True))
    }
    table = FeatureTable.from_frame(records.iloc[[places[row.run_id, row.row_id] for row in rows]])
    priced = profile.price(table)
    design, energies_j = priced.design, priced.energies_j
    recorded_j = np.array([row.recorded_energy_j for row in rows])
    off = term_off(design.names, energies_j, recorded_j)
    errors: dict[str, list[float]] = {}
    for row in rows:
        errors.setdefault(row.kernel_class, []).append(row.error_rel)
    order = sorted(range(len(rows)), key=lambda i: -abs(rows[i].error_rel))[:worst]
    explained = tuple(
        _explain(
            row.row_id,
            row.error_rel,
            row.recorded_energy_j,
            design.names,
            energies_j[i],
            off,
            row.kernel_class,
            errors[row.kernel_class],
            _ratio(row.predicted_time_s, row.time_s),
            row.hit,
        )
        for i, row in ((i, rows[i]) for i in order)
    )
    return off, explained


def _explain(
    row_id: str,
    error_rel: float,
    recorded_j: Joule,
    names: Sequence[str],
    energies_j: FloatArray,
    off: TermOff | None,
    kernel_class: str,
    of_class: Sequence[float],
    time_ratio: float | None,
    hit: bool | None,
) -> RowExplanation:
    left = None
    if off is not None:
        left = error_rel + (off.factor - 1) * float(energies_j[names.index(off.term)]) / recorded_j
    return RowExplanation(
        row_id=row_id,
        error_rel=error_rel,
        off=off,
        left_error_rel=left,
        culprits=culprits(names, energies_j, recorded_j),
        kernel_class=kernel_class,
        alike=len(of_class),
        same_way=sum(e * error_rel > 0 for e in of_class),
        class_median_error_rel=float(np.median(of_class)),
        time_ratio=time_ratio,
        hit=hit,
    )


def _ratio(predicted_s: Second | None, measured_s: Second) -> float | None:
    return None if predicted_s is None or measured_s <= 0 else predicted_s / measured_s
