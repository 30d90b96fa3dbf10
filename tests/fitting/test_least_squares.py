"""The estimator: certified digits, unbiased weights, bounds, scaling, refusals."""

from __future__ import annotations

import numpy as np
import pytest

from energybench.errors import FitError
from energybench.fitting import RelativeLeastSquares

# NIST StRD linear regression, Norris (lower difficulty): y, x. Certified: intercept, slope.
NORRIS = np.array(
    """0.1 0.2 338.8 337.4 118.1 118.2 888.0 884.6 9.2 10.1 228.1 226.5 668.5 666.3 998.5 996.3 449.1 448.6 778.9 777.0
    559.2 558.2 0.3 0.4 0.1 0.6 778.1 775.5 668.8 666.9 339.3 338.0 448.9 447.5 10.8 11.6 557.7 556.0 228.3 228.1
    998.0 995.8 888.8 887.6 119.6 120.2 0.3 0.3 0.6 0.3 557.6 556.8 339.3 339.1 888.0 887.2 998.5 999.0 778.9 779.0
    10.2 11.1 117.6 118.3 228.9 229.2 668.4 669.1 449.2 448.9 0.2 0.5""".split(),
    dtype=float,
).reshape(-1, 2)
NORRIS_CERTIFIED = [-0.262323073774029, 1.00211681802045]

# NIST StRD linear regression, Longley (higher difficulty): y, x1 … x6.
LONGLEY = np.array(
    """60323 83.0 234289 2356 1590 107608 1947
    61122 88.5 259426 2325 1456 108632 1948
    60171 88.2 258054 3682 1616 109773 1949
    61187 89.5 284599 3351 1650 110929 1950
    63221 96.2 328975 2099 3099 112075 1951
    63639 98.1 346999 1932 3594 113270 1952
    64989 99.0 365385 1870 3547 115094 1953
    63761 100.0 363112 3578 3350 116219 1954
    66019 101.2 397469 2904 3048 117388 1955
    67857 104.6 419180 2822 2857 118734 1956
    68169 108.4 442769 2936 2798 120445 1957
    66513 110.8 444546 4681 2637 121950 1958
    68655 112.6 482704 3813 2552 123366 1959
    69564 114.2 502601 3931 2514 125368 1960
    69331 115.7 518173 4806 2572 127852 1961
    70551 116.9 554894 4007 2827 130081 1962""".split(),
    dtype=float,
).reshape(-1, 7)
LONGLEY_CERTIFIED = [
    -3482258.63459582,
    15.0618722713733,
    -0.358191792925910e-01,
    -2.02022980381683,
    -1.03322686717359,
    -0.511041056535807e-01,
    1829.15146461355,
]


def test_norris_to_its_certified_digits() -> None:
    X = np.column_stack([np.ones(len(NORRIS)), NORRIS[:, 1]])
    fit = RelativeLeastSquares(nonneg=False, relative=False).fit(X, NORRIS[:, 0])
    assert fit.coef_ == pytest.approx(NORRIS_CERTIFIED, rel=1e-11)


def test_longley_to_its_certified_digits() -> None:
    X = np.column_stack([np.ones(len(LONGLEY)), LONGLEY[:, 1:]])
    fit = RelativeLeastSquares(nonneg=False, relative=False).fit(X, LONGLEY[:, 0])
    assert fit.coef_ == pytest.approx(LONGLEY_CERTIFIED, rel=1e-9)


def test_sample_weight_counts_a_row_as_often() -> None:
    rng = np.random.default_rng(1)
    X, times = rng.uniform(1, 2, (12, 3)), rng.integers(1, 4, 12)
    y = X @ [1.0, 2.0, 3.0] * (1 + 0.1 * rng.standard_normal(12))
    weighted = RelativeLeastSquares().fit(X, y, sample_weight=times)
    repeated = RelativeLeastSquares().fit(np.repeat(X, times, axis=0), np.repeat(y, times))
    assert weighted.coef_ == pytest.approx(repeated.coef_, rel=1e-7)


