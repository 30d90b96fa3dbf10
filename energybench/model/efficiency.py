"""`Efficiency`: how much longer than its roofline an operator of some shape takes, learnt from timed operators near it.

A library is not equally good at every shape, and no count says how good: the mean of a Gaussian process over logarithms
of an operator's counts says it from the operators that were timed. Far from every operator of its kernel class the
factor falls back to that of the class's median.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from energybench.model.features import FeatureTable, FloatArray
from energybench.model.gaussian_process import closeness, log_counts

#: What places an operator among others, each as ln(1 + count of one call).
COLUMNS: Final = ("macs", "other_flops", "load_bytes", "store_bytes", "weight_load_bytes")


def places(table: FeatureTable) -> FloatArray:
    """Where the operators of a table lie, (n, columns); a row of several calls lies where one of them does."""
    return log_counts(table, COLUMNS, per="calls")


@dataclass(frozen=True, eq=False)
class ClassEfficiency:
    """One kernel class: ln(time over roofline) = `level` + closeness to `points` (m, columns) · `weights` (m,)."""

    level: float
    points: FloatArray
    weights: FloatArray

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready mapping."""
        return {"level": self.level, "points": self.points.tolist(), "weights": self.weights.tolist()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ClassEfficiency:
        """The inverse of `to_dict`, for data that was validated."""
        points = np.array(data["points"], dtype=np.float64).reshape(-1, len(COLUMNS))
        return cls(float(data["level"]), points, np.array(data["weights"], dtype=np.float64))


@dataclass(frozen=True)
class Efficiency:
    """Of all kernel classes with enough timed operators; the others stay on their roofline."""

    length: float
    by_class: Mapping[str, ClassEfficiency]

    def factor(self, table: FeatureTable) -> FloatArray:
        """Time over roofline for each row, (n,)."""
        log = np.zeros(len(table))
        at = places(table)
        for name, one in self.by_class.items():
            mine = table.kernel_class == name
            if mine.any():
                log[mine] = one.level + closeness(at[mine], one.points, self.length) @ one.weights
        return np.asarray(np.exp(log), dtype=np.float64)

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready mapping."""
        return {"length": self.length, "by_class": {name: one.to_dict() for name, one in self.by_class.items()}}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Efficiency:
        """The inverse of `to_dict`, for data that was validated."""
        return cls(float(data["length"]), {str(k): ClassEfficiency.from_dict(v) for k, v in data["by_class"].items()})
