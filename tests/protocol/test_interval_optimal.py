"""Choosing windows by the intervals they leave: variance and degrees of freedom, as the fit will state them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import t

from energybench.app.choose_runs import _misfit_ratio
from energybench.design.d_optimal import RIDGE
from energybench.design.i_optimal import i_optimal_rows
from energybench.design.interval_optimal import interval_optimal_rows
from energybench.errors import UsageError
from energybench.fitting.covariance import cluster_covariance

#: One workload that is all the first term, five that are mostly, and one of the second term.
ROWS = np.array([[1.0, 0.0], *([[0.8, 0.2]] * 5), [0.0, 1.0]])


def parts_of(rows: np.ndarray, count: np.ndarray, target: np.ndarray, ratio: float, alone: np.ndarray) -> list[float]:
    """Variance of a target by workload, window by window: a window errs by 1, all of a workload by `ratio` together."""
    inverse = np.linalg.inv((rows.T * count) @ rows + RIDGE * np.eye(rows.shape[1]))
    parts = []
    for i in range(len(rows)):
        influence = float(target @ inverse @ rows[i])
        if alone[i]:
            parts += [influence**2 / (1 + ratio)] * int(count[i])
        elif count[i]:
            together = np.ones((count[i], count[i])) * ratio + np.eye(count[i])
            parts.append(influence**2 * together.sum() / (1 + ratio))
    # what no row tells of is a guess of its own
    return parts + [RIDGE * float(x) ** 2 for x in target @ inverse]


def square_width(rows: np.ndarray, count: np.ndarray, target: np.ndarray, ratio: float, alone: np.ndarray) -> float:
    """t²(ν)·variance, with the fewest degrees of freedom among the coefficients that make a twentieth of the target."""
    dofs = []
    for j in np.flatnonzero(target >= 0.05):
        parts = parts_of(rows, count, np.eye(rows.shape[1])[j], ratio, alone)
        dofs.append(max(0.5, sum(parts) ** 2 / sum(p**2 for p in parts) - 1))
    return float(t.ppf(0.975, min(dofs))) ** 2 * sum(parts_of(rows, count, target, ratio, alone))


@pytest.mark.parametrize("ratio", [0.0, 0.5, 20.0])
def test_each_choice_takes_most_off_the_squared_widths(ratio):
    """Against trying every candidate; some were run before, several times, and one errs by itself in every window."""
    draw = np.random.default_rng(5)
    rows, targets = draw.uniform(0, 1, (9, 3)), np.array([[0.5, 0.48, 0.02], [0.0, 0.0, 1.0]])
    count = np.array([2, 0, 1, 3, 0, 1, 1, 0, 4])
    alone = np.arange(9) == 3

    def after(i: int) -> float:
        return sum(square_width(rows, count + (np.arange(9) == i), target, ratio, alone) for target in targets)

    best = min(range(9), key=after)
    given = {"misfit_ratio": ratio, "errs_alone": alone}
    assert interval_optimal_rows(rows, targets, 1, windows=count, **given) == [best]
    two = interval_optimal_rows(rows, targets, 2, windows=count, **given)
    count = count + (np.arange(9) == best)
    assert two == [best, min(range(9), key=after)]


def test_a_coefficient_does_not_come_to_rest_on_one_workload():
    """Least variance takes the purest workload again and again; an interval from one workload is twelve errors wide."""
    by_variance = i_optimal_rows(ROWS, np.eye(2), 12)
    by_interval = interval_optimal_rows(ROWS, np.eye(2), 12, windows=np.zeros(len(ROWS), dtype=int))
    assert not set(by_variance) & {1, 2, 3, 4, 5}
    assert len(set(by_interval) & {1, 2, 3, 4, 5}) >= 2


def test_a_second_workload_is_worth_more_than_a_second_window():
    """Six workloads that are alike; one was not run yet. Where windows err by themselves there is nothing to prefer."""
    rows = np.array([[0.8, 0.2]] * 6 + [[0.0, 1.0]] * 2)
    windows = np.array([1, 1, 1, 1, 1, 0, 3, 1])
    assert interval_optimal_rows(rows, np.array([[1.0, 0.0]]), 1, windows=windows, misfit_ratio=20.0) == [5]
    # idle: a fourth window of one is as good as a second of the other, and the first of equals is taken
    for idle, chosen in ((True, [6]), (False, [7])):
        alone = np.array([False] * 6 + [idle] * 2)
        found = interval_optimal_rows(
            rows, np.array([[0.0, 1.0]]), 1, windows=windows, misfit_ratio=20.0, errs_alone=alone
        )
        assert found == chosen


def test_degrees_of_freedom_are_near_those_that_the_fit_states():
    draw = np.random.default_rng(8)
    rows = draw.dirichlet(np.full(4, 0.4), 40)
    stated = cluster_covariance(rows, draw.normal(size=40), np.arange(40)).dof
    inverse = np.linalg.inv(rows.T @ rows)
    parts = (inverse @ rows.T) ** 2
    ours = parts.sum(axis=1) ** 2 / (parts**2).sum(axis=1) - 1
    assert ours == pytest.approx(stated, rel=0.35)


def test_what_may_not_be_chosen_any_more_is_not():
    chosen = interval_optimal_rows(
        ROWS, np.eye(2), 9, windows=np.zeros(7, dtype=int), most=np.array([1, 0, 0, 0, 0, 1, 1])
    )
    assert sorted(chosen) == [0, 5, 6]


def test_a_dear_row_waits_for_cheap_ones():
    cost = np.array([100.0, *([1.0] * 6)])
    assert 0 not in interval_optimal_rows(ROWS, np.eye(2), 4, windows=np.ones(7, dtype=int), cost=cost)


@pytest.mark.parametrize(
    "given",
    [
        {"windows": np.zeros(3, dtype=int)},
        {"windows": np.zeros(7, dtype=int), "cost": np.zeros(7)},
        {"windows": np.zeros(7, dtype=int), "misfit_ratio": -1.0},
        {"windows": np.zeros(7, dtype=int), "errs_alone": np.zeros(2, dtype=bool)},
    ],
)
def test_impossible_input_is_refused(given):
    with pytest.raises(UsageError):
        interval_optimal_rows(ROWS, np.eye(2), 1, **given)
    with pytest.raises(UsageError):
        interval_optimal_rows(ROWS, np.eye(3), 1, windows=np.zeros(7, dtype=int))


def test_misfit_is_found_beside_the_noise_of_windows():
    draw = np.random.default_rng(2)
    workload = np.repeat(np.arange(400), 3)
    noise = draw.normal(0, 0.01, 1200)
    stated = np.full(1200, 0.01)
    assert _misfit_ratio(noise, stated, workload, terms=0) == pytest.approx(0.0, abs=0.1)
    missed = noise + draw.normal(0, 0.03, 400)[workload]
    assert _misfit_ratio(missed, stated, workload, terms=0) == pytest.approx(9.0, rel=0.15)
    # what the fit took for its terms is missing from the residuals
    assert _misfit_ratio(missed, stated, workload, terms=200) == pytest.approx(18.0, rel=0.2)
    assert _misfit_ratio(missed, 0 * stated, workload, terms=0) == 1.0


def test_what_repeats_leave_of_the_noise_is_taken_off_the_misfit():
    workload = np.array([0, 0, 0, 0, 1, 1])
    missed = np.array([0.01, 0.03, 0.02, 0.02, -0.01, -0.03])
    # means ±0.02, so 4 window variances between; of a window's own, means of four and of two keep (1/4 + 1/2) / 2
    ratio = _misfit_ratio(missed, np.full(6, 0.01), workload, terms=0)
    assert ratio == pytest.approx(4.0 - 0.375, rel=1e-12)
