"""Meters with gains of their own: their ratios are found, their mean is what it was known to be."""

from __future__ import annotations

import numpy as np
import pytest

from energybench.errors import FitError
from energybench.fitting import GainLeastSquares, RelativeLeastSquares

TRUTH = np.array([3.0, 5.0])


def runs(gains: list[float], rng: np.random.Generator, n: int = 40) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """Runs of different work: the first is all of the first kind, so that its gain poses as its coefficient."""
    X = rng.uniform(0.1, 10, (n * len(gains), 2))
    groups = [i // n for i in range(len(X))]
    for g in range(len(gains)):
        X[np.array(groups) == g, g % 2] *= 20
    y = X @ TRUTH * np.array([gains[g] for g in groups]) * (1 + 0.002 * rng.standard_normal(len(X)))
    return X, y, groups


def test_ratios_of_gains_are_found_and_the_coefficients_freed_of_them() -> None:
    X, y, groups = runs([1.05, 0.95], np.random.default_rng(0))
    fit = GainLeastSquares(gain_rel=0.05).fit(X, y, groups=groups)
    assert fit.gains_[0] / fit.gains_[1] == pytest.approx(1.05 / 0.95, rel=0.005)
    assert fit.coef_ == pytest.approx(TRUTH, rel=0.005)
    plain = RelativeLeastSquares().fit(X, y)
    assert (np.abs(plain.coef_ / TRUTH - 1) > 0.03).all()
    assert fit.predict([[1.0, 0.0]]) == pytest.approx(fit.coef_[:1], rel=1e-12)


def test_the_error_of_a_gain_is_that_of_the_mean_of_its_rows() -> None:
    X, y, groups = runs([1.05, 0.95], np.random.default_rng(3))
    fit = GainLeastSquares(gain_rel=0.05).fit(X, y, groups=groups)
    assert fit.gain_se_rel_ == pytest.approx([0.002 / 40**0.5] * 2, rel=0.3)


def test_the_common_scale_stays_as_uncertain_as_it_was() -> None:
    """Over many sets of four meters: errors of the scale are as large as said, 2.5 % for four of 5 %."""
    rng = np.random.default_rng(1)
    errors = []
    for _ in range(200):
        X, y, groups = runs(list(np.exp(0.05 * rng.standard_normal(4))), rng, n=12)
        fit = GainLeastSquares(gain_rel=0.05).fit(X, y, groups=groups)
        errors.append(float(np.mean(fit.coef_ / TRUTH)) - 1)
    assert fit.scale_rel_ == pytest.approx(0.025, rel=1e-12)
    assert np.std(errors) == pytest.approx(0.025, rel=0.15)


def test_one_meter_keeps_its_gain_in_the_coefficients() -> None:
    X, y, _ = runs([1.05], np.random.default_rng(2))
    fit = GainLeastSquares(gain_rel=0.05).fit(X, y, groups=[0] * len(y))
    assert fit.coef_ == pytest.approx(RelativeLeastSquares().fit(X, y).coef_, rel=1e-12)
    assert fit.gains_.tolist() == [1.0]
    assert fit.scale_rel_ == 0.05


@pytest.mark.parametrize(
    ("gain_rel", "groups", "message"), [(0.0, [1], "no uncertainty"), (0.1, [1, 2], "2 groups for 1")]
)
def test_refusals(gain_rel: float, groups: list[int], message: str) -> None:
    with pytest.raises(FitError, match=message):
        GainLeastSquares(gain_rel=gain_rel).fit([[1.0]], [1.0], groups=groups)
