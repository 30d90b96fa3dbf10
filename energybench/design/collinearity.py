"""How well the columns of a design matrix can be told apart (Belsley, Kuh and Welsch 1980)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def _unit_columns(X: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    norm = np.linalg.norm(X, axis=0)
    present = norm > 0
    return X[:, present] / norm[present], present


def vif(X: NDArray[np.float64]) -> NDArray[np.float64]:
    """Variance inflation of each column against the others, uncentred since the equations have no intercept.

    X is (n, k), already weighted; the result (k,) is ≥ 1, inf for a column that the others span, NaN for an empty one.
    """
    result = np.full(X.shape[1], np.nan)
    Z, present = _unit_columns(X)
    if not present.any():
        return result
    _, s, vt = np.linalg.svd(Z, full_matrices=False)
    floor = s[0] * max(Z.shape) * np.finfo(np.float64).eps
    values = np.zeros(Z.shape[1])
    for sigma, v in zip(s, vt, strict=True):
        if sigma > floor:
            values += (v / sigma) ** 2
        else:
            values[np.abs(v) > 1e-6] = np.inf
    if Z.shape[0] < Z.shape[1]:  # fewer rows than columns: nothing can be told apart
        values[:] = np.inf
    result[present] = np.maximum(values, 1.0)
    return result


def condition_number(X: NDArray[np.float64]) -> float:
    """Ratio of the extreme singular values of the column-scaled (n, k) matrix; inf where columns are dependent."""
    Z, present = _unit_columns(X)
    if not present.all() or Z.shape[0] < Z.shape[1] or Z.size == 0:
        return float("inf")
    s = np.linalg.svd(Z, compute_uv=False)
    floor = s[0] * max(Z.shape) * np.finfo(np.float64).eps
    return float(s[0] / s[-1]) if s[-1] > floor else float("inf")
