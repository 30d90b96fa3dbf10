"""`NullTable`: rows as the null models see them, fitted and scored alike wherever an error stands beside theirs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from energybench.model.features import BoolArray, FeatureTable, FloatArray
from energybench.model.null_models import NULL_MODELS
from energybench.model.observations import Target


@dataclass(frozen=True)
class NullTable:
    """Rows of a table as the null models see them, a column a model in the order of `NULL_MODELS`.

    `quantities`  what each model multiplies, shape (n, null models); NaN where a row lacks it
    `idle_j`      what a coefficient that is given, not fitted, still has to lose: idle energy where the target is net
                  of it, else 0, shape (n,)
    """

    quantities: FloatArray
    idle_j: FloatArray

    @classmethod
    def of(cls, table: FeatureTable, target: Target) -> NullTable:
        """The rows of a table whose energies are gross, or net of idle."""
        net = target == "net"
        idle_j = table.column("idle_power_w") * table.column("time_s") if net else np.zeros(len(table))
        return cls(np.stack([model.feature(table) for model in NULL_MODELS.values()], axis=1), idle_j)

    def take(self, rows: BoolArray | NDArray[np.intp]) -> NullTable:
        """The rows that a mask or an index names."""
        return NullTable(self.quantities[rows], self.idle_j[rows])

    def fit(self, energy_j: FloatArray) -> dict[str, float | None]:
        """Each model's coefficient for energies (n,); None where no row has its quantity."""
        return {name: model.fit(self.quantities[:, j], energy_j) for j, (name, model) in enumerate(NULL_MODELS.items())}

    def energies_j(self, coefficients: Mapping[str, float | None]) -> FloatArray:
        """What each model predicts, shape (n, null models); NaN where it cannot say or has no coefficient."""
        energies = np.full_like(self.quantities, np.nan)
        for j, (name, model) in enumerate(NULL_MODELS.items()):
            if (coefficient := coefficients.get(name)) is not None:
                energies[:, j] = coefficient * self.quantities[:, j] - (0.0 if model.fixed is None else self.idle_j)
        return energies

    def errors_rel(self, coefficients: Mapping[str, float | None], recorded_j: FloatArray) -> FloatArray:
        """(Predicted − recorded) / recorded for energies (n,), shape (n, null models)."""
        return self.energies_j(coefficients) / recorded_j[:, None] - 1
