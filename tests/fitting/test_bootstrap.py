"""Bootstrap by group: agrees with the sandwich where both hold, draws groups and not rows, and says when it cannot."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from energybench.errors import FitError
from energybench.fitting import bootstrap_coefficients, bootstrap_intervals, fit_records

MakeFrame = Callable[..., pd.DataFrame]


def quick_fit(frame: pd.DataFrame):
    return fit_records(frame, by_kernel_class=False, validation=False, time_law=False)


def test_spread_is_that_of_the_standard_errors(make_frame: MakeFrame) -> None:
    fit = quick_fit(make_frame(noise_rel=0.02))
    draws = bootstrap_coefficients(fit, replicates=400)
    assert draws.shape == (400, len(fit.params))
    for j, name in enumerate(fit.params):
        assert np.median(draws[:, j]) == pytest.approx(fit.params[name], abs=2 * draws[:, j].std())
        assert draws[:, j].std() == pytest.approx(fit.bse[name], rel=0.5)


def test_repeating_every_row_narrows_nothing(make_frame: MakeFrame) -> None:
    """Rows of one workload go together: twice the rows are no new workloads. A bootstrap by row would shrink by √2."""
    frame = make_frame(noise_rel=0.02)
    frame = frame[frame["kernel_class"] != "idle"]
    twice = pd.concat([frame, frame.assign(row_id=frame["row_id"] + "-again")])
    once_sd, twice_sd = (bootstrap_coefficients(quick_fit(f), replicates=400).std(axis=0) for f in (frame, twice))
    assert twice_sd == pytest.approx(once_sd, rel=1e-6)


def test_the_same_seed_gives_the_same_draws_and_they_stay_non_negative(make_frame: MakeFrame, truth) -> None:
    fit = quick_fit(make_frame(truth={**truth, "byte_j": 0.0}, noise_rel=0.02))
    first, again = (bootstrap_coefficients(fit, replicates=50, seed=4) for _ in range(2))
    assert (first == again).all()
    assert (first >= 0).all()
    assert (bootstrap_coefficients(fit, replicates=50, seed=5) != first).any()


def test_intervals_hold_the_truth_and_grow_with_the_level(make_frame: MakeFrame, truth) -> None:
    fit = quick_fit(make_frame())
    narrow, wide = (bootstrap_intervals(fit, replicates=300, level=level) for level in (0.5, 0.999))
    for name, value in truth.items():
        assert wide[name][0] < value < wide[name][1]
        assert wide[name][0] < narrow[name][0] < narrow[name][1] < wide[name][1]


def test_one_run_cannot_be_drawn_among(make_frame: MakeFrame) -> None:
    fit = quick_fit(make_frame())
    with pytest.raises(FitError, match="one run only"):
        bootstrap_coefficients(fit, unit="run")
    assert bootstrap_coefficients(fit, unit="family", replicates=10).shape[0] == 10
    with pytest.raises(FitError, match="unknown"):
        bootstrap_coefficients(fit, unit="row")  # type: ignore[arg-type]
    with pytest.raises(FitError, match="replicates"):
        bootstrap_coefficients(fit, replicates=1)
