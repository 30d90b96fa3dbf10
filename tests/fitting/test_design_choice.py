"""Collinearity figures against known matrices, and the next rows to run."""

from __future__ import annotations

import numpy as np
import pytest

from energybench.design import condition_number, d_optimal_rows, vif
from energybench.errors import UsageError


def test_orthogonal_columns_inflate_nothing() -> None:
    X = np.diag([1.0, 1e9, 1e-9])
    assert vif(X) == pytest.approx([1, 1, 1], rel=1e-12)
    assert condition_number(X) == pytest.approx(1.0, rel=1e-12)


def test_two_columns_at_an_angle() -> None:
    """cos = 0.8: VIF = 1 / (1 − 0.64), condition = sqrt((1 + 0.8) / (1 − 0.8))."""
    X = np.array([[1.0, 0.8], [0.0, 0.6]])
    assert vif(X) == pytest.approx([1 / 0.36] * 2, rel=1e-12)
    assert condition_number(X) == pytest.approx(3.0, rel=1e-12)


def test_vif_is_the_inflation_against_regression_on_the_others() -> None:
    rng = np.random.default_rng(0)
    X = rng.uniform(0, 1, (40, 4))
    for j in range(4):
        others = np.delete(X, j, axis=1)
        residual = X[:, j] - others @ np.linalg.lstsq(others, X[:, j], rcond=None)[0]
        assert vif(X)[j] == pytest.approx(X[:, j] @ X[:, j] / (residual @ residual), rel=1e-9)


def test_dependent_empty_and_short_matrices() -> None:
    a = np.arange(1.0, 6.0)
    assert np.isinf(vif(np.column_stack([a, 2 * a]))).all()
    assert np.isnan(vif(np.column_stack([a, 0 * a]))[1])
    assert condition_number(np.column_stack([a, 2 * a])) == np.inf
    assert condition_number(np.column_stack([a, 0 * a])) == np.inf
    assert condition_number(np.ones((1, 2))) == np.inf
    assert np.isinf(vif(np.ones((1, 2)))).all()


def test_the_missing_direction_is_run_next() -> None:
    past = np.array([[1.0, 0.0], [1.0, 0.01]])
    assert d_optimal_rows(np.array([[1.0, 0.0], [0.2, 1.0]]), 1, existing=past) == [1]


def test_greedy_choice_raises_the_determinant_most() -> None:
    rng = np.random.default_rng(5)
    candidates, past = rng.uniform(0, 1, (30, 3)), rng.uniform(0, 1, (4, 3))
    gains = [np.linalg.det(past.T @ past + np.outer(c, c)) for c in candidates]
    assert d_optimal_rows(candidates, 1, existing=past) == [int(np.argmax(gains))]
    chosen = d_optimal_rows(candidates, 5, existing=past)
    best = np.linalg.det((m := np.vstack([past, candidates[chosen]])).T @ m)
    random = [np.linalg.det((r := np.vstack([past, candidates[rng.choice(30, 5)]])).T @ r) for _ in range(200)]
    assert best > np.quantile(random, 0.99)


def test_a_dear_candidate_must_be_worth_it() -> None:
    candidates = np.array([[1.0, 0.0], [0.9, 0.0]])
    assert d_optimal_rows(candidates, 1) == [0]
    assert d_optimal_rows(candidates, 1, cost=np.array([10.0, 1.0])) == [1]


@pytest.mark.parametrize(
    "arguments",
    [
        {"candidates": np.zeros((0, 2)), "n_rows": 1},
        {"candidates": np.ones((2, 2)), "n_rows": -1},
        {"candidates": np.ones((2, 2)), "n_rows": 1, "existing": np.ones((1, 3))},
        {"candidates": np.ones((2, 2)), "n_rows": 1, "cost": np.zeros(2)},
    ],
)
def test_matrices_that_do_not_fit_are_refused(arguments: dict) -> None:
    with pytest.raises(UsageError):
        d_optimal_rows(**arguments)
