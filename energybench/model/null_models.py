"""Null models: predictions that know almost nothing. Every error is quoted beside theirs on the same rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np

from energybench.model.equation import Equation
from energybench.model.features import FeatureTable, FloatArray
from energybench.model.term import Role, Term


@dataclass(frozen=True)
class NullModel:
    """Energy proportional to one quantity.

    `feature`  FeatureTable -> (n,); NaN where a row lacks it
    `fixed`    the coefficient where it is given and not fitted (TDP · T), else None
    """

    name: str
    coefficient: str
    unit: str
    description: str
    latex: str
    source: str
    role: Role
    columns: tuple[str, ...]
    feature: Callable[[FeatureTable], FloatArray]
    fixed: float | None = None

    def fit(self, x: FloatArray, energy_j: FloatArray) -> float | None:
        """The coefficient, median(E / x) over quantities and energies (n,); None where no row has x > 0.

        The median is what a null model can do best against a median error; a mean of ratios would make a straw man.
        """
        if self.fixed is not None:
            return self.fixed
        usable = np.isfinite(x) & (x > 0)
        return float(np.median(energy_j[usable] / x[usable])) if usable.any() else None

    def equation(self) -> Equation:
        """The same as an `Equation` of one term."""
        term = Term(
            self.coefficient,
            self.unit,
            self.description,
            self.latex,
            self.source,
            self.role,
            self.feature,
            self.columns,
            additive="parameters" not in self.columns,
        )
        return Equation(self.name, (term,), f"E = {self.latex}", self.source, self.description)


def _column(name: str) -> Callable[[FeatureTable], FloatArray]:
    return lambda table: table.column(name)


_ALL: Final = (
    NullModel(
        "mean-power",
        "mean_power_w",
        "W",
        "mean power times duration",
        r"\bar P T",
        "null model",
        "static",
        ("time_s",),
        _column("time_s"),
    ),
    NullModel(
        "tdp",
        "tdp_share",
        "1",
        "rated power times duration, nothing fitted",
        r"P_{TDP} T",
        "null model",
        "static",
        ("tdp_w", "time_s"),
        lambda table: table.column("tdp_w") * table.column("time_s"),
        fixed=1.0,
    ),
    NullModel(
        "macs-only", "mac_j", "J/MAC", "MACs only", r"a N_{MAC}", "[D1, D6]", "compute", ("macs",), _column("macs")
    ),
    NullModel(
        "parameters-only",
        "parameter_j",
        "J/parameter",
        "number of parameters only",
        "a M",
        "[D1, D5]",
        "memory",
        ("parameters",),
        _column("parameters"),
    ),
    NullModel(
        "operator-count",
        "operator_j",
        "J/operator",
        "number of operators run only",
        r"a N_{op}",
        "[D3]",
        "launch",
        ("operators",),
        _column("operators"),
    ),
)

NULL_MODELS: Final[Mapping[str, NullModel]] = MappingProxyType({model.name: model for model in _ALL})
