"""How far predictions miss workloads, and whether more coefficients earn their place by it."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from energybench.fitting.clusters import cluster_labels
from energybench.model.features import FloatArray
from energybench.model.observations import Observations

#: Chance of keeping a coefficient on a device that does not have it.
_P: Final = 1e-3


class WorkloadSquares(NamedTuple):
    """Sum over workloads (each idle window by itself) of squared mean relative residuals, and what is left to judge."""

    total: float
    left: int


def workload_squares(rows: Observations, predicted_j: FloatArray, coefficients: int) -> WorkloadSquares:
    """Of predictions (n,) that that many coefficients made."""
    _, clusters = np.unique(cluster_labels(rows), return_inverse=True)
    mean = np.bincount(clusters, predicted_j / rows.energy_j - 1) / np.bincount(clusters)
    return WorkloadSquares(float(mean @ mean), len(mean) - coefficients)


def improves(without: WorkloadSquares, with_it: WorkloadSquares) -> bool:
    """F-test of the predictions with more coefficients against those with fewer, the workload being the unit.

    Where they are no more, one is what choosing between the two costs.
    """
    from scipy.stats import f

    after, left = with_it
    more = max(without.left - left, 1)
    if left <= 0 or after >= without.total:
        return False
    return float(f.sf((without.total - after) / more / (after / left), more, left)) < _P
