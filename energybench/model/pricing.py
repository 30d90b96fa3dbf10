"""Rows with their price: what every prediction of energy from a table goes through."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from energybench.model.equation import DesignMatrix, Equation
from energybench.model.features import BoolArray, FeatureTable, FloatArray
from energybench.model.power_cap import held_features
from energybench.units import Watt


@dataclass(frozen=True)
class PricedRows:
    """Rows of a table that an equation describes.

    `design`      their features, those of arithmetic lowered where a power limit holds a row (`held_features`)
    `energies_j`  energy of each term, shape (rows kept, terms)
    `held`        which of the rows kept a limit holds, shape (rows kept,)
    """

    design: DesignMatrix
    energies_j: FloatArray
    held: BoolArray

    @property
    def total_j(self) -> FloatArray:
        """Energy of each row kept, shape (rows kept,)."""
        return np.asarray(self.energies_j.sum(axis=1), dtype=np.float64)


def price_rows(
    equation: Equation, coef: Iterable[float], table: FeatureTable, held_power_w: Watt | None = None
) -> PricedRows:
    """Features and energies of a table's rows at the coefficients (k,), none above `held_power_w` in its duration."""
    values = np.array(list(coef), dtype=np.float64)
    design = equation.features(table)
    X = held_features(equation, values, design.X, table.column("time_s")[design.kept], held_power_w)
    held = (X != design.X).any(axis=1)
    return PricedRows(replace(design, X=X), X * values, held)
