"""Several units in one fit: their gains, and what is unknown of them, in coefficients and in absolute joules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from energybench.errors import FitError
from energybench.estimation import compare_records, estimate_counts
from energybench.fitting import FitResult, fit_records
from energybench.profiles import DeviceProfile
from energybench.records.op_counts import OpCounts

MakeFrame = Callable[..., pd.DataFrame]
GAINS = {"a": 1.05, "b": 0.97}
TRUTH = {"mac_fp32_j": 1.1e-11, "byte_j": 9.0e-11, "static_power_w": 41.0}


def two_units(make_frame: MakeFrame, *, seed: int = 0, noise_rel: float = 0.01) -> pd.DataFrame:
    """The first unit has most products, the second most elementwise work; a few workloads and idle rows are of both."""
    frame = make_frame(seed=seed, noise_rel=noise_rel)
    only_a = frame["workload"].str.match(r"product-(4|5|6|7|8|9)") & (frame["split"] == "fit")
    only_b = frame["workload"].str.match(r"elementwise-(4|5|6|7|8|9)") & (frame["split"] == "fit")
    parts = []
    for unit, others in (("a", only_b), ("b", only_a)):
        part = frame[~others].copy()
        part["energy_j"] *= GAINS[unit]
        part["energy_uncertainty_j"] *= GAINS[unit]
        part["idle_power_w"] *= GAINS[unit]
        parts.append(part.assign(unit=unit, run_id=unit, row_id=part["row_id"] + unit))
    return pd.concat(parts, ignore_index=True)


def fitted(frame: pd.DataFrame, gain_rel: float | None = 0.05) -> FitResult:
    return fit_records(
        frame, optional=(), by_kernel_class=False, meter_gain_rel=gain_rel, validation=False, time_law=False
    )


def test_units_are_brought_to_their_mean(make_frame: MakeFrame) -> None:
    fit = fitted(two_units(make_frame, noise_rel=0.002))
    assert fit.pooled is not None
    assert fit.pooled.gains["a"] / fit.pooled.gains["b"] == pytest.approx(1.05 / 0.97, rel=2e-3)
    mean = (1.05 * 0.97) ** 0.5
    for name, value in TRUTH.items():
        assert fit.params[name] == pytest.approx(value * mean, rel=0.01)
    assert fit.rows.table.column("idle_power_w") == pytest.approx(np.full(len(fit.rows), 30.0 * mean), rel=2e-3)
    plain = fitted(two_units(make_frame, noise_rel=0.002).drop(columns="unit"))
    assert abs(plain.params["byte_j"] / (TRUTH["byte_j"] * mean) - 1) > 0.015
    assert fitted(two_units(make_frame).assign(unit="a")).pooled is None
    net = fit_records(
        two_units(make_frame, noise_rel=0.002), target="net", optional=(), time_law=False, validation=False
    )
    assert net.params["mac_fp32_j"] == pytest.approx(TRUTH["mac_fp32_j"] * mean, rel=0.02)


def test_what_is_unknown_of_the_gains_is_in_the_intervals(make_frame: MakeFrame) -> None:
    """Over many noisy pairs of units, intervals hold the truth as often as they say."""
    mean = (1.05 * 0.97) ** 0.5
    inside = []
    for seed in range(60):
        fit = fitted(two_units(make_frame, seed=seed, noise_rel=0.03))
        for name, value in TRUTH.items():
            low, high = fit.conf_int(0.95)[name]
            assert low is not None
            assert high is not None
            inside.append(low <= value * mean <= high)
    assert np.mean(inside) >= 0.92
    one = fitted(two_units(make_frame, noise_rel=0.03))
    assert one.pooled is not None
    sure = dict.fromkeys(GAINS, 0.0)
    assert all(se > 0 for se in one.pooled.gain_se_rel.values())
    assert sure.keys() == one.pooled.gain_se_rel.keys()


def test_the_covariance_grows_by_what_a_gain_moves(make_frame: MakeFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against the coefficients of the same rows with one gain shifted by its standard error."""
    from energybench.fitting import fit as module

    frame = two_units(make_frame, noise_rel=0.03)
    with_it = fitted(frame)
    added = {}
    monkeypatch.setattr(module, "gain_covariance", lambda X, *rest: np.zeros((X.shape[1], X.shape[1])))
    without = fitted(frame)
    monkeypatch.undo()
    assert with_it.pooled is not None
    names = list(with_it.params)
    for i, name in enumerate(names):
        added[name] = with_it.covariance[i, i] - without.covariance[i, i]
    moved = dict.fromkeys(names, 0.0)
    for unit, se in with_it.pooled.gain_se_rel.items():
        shifted = replace(with_it.pooled, gains={**with_it.pooled.gains, unit: with_it.pooled.gains[unit] * (1 + se)})
        monkeypatch.setattr(module, "measure_units", lambda *given, s=shifted: s)
        other = fitted(frame)
        monkeypatch.undo()
        for name in names:
            moved[name] += (other.params[name] - with_it.params[name]) ** 2
    for name in TRUTH:
        assert added[name] == pytest.approx(moved[name], rel=0.1)


