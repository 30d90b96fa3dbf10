"""A steady drift is found in repeats and taken out; misfit is no drift, and a run without one is left alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import energybench.fitting

# Any: a test looks into results without first proving that each part exists
fit_records: Any = energybench.fitting.fit_records

SLOPE = 0.01  # a minute


def in_time(frame: pd.DataFrame, *, slope: float = SLOPE, seed: int = 0) -> pd.DataFrame:
    """Windows 1 s apart in random order, with a gain that drifts about the run's middle."""
    frame = frame.copy()
    order = np.random.default_rng(seed).permutation(len(frame))
    frame["begin_ns"] = order * 1_000_000_000
    frame["energy_j"] *= np.exp(slope * (frame["begin_ns"] - frame["begin_ns"].mean()) / 60e9)
    return frame


def test_the_slope_is_found_and_taken_out(make_frame, truth) -> None:
    clean = make_frame(noise_rel=0.002)
    fit = fit_records(in_time(clean))
    drift = fit.drifts["run"]
    assert drift.slope_per_min == pytest.approx(SLOPE, abs=3 * drift.bse_per_min)
    assert drift.bse_per_min < 0.1 * SLOPE
    assert any("power drifts by +1.0" in note for note in fit.notes)
    for name, (low, high) in fit.conf_int(0.999).items():
        assert low <= truth[name] <= high
    falling = fit_records(in_time(clean, slope=-1.5))  # a power cannot fall by more than all of it: e^-1.5 - 1
    assert any("power drifts by -77." in note for note in falling.notes), falling.notes
    assert fit.bse["byte_j"] < 1.5 * fit_records(in_time(clean, slope=0.0)).bse["byte_j"]
    left = fit_records(in_time(clean).drop(columns="begin_ns"))  # nothing says when a window was
    assert left.drifts == {}
    assert left.bse["byte_j"] > 1.5 * fit.bse["byte_j"]


def test_a_steady_run_is_left_alone(make_frame) -> None:
    """Chance of a correction is 1 in 1,000 a run."""
    for seed in range(30):
        frame = in_time(make_frame(seed=seed, networks=False), slope=0.0, seed=seed)
        fit = fit_records(frame, validation=False, time_law=False)
        assert fit.drifts == {}
        assert fit.rows.energy_j == pytest.approx(frame["energy_j"].to_numpy(), rel=1e-12)


def test_a_misfit_that_grows_along_the_run_is_no_drift(make_frame) -> None:
    """Every workload has its own error, and the later ones the larger: repeats beside each other know better."""
    frame = make_frame(noise_rel=0.002)
    position = {w: i for i, w in enumerate(frame["workload"].unique())}
    frame["begin_ns"] = (frame["workload"].map(position) * 10 + frame.groupby("workload").cumcount()) * 1_000_000_000
    frame["energy_j"] *= 1 + 0.3 * frame["workload"].map(position) / len(position)
    assert fit_records(frame).drifts == {}


def test_each_run_has_its_own_slope(make_frame) -> None:
    a, b = (in_time(make_frame(seed=s, noise_rel=0.002), slope=slope) for s, slope in ((1, 0.01), (2, -0.02)))
    fit = fit_records(pd.concat([a, b.assign(run_id="other")], ignore_index=True))
    assert fit.drifts["run"].slope_per_min == pytest.approx(0.01, rel=0.1)
    assert fit.drifts["other"].slope_per_min == pytest.approx(-0.02, rel=0.1)


def test_net_energies_lose_the_drift_of_the_gross(make_frame) -> None:
    frame = in_time(make_frame(noise_rel=1e-6))
    fit = fit_records(frame, target="net")
    steady = fit_records(in_time(make_frame(noise_rel=1e-6), slope=0.0), target="net")
    assert fit.rows.energy_j == pytest.approx(steady.rows.energy_j, rel=1e-3)
