"""Whether the records need MAC coefficients by kernel class, and how strongly these are drawn to their mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from energybench.fitting.clusters import cluster_labels
from energybench.fitting.least_squares import RelativeLeastSquares
from energybench.fitting.shrinkage import STRENGTHS, Shrinkage
from energybench.model.equation import Equation
from energybench.model.observations import Observations
from energybench.model.physical import physical_equation

#: Chance of splitting the MACs of a device whose kernels all cost the same.
_P: Final = 1e-3
#: Share of the squared error on left-out workloads that classes may keep at most. Devices without them pass the F-test
#: more often than its level says, since their workloads are not measured equally well, but gain next to nothing here.
_WORTH: Final = 0.8
#: Refits of the cross-validation at one strength.
_FOLDS: Final = 10


def choose_kernel_classes(rows: Observations, *, optional: Sequence[str]) -> tuple[Equation, Shrinkage] | None:
    """`physical` with shrunken kernel classes where the records need it; None where one MAC coefficient will do.

    Twice the bar: an F-test over workloads, and a smaller squared error on workloads left out at the best strength.
    Both take the workload as the unit, so that repeats prove nothing.
    """
    from scipy.stats import f

    pooled = physical_equation(rows.table, optional=optional)
    split = physical_equation(rows.table, class_mean=True, optional=optional)
    extra = len(split.terms) - len(pooled.terms)
    means_at = [split.names.index(n) for n in pooled.names if n in split.names and n.startswith("mac_")]
    if extra <= len(means_at):  # one class per element type: nothing to tell apart
        return None
    X0, X1 = pooled.features(rows.table).X, split.features(rows.table).X
    y = rows.energy_j
    names, clusters = np.unique(cluster_labels(rows), return_inverse=True)
    count = np.bincount(clusters)
    first = RelativeLeastSquares(nonneg=pooled.nonneg).fit(X0, y)
    free = RelativeLeastSquares(nonneg=split.nonneg).fit(X1, y)
    without, with_it = (
        float(np.sum((np.bincount(clusters, e.predict(X) / y - 1) / count) ** 2)) for e, X in ((first, X0), (free, X1))
    )
    steps = extra - len(means_at)
    left = len(names) - len(pooled.terms) - steps
    if left <= 0 or with_it >= without:
        return None
    if float(f.sf((without - with_it) / steps / (with_it / left), steps, left)) >= _P:
        return None
    means = dict(zip(pooled.names, map(float, first.coef_), strict=True))
    work = np.unique(clusters[~rows.idle])
    folds = np.full(len(names), -1)
    folds[work] = np.random.default_rng(0).permutation(len(work)) % _FOLDS
    baseline = _left_out_error(RelativeLeastSquares(nonneg=pooled.nonneg), X0, y, folds[clusters])
    candidates = [Shrinkage.of(split.names, means, strength) for strength in STRENGTHS]
    errors = [
        _left_out_error(RelativeLeastSquares(nonneg=split.nonneg, shrinkage=c), X1, y, folds[clusters])
        for c in candidates
    ]
    best = int(np.argmin(errors))
    return (split, candidates[best]) if errors[best] < _WORTH * baseline else None


def _left_out_error(template: RelativeLeastSquares, X: np.ndarray, y: np.ndarray, fold: np.ndarray) -> float:
    """Mean squared relative error of rows left out fold by fold; rows of fold −1 always train."""
    squares = []
    for i in range(_FOLDS):
        test = fold == i
        if test.any() and not test.all():
            predicted = template.clone().fit(X[~test], y[~test]).predict(X[test])
            squares.append((predicted / y[test] - 1) ** 2)
    return float(np.mean(np.concatenate(squares)))
