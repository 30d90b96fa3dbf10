"""The next batch of runs, given what is known so far: optimal under the coefficients that were fitted last."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from energybench.design.interval_optimal import interval_optimal_rows
from energybench.errors import UsageError


def relative_rows(features: NDArray[np.float64], coefficients: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows of the relative fit in units of its coefficients: share of each term in the expected energy of a row.

    features is (m, k), coefficients (k,) ≥ 0, as fitted last; the result (m, k) has rows that sum to 1. A coefficient
    of 0 (not seen yet, or held at its bound) is given the smallest share that would make it a thousandth of some row:
    a column of zeros could never be chosen for, and a row of nothing else would cost nothing.

    Raises UsageError where shapes do not fit or a row has no expected energy.
    """
    X, b = np.asarray(features, dtype=np.float64), np.asarray(coefficients, dtype=np.float64)
    if X.ndim != 2 or b.shape != (X.shape[1],) or bool(np.any(b < 0)):
        raise UsageError("features must be (m, k) and coefficients k numbers, 0 or more; use one equation for both")
    energy = X @ b
    priced = energy > 0
    b = b.copy()
    for j in np.flatnonzero(b == 0):
        most = float(np.max(X[priced, j] / energy[priced], initial=0.0))
        b[j] = 1e-3 / most if most > 0 else 0.0
    energy = X @ b
    if not bool(np.all(energy > 0)):
        raise UsageError("a candidate has no expected energy; leave it out or give its time")
    shares: NDArray[np.float64] = X * b / energy[:, None]
    return shares


def next_batch(
    candidates: NDArray[np.float64],
    coefficients: NDArray[np.float64],
    n_rows: int,
    *,
    run_so_far: NDArray[np.int64] | None = None,
    cost: NDArray[np.float64] | None = None,
    targets: NDArray[np.float64] | None = None,
    most_each: NDArray[np.int64] | None = None,
    misfit_ratio: float = 1.0,
    errs_alone: NDArray[np.bool_] | None = None,
) -> list[int]:
    """Indices of the `n_rows` candidates to run next; an index comes again where a repeat helps most.

    With `targets` those that narrow the intervals of the targets' estimates most, without those of the coefficients,
    each relative to itself.

    Args:
        candidates: (m, k) features of one call of each candidate.
        coefficients: (k,) fitted last.
        n_rows: how many windows to choose; fewer come back where `most_each` allows no more.
        run_so_far: indices of the windows taken, with repeats.
        cost: (m,) seconds of a window of each.
        targets: (t, k) features of one call of each model whose estimate is wanted.
        most_each: (m,) windows of each candidate at most, those already taken included.
        misfit_ratio: variance of what the equation misses at a workload over that of one window; repeats share the
            first, and no number of them averages it out.
        errs_alone: (m,) True where every window errs by itself.

    Raises UsageError as `relative_rows` and `interval_optimal_rows`.
    """
    rows = relative_rows(candidates, coefficients)
    so_far = np.zeros(0, dtype=np.int64) if run_so_far is None else np.asarray(run_so_far, dtype=np.int64)
    windows = np.bincount(so_far, minlength=len(rows))
    # A coefficient that no row carries has a column of zeros; it cannot be narrowed and must not be asked for.
    wanted = np.eye(rows.shape[1])[rows.any(axis=0)] if targets is None else relative_rows(targets, coefficients)
    return interval_optimal_rows(
        rows,
        wanted,
        n_rows,
        windows=windows,
        misfit_ratio=misfit_ratio,
        errs_alone=errs_alone,
        cost=cost,
        most=None if most_each is None else most_each - windows,
    )
