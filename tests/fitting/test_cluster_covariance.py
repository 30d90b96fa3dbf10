"""The clustered covariance against dense textbook formulas, and what it must not claim."""

from __future__ import annotations

import numpy as np
import pytest

from energybench.fitting import cluster_covariance


def dense(X: np.ndarray, e: np.ndarray, clusters: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """CR2 and Satterthwaite by full n × n matrices (Bell and McCaffrey 2002)."""
    n, k = X.shape
    bread = np.linalg.inv(X.T @ X)
    H = X @ bread @ X.T
    meat = np.zeros((k, k))
    columns = []
    for g in np.unique(clusters):
        rows = clusters == g
        w, v = np.linalg.eigh(np.eye(rows.sum()) - H[np.ix_(rows, rows)])
        A = (v / np.sqrt(w)) @ v.T
        u = X[rows].T @ A @ e[rows]
        meat += np.outer(u, u)
        columns.append((np.eye(n) - H)[rows].T @ A @ X[rows] @ bread)
    dof = []
    for j in range(k):
        P = np.stack([c[:, j] for c in columns], axis=1)
        G = P.T @ P
        dof.append(np.trace(G) ** 2 / np.sum(G**2))
    return bread @ meat @ bread, np.array(dof)


@pytest.mark.parametrize("sizes", [[1] * 9, [3] * 7, [1, 1, 2, 5, 1, 4, 2, 1]])
def test_equal_to_the_dense_formula(sizes: list[int]) -> None:
    rng = np.random.default_rng(sum(sizes))
    clusters = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    X = rng.uniform(0.1, 1, (len(clusters), 3)) * [1.0, 1e9, 1e-6]
    e = rng.standard_normal(len(clusters))
    result = cluster_covariance(X, e, clusters)
    scale = np.linalg.norm(X, axis=0)
    matrix, dof = dense(X / scale, e, clusters)
    assert result.matrix * np.outer(scale, scale) == pytest.approx(matrix, rel=1e-8)
    assert result.dof == pytest.approx(dof, rel=1e-7)
    assert result.estimable.all()
    assert (result.matrix == result.matrix.T).all()


def test_repeating_every_row_tells_nothing_new() -> None:
    rng = np.random.default_rng(0)
    X, e = rng.uniform(1, 2, (10, 2)), rng.standard_normal(10)
    e -= X @ np.linalg.lstsq(X, e, rcond=None)[0]
    once = cluster_covariance(X, e, np.arange(10))
    thrice = cluster_covariance(np.tile(X, (3, 1)), np.tile(e, 3), np.tile(np.arange(10), 3))
    assert np.sqrt(np.diag(thrice.matrix)) == pytest.approx(np.sqrt(np.diag(once.matrix)), rel=1e-9)


def test_a_coefficient_that_one_workload_carries_has_no_error() -> None:
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.uniform(1, 2, 12), np.repeat([0, 0, 0, 1.0], 3)])
    result = cluster_covariance(X, rng.standard_normal(12), np.repeat(np.arange(4), 3))
    assert result.alone.tolist() == [False, True]
    assert result.estimable.tolist() == [True, False]
    assert np.isnan(result.dof[1])


def test_columns_that_span_each_other_have_no_error() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.uniform(1, 2, (2, 20))
    X = np.column_stack([a, 2 * a, b, np.zeros(20)])
    result = cluster_covariance(X, rng.standard_normal(20), np.arange(20))
    assert result.estimable.tolist() == [False, False, True, False]
    assert np.isfinite(result.matrix).all()


def test_as_many_coefficients_as_workloads_leave_nothing_to_judge_by() -> None:
    rng = np.random.default_rng(0)
    result = cluster_covariance(rng.uniform(1, 2, (6, 3)), rng.standard_normal(6), np.repeat(np.arange(3), 2))
    assert not result.estimable.any()