def test_the_common_scale_is_only_in_absolute_intervals(make_frame: MakeFrame) -> None:
    frame = two_units(make_frame)
    fit = fitted(frame)
    assert fit.scale_rel == pytest.approx(0.05 / 2**0.5)
    low, high = fit.conf_int(0.95)["static_power_w"]
    whole_low, whole_high = fit.conf_int(0.95, absolute=True)["static_power_w"]
    assert None not in (low, high, whole_low, whole_high)
    half, whole = (high - low) / 2, (whole_high - whole_low) / 2  # type: ignore[operator]
    scale = 1.959964 * 0.05 / 2**0.5 * fit.params["static_power_w"]
    assert whole == pytest.approx((half**2 + scale**2) ** 0.5, rel=1e-6)
    assert fitted(frame[frame["unit"] == "a"].drop(columns="unit")).scale_rel == 0.05
    unstated = fitted(frame, None)
    assert unstated.scale_rel is None
    with pytest.raises(FitError, match="no meter states its gain"):
        unstated.conf_int(absolute=True)


def test_estimates_hold_the_scale_where_absolute_joules_are_asked_for(make_frame: MakeFrame) -> None:
    fit = fitted(two_units(make_frame))
    profile = DeviceProfile.from_fit(fit, name="pooled", meter_gain_rel=fit.scale_rel)
    macs = OpCounts.single("float32", macs=10**9, nominal_macs=10**9, launches=1, loads=10**6, load_bytes=4 * 10**6)
    estimate = estimate_counts(macs, profile, time_s=0.1)
    own, whole = estimate.interval(0.9), estimate.interval(0.9, absolute=True)
    assert own is not None
    assert whole is not None
    scale = 1.644854 * 0.05 / 2**0.5 * estimate.energy_j
    assert (whole.high_j - estimate.energy_j) ** 2 == pytest.approx((own.high_j - estimate.energy_j) ** 2 + scale**2)
    assert estimate.to_dict()["absolute_interval"] == {"low_j": whole.low_j, "high_j": whole.high_j}
    silent = estimate_counts(macs, replace(profile, meter_gain_rel=None), time_s=0.1)
    assert silent.interval(0.9, absolute=True) is None
    assert silent.interval(0.9) == own


def test_another_cards_intervals_hold_both_meters_scales(make_frame: MakeFrame) -> None:
    frame = make_frame()
    profile = replace(DeviceProfile.from_fit(fit_records(frame), name="x"), meter_gain_rel=0.05)
    same = compare_records(frame, profile)
    other = compare_records(frame.assign(meter="simulated:other"), profile, other_device=True)
    assert any("both meters' scales, ±5.0%" in note for note in other.notes)
    assert not any("scales" in note for note in same.notes)
    for a, b in zip(same.rows, other.rows, strict=True):
        assert a.high_j is not None
        assert b.high_j is not None
        scale = 1.644854 * 0.05 * 2**0.5 * a.estimated_energy_j
        assert (b.high_j - b.estimated_energy_j) ** 2 == pytest.approx(
            (a.high_j - a.estimated_energy_j) ** 2 + scale**2
        )
