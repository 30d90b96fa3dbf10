"""Which workloads a coefficient hangs on: how far it moves when one of them is left out."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from energybench.model.features import FloatArray

#: Determinant of I − leverage below which the other workloads leave a direction open.
_ALONE: Final = 1e-8


def left_out_changes(X: FloatArray, residuals: FloatArray, clusters: NDArray[np.intp]) -> FloatArray:
    """Coefficient without a workload minus coefficient with all, (workloads, k), at the weights of the whole fit.

    Exact for least squares without bounds: Δ_g = −(XᵀX)⁺ X_gᵀ (I − H_gg)⁻¹ e_g (Belsley, Kuh and Welsch 1980, for
    groups of rows). NaN for a workload that alone carries some direction, since without it the fit does not exist.

    Args:
        X: weighted design (n, k); empty columns get no change.
        residuals: weighted residuals (n,).
        clusters: code of each row's workload, 0 … G−1, (n,).
    """
    n_clusters, k = int(clusters.max()) + 1, X.shape[1]
    norm = np.linalg.norm(X, axis=0)
    present = norm > 0
    Z = X[:, present] / norm[present]
    inverse = np.linalg.pinv(Z.T @ Z, hermitian=True)
    unit = np.eye(Z.shape[1])
    changes = np.zeros((n_clusters, k))
    for g in range(n_clusters):
        rows = np.flatnonzero(clusters == g)
        # Zᵀ(I − Z A Zᵀ)⁻¹ = (I − ZᵀZ A)⁻¹ Zᵀ: a k × k problem however many rows a workload has
        gap = unit - Z[rows].T @ Z[rows] @ inverse
        if abs(np.linalg.det(gap)) < _ALONE:
            changes[g] = np.nan
            continue
        changes[g, present] = -(inverse @ np.linalg.solve(gap, Z[rows].T @ residuals[rows])) / norm[present]
    return changes
