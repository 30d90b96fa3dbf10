"""Why the worst rows miss, in the words of `energybench.estimation.explanation`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from energybench.estimation.explanation import TermOff, miss_text, term_off
from energybench.report.rows import ReportRow
from energybench.report.shares import row_energies
from energybench.report.verdict import carries_accuracy

if TYPE_CHECKING:
    from energybench.report.data import ReportData


def explained_misses(
    data: ReportData, rows: Sequence[ReportRow], worst: Sequence[ReportRow]
) -> tuple[TermOff | None, list[str | None]]:
    """The term that is off, if one is, and a sentence for each of the `worst` rows; None where none can be given."""
    import numpy as np

    if not rows or not carries_accuracy(data.kind):
        return None, [None for _ in worst]
    names, energies_j, kept = row_energies(data, rows)
    there = [row for row, k in zip(rows, kept, strict=True) if k]
    off = term_off(names, energies_j, np.array([row.recorded_j for row in there]))
    places = {row.index: i for i, row in enumerate(there)}
    classes = data.records["kernel_class"]
    errors: dict[str, list[float]] = {}
    for row in there:
        errors.setdefault(str(classes.iloc[row.index]), []).append(row.error_rel)
    texts: list[str | None] = []
    for row in worst:
        i = places.get(row.index)
        kernel_class = str(classes.iloc[row.index])
        texts.append(
            None
            if i is None
            else miss_text(
                row.error_rel, row.recorded_j, names, energies_j[i], off, kernel_class, errors[kernel_class], row.hit
            )
        )
    return off, texts
