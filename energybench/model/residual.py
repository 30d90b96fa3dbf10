"""`ResidualLearner`: what an equation leaves of the energy of work like this, learnt from the fitted rows around it.

Off unless it is asked for. It explains nothing and holds near the fitted rows alone; far from them its factor is 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from energybench.model.features import FeatureTable, FloatArray
from energybench.model.gaussian_process import closeness, log_counts

#: What places a row among others, each as ln(1 + count of one operator); a network lies where its mean operator does.
COLUMNS: Final = ("macs", "other_flops", "bytes", "launches")


def mean_operator(table: FeatureTable) -> FloatArray:
    """Where the rows of a table lie, (n, columns)."""
    return log_counts(table, COLUMNS, per="operators")


@dataclass(frozen=True, eq=False)
class ResidualLearner:
    """ln(recorded over predicted) = closeness to `points` (m, columns) · `weights` (m,), at length scale `length`."""

    length: float
    points: FloatArray
    weights: FloatArray

    def factor(self, table: FeatureTable) -> FloatArray:
        """Recorded over predicted energy of each row that has a price, (n,); 1 for idle windows."""
        log = closeness(mean_operator(table), self.points, self.length) @ self.weights
        return np.asarray(np.where(table.kernel_class == "idle", 1.0, np.exp(log)), dtype=np.float64)

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready mapping."""
        return {"length": self.length, "points": self.points.tolist(), "weights": self.weights.tolist()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ResidualLearner:
        """The inverse of `to_dict`, for data that was validated."""
        points = np.array(data["points"], dtype=np.float64).reshape(-1, len(COLUMNS))
        return cls(float(data["length"]), points, np.array(data["weights"], dtype=np.float64))