def test_weights_from_fitted_values_leave_no_bias() -> None:
    """1/y² weights from the data would land 4 % low at 20 % noise."""
    rng = np.random.default_rng(2)
    X = rng.uniform(0.1, 10, (20_000, 2))
    truth = np.array([3.0, 5.0])
    y = X @ truth * (1 + 0.2 * rng.standard_normal(len(X)).clip(-3, 3))
    fit = RelativeLeastSquares().fit(X, y)
    assert fit.converged_
    assert fit.coef_ == pytest.approx(truth, rel=0.01)
    from_data = RelativeLeastSquares(relative=False).fit(X, y, sample_weight=y**-2.0)
    assert (from_data.coef_ < truth * 0.97).all()


def test_relative_error_counts_not_joules() -> None:
    """A microjoule row and a kilojoule row that contradict each other pull alike."""
    fit = RelativeLeastSquares().fit([[1e-6], [1e3]], [1.1e-6, 0.9e3])
    assert fit.coef_ == pytest.approx([1.0], rel=1e-6)


def test_units_twelve_decades_apart_are_solved_as_well_as_equal_ones() -> None:
    rng = np.random.default_rng(3)
    X = rng.uniform(1, 2, (30, 3))
    scale = np.array([1e12, 1.0, 1e-6])
    y = X @ [1.0, 2.0, 3.0] * (1 + 0.01 * rng.standard_normal(30))
    plain, scaled = RelativeLeastSquares().fit(X, y), RelativeLeastSquares().fit(X * scale, y)
    assert scaled.coef_ * scale == pytest.approx(plain.coef_, rel=1e-9)


def test_a_coefficient_that_would_be_negative_is_clamped_and_said() -> None:
    X = np.array([[1.0, 0.0], [1.0, 1.0], [1.0, 2.0]])
    y = X @ [3.0, -0.5]
    bounded = RelativeLeastSquares().fit(X, y)
    assert bounded.at_bound_.tolist() == [False, True]
    assert bounded.coef_[1] == 0.0
    free = RelativeLeastSquares(nonneg=(True, False)).fit(X, y)
    assert free.coef_ == pytest.approx([3.0, -0.5], rel=1e-6)
    assert not free.at_bound_.any()


def test_a_column_without_work_gets_nothing() -> None:
    fit = RelativeLeastSquares().fit([[1.0, 0.0], [2.0, 0.0]], [3.0, 6.0])
    assert fit.coef_.tolist() == [pytest.approx(3.0, rel=1e-12), 0.0]


def test_predict_multiplies() -> None:
    fit = RelativeLeastSquares().fit([[1.0, 1.0], [2.0, 1.0], [1.0, 3.0]], [5.0, 7.0, 11.0])
    assert fit.predict([[10.0, 0.0]]) == pytest.approx([20.0], rel=1e-9)


@pytest.mark.parametrize(
    ("X", "y", "weight", "message"),
    [
        ([[1.0]], [1.0, 2.0], None, "do not fit"),
        (np.zeros((0, 1)), [], None, "nothing to fit"),
        ([[np.nan]], [1.0], None, "finite"),
        ([[1.0]], [np.inf], None, "finite"),
        ([[1.0]], [0.0], None, "positive"),
        ([[1.0]], [-1.0], None, "positive"),
        ([[1.0]], [1.0], [-1.0], "sample_weight"),
        ([[1.0]], [1.0], [1.0, 1.0], "sample_weight"),
    ],
)
def test_what_cannot_be_fitted_is_refused(X, y, weight, message: str) -> None:
    with pytest.raises(FitError, match=message):
        RelativeLeastSquares().fit(X, y, weight)


def test_a_flag_per_coefficient_is_needed() -> None:
    with pytest.raises(FitError, match="2 flags for 1"):
        RelativeLeastSquares(nonneg=(True, False)).fit([[1.0]], [1.0])
