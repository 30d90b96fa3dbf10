"""Whether the records need a power term of their own for calls that do work."""

from __future__ import annotations

from typing import Final

import numpy as np

from energybench.fitting.clusters import cluster_labels
from energybench.fitting.least_squares import RelativeLeastSquares
from energybench.model.observations import Observations
from energybench.model.physical import physical_equation

#: Chance of keeping the term on a device that does not have it.
_P: Final = 1e-3


def needs_active_power(rows: Observations, *, by_kernel_class: bool = False) -> bool:
    """Compare `physical` with and without ``active_power_w`` on the same rows.

    The unit is the workload (each idle window by itself): an F-test on the squared means of their relative residuals,
    one coefficient more against one less. A term that its bound holds at 0 explains nothing and is not kept; nor is it
    where there are no idle windows, for then the two power columns are one.
    """
    from scipy.stats import f

    squares: list[float] = []
    for active_power in (False, True):
        equation = physical_equation(rows.table, by_kernel_class=by_kernel_class, active_power=active_power)
        X = equation.features(rows.table).X
        estimator = RelativeLeastSquares(nonneg=equation.nonneg).fit(X, rows.energy_j)
        if active_power and estimator.at_bound_[-1]:
            return False
        _, clusters = np.unique(cluster_labels(rows), return_inverse=True)
        relative = estimator.predict(X) / rows.energy_j - 1
        mean = np.bincount(clusters, relative) / np.bincount(clusters)
        squares.append(float(mean @ mean))
        left = len(mean) - X.shape[1]
    without, with_it = squares
    if left <= 0 or with_it >= without:
        return False
    return float(f.sf((without - with_it) / (with_it / left), 1, left)) < _P
