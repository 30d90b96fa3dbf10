"""`Equation`: terms, the rows they can describe, and the matrix they make of a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from energybench.errors import FitError
from energybench.model.features import BoolArray, FeatureTable, FloatArray
from energybench.model.term import Term

NO_PARAMETERS = "no parameters (M = 0) to divide by"
NO_WORK = "no work that the equation prices"


@dataclass(frozen=True)
class DesignMatrix:
    """What an equation makes of a table.

    `X`        shape (rows kept, terms)
    `names`    one a column
    `kept`     which rows of the table are in X, shape (rows of the table,)
    `dropped`  why rows were left out -> how many
    """

    X: FloatArray
    names: tuple[str, ...]
    kept: BoolArray
    dropped: Mapping[str, int]


@dataclass(frozen=True)
class Equation:
    """Energy of one call as a sum of terms, each linear in its coefficient.

    `divides_by_parameters`  rows with M = 0 cannot be described and are left out, with their number
    `collinear_on_purpose`   MACs and total FLOPs stand beside each other to show what that does [D34]
    """

    name: str
    terms: tuple[Term, ...]
    latex: str
    source: str
    description: str
    divides_by_parameters: bool = False
    collinear_on_purpose: bool = False

    def __post_init__(self) -> None:
        columns = {column for term in self.terms for column in term.columns}
        if {"macs", "flops"} <= columns and not self.collinear_on_purpose:
            raise FitError(
                "MACs and FLOPs cannot both be terms: FLOPs = 2·MACs + the rest, so their coefficients cannot be told "
                "apart; use macs with other_flops, or the equation cnn-total-flops, which shows the collinearity"
            )

    @property
    def names(self) -> tuple[str, ...]:
        """Coefficient names, in column order."""
        return tuple(term.name for term in self.terms)

    @property
    def nonneg(self) -> tuple[bool, ...]:
        """Which coefficients may not be negative, in column order."""
        return tuple(term.nonneg for term in self.terms)

    @property
    def units(self) -> dict[str, str]:
        """Unit of each coefficient."""
        return {term.name: term.unit for term in self.terms}

    @property
    def uses_time(self) -> bool:
        """Whether a duration enters."""
        return any("time_s" in term.columns for term in self.terms)

    def features(self, table: FeatureTable) -> DesignMatrix:
        """The design matrix of the rows that the equation can describe."""
        kept = np.ones(len(table), dtype=np.bool_)
        dropped: dict[str, int] = {}
        if self.divides_by_parameters:
            without = table.column("parameters") <= 0
            if without.any():
                dropped[NO_PARAMETERS] = int(without.sum())
                kept &= ~without
        inside = table.take(kept)
        X = np.empty((len(inside), len(self.terms)))
        for j, term in enumerate(self.terms):
            X[:, j] = term.feature(inside)
        empty = ~(X != 0).any(axis=1)
        if empty.any():
            dropped[NO_WORK] = int(empty.sum())
            kept[np.flatnonzero(kept)[empty]] = False
            X = X[~empty]
        return DesignMatrix(X, self.names, kept, dropped)
