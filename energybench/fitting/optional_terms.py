"""Which optional terms of `physical` the records need."""

from __future__ import annotations

from typing import Final

import numpy as np

from energybench.fitting.clusters import cluster_labels
from energybench.fitting.least_squares import RelativeLeastSquares
from energybench.model.observations import Observations
from energybench.model.physical import OPTIONAL_NAMES, physical_equation

#: Chance of keeping a term on a device that does not have it.
_P: Final = 1e-3


def needed_terms(rows: Observations, *, by_kernel_class: bool = False) -> tuple[str, ...]:
    """The optional terms that earn their place, one after another, each beside those kept before it.

    The unit is the workload (each idle window by itself): an F-test on the squared means of their relative residuals,
    one coefficient more against one less. A term that its bound holds at 0 explains nothing and is not kept; nor is one
    that no row has, or that the rows cannot tell from the terms there are (active power without idle windows).
    """
    kept: tuple[str, ...] = ()
    without = _square(rows, kept, by_kernel_class=by_kernel_class)
    for name in OPTIONAL_NAMES:
        with_it = _square(rows, (*kept, name), by_kernel_class=by_kernel_class)
        if with_it is not None and without is not None and _improves(without, with_it):
            kept, without = (*kept, name), with_it
    return kept


def _square(rows: Observations, names: tuple[str, ...], *, by_kernel_class: bool) -> tuple[float, int] | None:
    """Sum over workloads of squared mean residuals and what is left to judge by; None where the last term is idle."""
    equation = physical_equation(rows.table, by_kernel_class=by_kernel_class, optional=names)
    X = equation.features(rows.table).X
    if names and not X[:, -1].any():
        return None
    estimator = RelativeLeastSquares(nonneg=equation.nonneg).fit(X, rows.energy_j)
    if names and estimator.at_bound_[-1]:
        return None
    _, clusters = np.unique(cluster_labels(rows), return_inverse=True)
    relative = estimator.predict(X) / rows.energy_j - 1
    mean = np.bincount(clusters, relative) / np.bincount(clusters)
    return float(mean @ mean), len(mean) - X.shape[1]


def _improves(without: tuple[float, int], with_it: tuple[float, int]) -> bool:
    from scipy.stats import f

    (before, _), (after, left) = without, with_it
    if left <= 0 or after >= before:
        return False
    return float(f.sf((before - after) / (after / left), 1, left)) < _P
