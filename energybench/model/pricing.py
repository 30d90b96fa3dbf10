"""Rows with their price: what every prediction of energy from a table goes through."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from energybench.model.equation import DesignMatrix, Equation
from energybench.model.features import BoolArray, FeatureTable, FloatArray
from energybench.model.power_cap import held_features
from energybench.model.residual import ResidualLearner
from energybench.units import Watt


@dataclass(frozen=True)
class PricedRows:
    """Rows of a table that an equation describes.

    `design`      their features, times what a residual learner says of the row, if there is one; those of arithmetic
                  lowered where a power limit holds it (`held_features`)
    `energies_j`  energy of each term, shape (rows kept, terms)
    `held`        which of the rows kept a limit holds, shape (rows kept,)
    `factor`      what the residual learner multiplied a row by, 1 where there is none, shape (rows kept,)
    """

    design: DesignMatrix
    energies_j: FloatArray
    held: BoolArray
    factor: FloatArray

    @property
    def total_j(self) -> FloatArray:
        """Energy of each row kept, shape (rows kept,)."""
        return np.asarray(self.energies_j.sum(axis=1), dtype=np.float64)


def price_rows(
    equation: Equation,
    coef: Iterable[float],
    table: FeatureTable,
    held_power_w: Watt | None = None,
    residual: ResidualLearner | None = None,
) -> PricedRows:
    """Features and energies of a table's rows at the coefficients (k,).

    A `residual` learner multiplies all terms of a row alike; then none is above `held_power_w` in its duration. Rows
    that the equation prices at 0 J or less keep that price: a learner of ratios has nothing to say of them.
    """
    values = np.array(list(coef), dtype=np.float64)
    design = equation.features(table)
    inside = table.take(design.kept)
    factor = np.ones(len(inside))
    if residual is not None:
        factor = np.where(design.X @ values > 0, residual.factor(inside), 1.0)
    learnt = design.X * factor[:, None]
    X = held_features(equation, values, learnt, inside.column("time_s"), held_power_w)
    return PricedRows(replace(design, X=X), X * values, (learnt != X).any(axis=1), factor)
