"""Covariance of coefficients when rows of one workload err together.

The sandwich estimator with the bias-reduced CR2 adjustment, and Satterthwaite degrees of freedom for each coefficient
(Bell and McCaffrey 2002; Pustejovsky and Tipton 2018). Repeats of one workload share the equation's misfit there, so
the workload is the unit: a coefficient that only one workload carries has no standard error, however often it ran.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from energybench.model.features import BoolArray, FloatArray

#: Singular values of the unit-column matrix below this share of the largest count as zero.
RANK_RTOL: Final = 1e-7
#: A workload whose leverage on a direction is this close to 1 determines it alone.
_ALONE: Final = 1e-8
#: Share of a coefficient's own direction that may lie in such directions.
_TOUCH: Final = 1e-6


@dataclass(frozen=True)
class ClusterCovariance:
    """Covariance (k, k) of the coefficients, finite everywhere; where `estimable` is False it means nothing.

    `dof`         degrees of freedom of each coefficient's variance, (k,); NaN where there is none
    `estimable`   (k,); False for empty columns, columns that others span, and those that one workload carries
    `alone`       (k,) True where the last of these is the reason
    `n_clusters`  number of workloads
    """

    matrix: FloatArray
    dof: FloatArray
    estimable: BoolArray
    alone: BoolArray
    n_clusters: int


def cluster_covariance(X: FloatArray, residuals: FloatArray, clusters: NDArray[np.intp]) -> ClusterCovariance:
    """Covariance from a weighted design (n, k), weighted residuals (n,) and cluster codes 0 … G−1 (n,)."""
    n, k = X.shape
    n_clusters = int(clusters.max()) + 1 if n else 0
    norm = np.linalg.norm(X, axis=0)
    present = norm > 0
    matrix = np.zeros((k, k))
    dof = np.full(k, np.nan)
    estimable = present.copy()
    alone = np.zeros(k, dtype=np.bool_)
    if not present.any():
        return ClusterCovariance(matrix, dof, estimable, alone, n_clusters)
    index = np.flatnonzero(present)
    U, s, vt = np.linalg.svd(X[:, present] / norm[present], full_matrices=False)
    kept = s > RANK_RTOL * s[0]
    if not kept.all():
        spanned = (np.abs(vt[~kept]) > 1e-4).any(axis=0)
        estimable[index[spanned]] = False
    if len(s) < len(index):  # fewer rows than columns
        estimable[index] = False
    Q, T = U[:, kept], (vt[kept] / s[kept, None]).T  # T (k_present, r): coefficients = T Qᵀy
    r = Q.shape[1]
    if n_clusters <= r:  # as many directions as workloads: nothing is left over to judge by
        estimable[:] = False
    scores, B, D, alone_share = _per_cluster(Q, residuals, clusters, n_clusters, T)
    touched = alone_share > _TOUCH
    alone[index[touched]] = True
    estimable[index[touched]] = False
    per_cluster = scores @ T.T
    inner = per_cluster.T @ per_cluster  # a Gram matrix: symmetric, no negative diagonal, to the last digit
    matrix[np.ix_(index, index)] = inner / np.outer(norm[present], norm[present])
    for j, column in enumerate(index):
        d = np.einsum("i,gij,j->g", T[j], D, T[j])
        b = B @ T[j]
        b_norm2 = np.einsum("gi,gi->g", b, b)
        trace = float(np.sum(d - b_norm2))
        square = float(np.sum(d**2) - 2 * np.sum(d * b_norm2) + np.sum((b.T @ b) ** 2))
        if estimable[column] and square > 0 and trace > 0:
            dof[column] = trace**2 / square
        else:
            estimable[column] = False
    return ClusterCovariance(matrix, dof, estimable, alone, n_clusters)


def _per_cluster(
    Q: FloatArray, residuals: FloatArray, clusters: NDArray[np.intp], n_clusters: int, T: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Adjusted scores (G, r), QᵀAQ (G, r, r), QᵀA²Q (G, r, r), and each coefficient's share in lone directions (k,)."""
    r = Q.shape[1]
    scores = np.zeros((n_clusters, r))
    B = np.zeros((n_clusters, r, r))
    D = np.zeros((n_clusters, r, r))
    alone_share = np.zeros(T.shape[0])
    t_norm2 = np.einsum("ij,ij->i", T, T)
    order = np.argsort(clusters, kind="stable")
    sizes = np.bincount(clusters, minlength=n_clusters)
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    single = np.flatnonzero(sizes == 1)
    if single.size:
        rows = order[starts[single]]
        q = Q[rows]
        h = np.einsum("ij,ij->i", q, q)
        lone = 1 - h < _ALONE
        gap = np.where(lone, 1.0, 1 - h)
        factor = np.where(lone, 0.0, 1.0)
        outer = np.einsum("gi,gj->gij", q, q)
        scores[single] = q * (factor * residuals[rows] / np.sqrt(gap))[:, None]
        B[single] = outer * (factor / np.sqrt(gap))[:, None, None]
        D[single] = outer * (factor / gap)[:, None, None]
        if lone.any():
            alone_share += np.sum((T @ q[lone].T) ** 2, axis=1) / t_norm2
    for g in np.flatnonzero(sizes > 1):
        rows = order[starts[g] : starts[g] + sizes[g]]
        u, s, wt = np.linalg.svd(Q[rows], full_matrices=False)
        h = np.minimum(s**2, 1.0)
        lone = 1 - h < _ALONE
        root = np.where(lone, 0.0, 1 / np.sqrt(np.where(lone, 1.0, 1 - h)))  # (1 − h)^(−1/2), pseudo-inverse
        scores[g] = wt.T @ (s * root * (u.T @ residuals[rows]))
        B[g] = (wt.T * (h * root)) @ wt
        D[g] = (wt.T * (h * root**2)) @ wt
        if lone.any():
            alone_share += np.sum((T @ wt[lone].T) ** 2, axis=1) / t_norm2
    return scores, B, D, alone_share
