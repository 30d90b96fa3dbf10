"""Errors of the equation beside the null models, by how rows were chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from energybench.model.features import FeatureTable
from energybench.model.null_models import NULL_MODELS
from energybench.model.null_table import NullTable
from energybench.report.rows import ReportRow, median
from energybench.report.wording import FAMILY_NAMES

if TYPE_CHECKING:
    from energybench.report.data import ReportData


@dataclass(frozen=True)
class ErrorLine:
    """Median absolute error, as a fraction, of the equation and of each null model on the same rows.

    `unseen`  the rows did not enter the fit that was scored; an error on seen rows flatters
    """

    section: str
    name: str
    n: int
    unseen: bool
    median_ape: float | None
    null_models: dict[str, float | None]

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready mapping."""
        return {
            "section": self.section,
            "name": self.name,
            "n": self.n,
            "unseen": self.unseen,
            "median_ape": self.median_ape,
            "null_models": dict(self.null_models),
        }


def error_lines(data: ReportData, rows: Sequence[ReportRow]) -> list[ErrorLine]:
    """First the splits of the fit's validation (refitted without the rows), then the rows of the comparison."""
    return [*_validation_lines(data.fit.get("validation")), *_comparison_lines(data, rows)]


def _validation_lines(validation: Mapping[str, Any] | None) -> list[ErrorLine]:
    if validation is None:
        return []
    splits = [
        validation.get("leave_one_out"),
        *(validation.get("leave_one_family_out") or {}).values(),
        validation.get("random_split"),
        validation.get("heldout"),
    ]
    return [
        ErrorLine(
            "Left out of the fit",
            _split_name(split),
            int(split["pooled"]["n"]),
            True,
            split["median_ape"],
            {name: scores["median_ape"] for name, scores in split["null_models"].items()},
        )
        for split in splits
        if split is not None
    ]


def _split_name(split: Mapping[str, Any]) -> str:
    """``leave-one-network-out`` says its unit itself, ``held out`` does not."""
    name, unit = str(split["name"]), str(split["unit"])
    return name if unit in name or name.startswith("leave-") else f"{name}, by {unit}"


def _comparison_lines(data: ReportData, rows: Sequence[ReportRow]) -> list[ErrorLine]:
    nulls = _null_errors(data, rows)
    lines: list[ErrorLine] = []

    def add(section: str, name: str, members: list[int], unseen: bool) -> None:
        if members:
            lines.append(
                ErrorLine(
                    section,
                    name,
                    len(members),
                    unseen,
                    median([abs(rows[i].error_rel) for i in members]),
                    {
                        null: median([abs(v) for i in members if (v := values[i]) is not None])
                        for null, values in nulls.items()
                    },
                )
            )

    for split, name in (("heldout", "Held-out rows"), ("fit", "Fitted rows")):
        members = [i for i, row in enumerate(rows) if row.split == split]
        add("Compared with the profile", name, members, split == "heldout")
        if len({rows[i].family for i in members}) > 1:
            for family in sorted({rows[i].family for i in members}):
                inside = [i for i in members if rows[i].family == family]
                shown = FAMILY_NAMES.get(family, family)
                add("Compared with the profile", f"{name}, {shown}", inside, split == "heldout")
    return lines


def _null_errors(data: ReportData, rows: Sequence[ReportRow]) -> dict[str, list[float | None]]:
    """Signed relative error of each null model on each row, None where the model cannot say."""
    import numpy as np

    coefficients = data.fit.get("null_models") or {}
    if not rows or not coefficients:
        return {}
    frame = data.records.iloc[[row.index for row in rows]]
    table = FeatureTable.from_frame(frame)
    recorded = np.array([row.recorded_j for row in rows])
    errors = NullTable.of(table, data.fit.get("target", "gross")).errors_rel(coefficients, recorded)
    return {
        name: [float(e) if np.isfinite(e) else None for e in errors[:, j]]
        for j, name in enumerate(NULL_MODELS)
        if name in coefficients
    }
