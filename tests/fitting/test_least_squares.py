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

# NIST StRD linear regression, Filip (higher difficulty): y, x; a polynomial of degree 10.
FILIP = np.array(
    """0.8116 -6.860120914 0.9072 -4.324130045 0.9052 -4.358625055 0.9039 -4.358426747 0.8053 -6.955852379
    0.8377 -6.661145254 0.8667 -6.355462942 0.8809 -6.118102026 0.7975 -7.115148017 0.8162 -6.815308569
    0.8515 -6.519993057 0.8766 -6.204119983 0.8885 -5.853871964 0.8859 -6.109523091 0.8959 -5.79832982
    0.8913 -5.482672118 0.8959 -5.171791386 0.8971 -4.851705903 0.9021 -4.517126416 0.909 -4.143573228
    0.9139 -3.709075441 0.9199 -3.499489089 0.8692 -6.300769497 0.8872 -5.953504836 0.89 -5.642065153
    0.891 -5.031376979 0.8977 -4.680685696 0.9035 -4.329846955 0.9078 -3.928486195 0.7675 -8.56735134
    0.7705 -8.363211311 0.7713 -8.107682739 0.7736 -7.823908741 0.7775 -7.522878745 0.7841 -7.218819279
    0.7971 -6.920818754 0.8329 -6.628932138 0.8641 -6.323946875 0.8804 -5.991399828 0.7668 -8.781464495
    0.7633 -8.663140179 0.7678 -8.473531488 0.7697 -8.247337057 0.77 -7.971428747 0.7749 -7.676129393
    0.7796 -7.352812702 0.7897 -7.072065318 0.8131 -6.774174009 0.8498 -6.478861916 0.8741 -6.159517513
    0.8061 -6.835647144 0.846 -6.53165267 0.8751 -6.224098421 0.8856 -5.910094889 0.8919 -5.598599459
    0.8934 -5.290645224 0.894 -4.974284616 0.8957 -4.64454848 0.9047 -4.290560426 0.9129 -3.885055584
    0.9209 -3.408378962 0.9219 -3.13200249 0.7739 -8.726767166 0.7681 -8.66695597 0.7665 -8.511026475
    0.7703 -8.165388579 0.7702 -7.886056648 0.7761 -7.588043762 0.7809 -7.283412422 0.7961 -6.995678626
    0.8253 -6.691862621 0.8602 -6.392544977 0.8809 -6.067374056 0.8301 -6.684029655 0.8664 -6.378719832
    0.8834 -6.065855188 0.8898 -5.752272167 0.8964 -5.132414673 0.8963 -4.811352704 0.9074 -4.098269308
    0.9119 -3.66174277 0.9228 -3.2644011""".split(),
    dtype=float,
).reshape(-1, 2)
FILIP_CERTIFIED = [
    -1467.48961422980,
    -2772.17959193342,
    -2316.37108160893,
    -1127.97394098372,
    -354.478233703349,
    -75.1242017393757,
    -10.8753180355343,
    -1.06221498588947,
    -0.670191154593408e-01,
    -0.246781078275479e-02,
    -0.402962525080404e-04,
]

# NIST StRD linear regression, Wampler 3–5: what is added to 1 + x + … + x⁵ at x = 0 … 20, times 1, 100 and 10,000.
WAMPLER_DELTA = np.array(
    """759 -2048 2048 -2048 2523 -2048 2048 -2048 1838 -2048 2048 -2048 1838 -2048 2048 -2048 2523 -2048 2048 -2048
    759""".split(),
    dtype=float,
)


def test_norris_to_its_certified_digits() -> None:
    X = np.column_stack([np.ones(len(NORRIS)), NORRIS[:, 1]])
    fit = RelativeLeastSquares(nonneg=False, relative=False).fit(X, NORRIS[:, 0])
    assert fit.coef_ == pytest.approx(NORRIS_CERTIFIED, rel=1e-11)


def test_longley_to_its_certified_digits() -> None:
    X = np.column_stack([np.ones(len(LONGLEY)), LONGLEY[:, 1:]])
    fit = RelativeLeastSquares(nonneg=False, relative=False).fit(X, LONGLEY[:, 0])
    assert fit.coef_ == pytest.approx(LONGLEY_CERTIFIED, rel=1e-9)


