"""Whether the records need MAC coefficients by kernel class, and how strongly these are drawn to their mean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from energybench.fitting.clusters import cluster_labels
from energybench.fitting.development import network_error, networks_object
from energybench.fitting.least_squares import RelativeLeastSquares
from energybench.fitting.shrinkage import STRENGTHS, Shrinkage
from energybench.fitting.workload_squares import improves, workload_squares
from energybench.model.equation import Equation
from energybench.model.features import FloatArray
from energybench.model.observations import Observations
from energybench.model.physical import physical_equation
from energybench.units import Watt

#: Share of the squared error on left-out workloads that classes may keep at most. Devices without them pass the F-test
#: more often than its level says, since their workloads are not measured equally well, but gain next to nothing here.
_WORTH: Final = 0.8
#: Refits of the cross-validation at one strength.
_FOLDS: Final = 10


def choose_kernel_classes(
    rows: Observations,
    held: Observations | None = None,
    *,
    optional: Sequence[str],
    held_power_w: Watt | None = None,
) -> tuple[Equation, Shrinkage] | None:
    """`physical` with shrunken kernel classes where the records need it; None where one MAC coefficient will do.

    Three bars: an F-test over workloads, a smaller squared error on workloads left out at the best strength (both take
    the workload as the unit, so that repeats prove nothing), and no larger error of the networks of `held`, none of
    which is predicted above the power limit `held_power_w`.
    """
    pooled = physical_equation(rows.table, optional=optional)
    split = physical_equation(rows.table, class_mean=True, optional=optional)
    means_at = [split.names.index(n) for n in pooled.names if n in split.names and n.startswith("mac_")]
    X0, X1 = pooled.features(rows.table).X, split.features(rows.table).X
    # classes that some row of their element type has; the others hang on what is known of them elsewhere
    extra = sum(bool(X1[:, i].any()) for i, name in enumerate(split.names) if name not in pooled.names)
    if extra <= len(means_at):  # one class per element type: nothing to tell apart
        return None
    y = rows.energy_j
    names, clusters = np.unique(cluster_labels(rows), return_inverse=True)
    first = RelativeLeastSquares(nonneg=pooled.nonneg).fit(X0, y)
    free = RelativeLeastSquares(nonneg=split.nonneg).fit(X1, y)
    more = len(pooled.terms) + extra - len(means_at)
    if not improves(
        workload_squares(rows, first.predict(X0), len(pooled.terms)), workload_squares(rows, free.predict(X1), more)
    ):
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
    if errors[best] >= _WORTH * baseline:
        return None
    shared = Shrinkage.of(split.names, means, STRENGTHS[best], across=True)
    chosen = _better_at_new_classes(rows, split, X1, candidates[best], shared)
    if held is not None and len(held):
        before, after = (
            network_error(rows, held, equation, shrinkage, held_power_w=held_power_w)
            for equation, shrinkage in ((pooled, None), (split, chosen))
        )
        if networks_object(before, after):
            return None
    return split, chosen


def _better_at_new_classes(
    rows: Observations, split: Equation, X: FloatArray, apart: Shrinkage, shared: Shrinkage
) -> Shrinkage:
    """Whichever predicts a kernel class better that no row of its element type told of."""
    if len(shared.rows) == len(apart.rows):  # one element type, or no class in two
        return apart
    cells = np.array([f"{d}/{k}" for d, k in zip(rows.labels["dtype"], rows.table.kernel_class, strict=True)])
    of_class = [i for i, name in enumerate(split.names) if name.startswith("mac_")]
    _, cell = np.unique(cells, return_inverse=True)
    fold = np.where(X[:, of_class].any(axis=1), cell, -1)
    without, with_it = (
        _left_out_error(RelativeLeastSquares(nonneg=split.nonneg, shrinkage=c), X, rows.energy_j, fold)
        for c in (apart, shared)
    )
    return shared if with_it < without else apart


def _left_out_error(template: RelativeLeastSquares, X: FloatArray, y: FloatArray, fold: NDArray[np.intp]) -> float:
    """Mean squared relative error of rows left out fold by fold; rows of fold −1 always train."""
    squares = []
    for i in range(int(fold.max()) + 1):
        test = fold == i
        if test.any() and not test.all():
            predicted = template.clone().fit(X[~test], y[~test]).predict(X[test])
            squares.append((predicted / y[test] - 1) ** 2)
    return float(np.mean(np.concatenate(squares)))