def test_filip_to_its_certified_digits() -> None:
    """Condition number 10¹⁰ of unit columns: sixteen digits leave seven. Solved exactly, the data give all back."""
    X = np.vander(FILIP[:, 1], 11, increasing=True)
    fit = RelativeLeastSquares(nonneg=False, relative=False).fit(X, FILIP[:, 0])
    assert fit.coef_ == pytest.approx(FILIP_CERTIFIED, rel=1e-7)


@pytest.mark.parametrize(
    ("certified", "noise", "digits"),
    [(1.0, 0.0, 9), (0.1, 0.0, 12), (1.0, 1.0, 9), (1.0, 100.0, 7), (1.0, 10_000.0, 5)],
    ids=["Wampler1", "Wampler2", "Wampler3", "Wampler4", "Wampler5"],
)
def test_wampler_to_its_certified_digits(certified: float, noise: float, digits: int) -> None:
    """Coefficients are certifiedⁱ, whatever of the noise is orthogonal to the columns."""
    X = np.vander(np.arange(21.0), 6, increasing=True)
    truth = certified ** np.arange(6.0)
    fit = RelativeLeastSquares(nonneg=False, relative=False).fit(X, X @ truth + noise * WAMPLER_DELTA)
    assert fit.coef_ == pytest.approx(truth, rel=10.0**-digits)


def test_huber_is_not_moved_by_disturbed_rows() -> None:
    rng = np.random.default_rng(5)
    X = rng.uniform(0.1, 10, (400, 2))
    truth = np.array([3.0, 5.0])
    y = X @ truth * (1 + 0.01 * rng.standard_normal(400))
    clean = RelativeLeastSquares().fit(X, y)
    y[:40] *= 1.5
    robust, squares = RelativeLeastSquares(loss="huber").fit(X, y), RelativeLeastSquares().fit(X, y)
    assert robust.converged_
    assert robust.coef_ == pytest.approx(truth, rel=0.01)
    assert (np.abs(squares.coef_ / truth - 1) > 0.03).any()
    share = robust.weights_ * robust.predict(X) ** 2
    assert share[:40].max() < 0.2 * np.median(share[40:])
    calm = RelativeLeastSquares(loss="huber").fit(X[40:], y[40:])
    assert calm.coef_ == pytest.approx(clean.coef_, rel=0.003)


def test_huber_in_absolute_terms_is_a_mean_between_mean_and_median() -> None:
    """By hand: of 0, 1, 2, 3, 100 the last row weighs 1.345 deviations only; the fixed point lies just above 2."""
    fit = RelativeLeastSquares(loss="huber", relative=False, nonneg=False).fit(
        np.ones((5, 1)), [0.0, 1.0, 2.0, 3.0, 100.0]
    )
    assert 1.9 < fit.coef_[0] < 2.6
    assert RelativeLeastSquares(loss="huber").fit([[1.0], [2.0]], [2.0, 4.0]).coef_ == pytest.approx([2.0], rel=1e-9)


def test_coefficients_keep_their_order() -> None:
    """Truth in order: nothing changes. Out of order: both share what fits the rows of both best."""
    rng = np.random.default_rng(6)
    X = rng.uniform(0.1, 10, (200, 3))
    right = X @ [1.0, 2.0, 5.0]
    ordered = RelativeLeastSquares(ordered=[(0, 1)]).fit(X, right)
    assert ordered.coef_ == pytest.approx([1.0, 2.0, 5.0], rel=1e-9)
    assert not ordered.tied_.any()
    wrong = X @ [2.0, 1.0, 5.0]
    held = RelativeLeastSquares(ordered=[(0, 1)]).fit(X, wrong)
    assert held.coef_[0] == pytest.approx(held.coef_[1], rel=1e-12)
    assert 1.0 < held.coef_[0] < 2.0
    assert held.tied_.tolist() == [False, True, False]
    merged = RelativeLeastSquares().fit(np.column_stack([X[:, 0] + X[:, 1], X[:, 2]]), wrong)
    assert held.coef_[1:] == pytest.approx(merged.coef_, rel=1e-7)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"loss": "lorentz"}, "loss 'lorentz' is unknown"),
        ({"ordered": [(0, 1), (1, 0)]}, "one order only"),
        ({"ordered": [(0, 5)]}, "one order only"),
        ({"ordered": [(0, 1)], "nonneg": False}, "non-negative"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, message: str) -> None:
    with pytest.raises(FitError, match=message):
        RelativeLeastSquares(**settings).fit([[1.0, 2.0], [2.0, 1.0]], [3.0, 3.0])


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
