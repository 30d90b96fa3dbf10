"""Conformal intervals: the weighted quantile by hand, the switch to parametric, coverage of networks of their own."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from energybench.estimation import compare_records
from energybench.estimation.cluster_share import cluster_share_interval
from energybench.estimation.conformal import conformal_factor, networks_needed
from energybench.estimation.interval import interval_method
from energybench.fitting import fit_records
from energybench.profiles import DeviceProfile

NINE = {f"net-{i}": (float(i + 1),) for i in range(9)}


def test_the_level_says_how_many_networks_are_needed() -> None:
    assert [networks_needed(level) for level in (0.5, 0.8, 0.9, 0.95)] == [1, 4, 9, 19]


def test_the_factor_by_hand() -> None:
    """K = 9 at 0.9: the ninth of ten places is the largest score; at 0.5 the fifth."""
    assert conformal_factor(NINE, 0.9) == 9.0
    assert conformal_factor(NINE, 0.5) == 5.0
    assert conformal_factor(NINE, 0.95) is None


def test_windows_share_the_weight_of_their_network() -> None:
    """Ninety more windows of the worst network move nothing: it is one network still."""
    many = {**NINE, "net-8": (9.0,) * 90}
    assert conformal_factor(many, 0.8) == conformal_factor(NINE, 0.8) == 8.0


def test_a_network_does_not_calibrate_its_own_interval() -> None:
    assert conformal_factor(NINE, 0.9, without="net-8") is None
    assert conformal_factor({**NINE, "net-9": (10.0,)}, 0.9, without="net-9") == 9.0


def with_networks(base: pd.DataFrame, truth: dict[str, float], rng: np.random.Generator, count: int) -> pd.DataFrame:
    """Networks of two windows each, every one with a factor of its own (15 %) that no operator row shows."""
    rows = []
    like = base[base["network"] == "resnet"].iloc[0]
    for i in range(count):
        factor = float(np.exp(0.15 * rng.standard_normal()))
        size = int(10 ** rng.uniform(8, 9))
        macs = int(size * 10 ** rng.uniform(0.5, 1.5))
        for repeat in range(2):
            row = like.copy()
            row["network"] = row["workload"] = f"net-{i}"
            row["row_id"] = f"net-{i}/{repeat}"
            row["macs"] = row["macs_float32"] = macs
            row["bytes"], row["other_flops"], row["time_s"] = size, size // 10, macs / 2e12 + size / 1e11
            row["energy_j"] = (
                truth["mac_fp32_j"] * macs
                + truth["other_flop_j"] * (size // 10)
                + truth["byte_j"] * size
                + truth["launch_j"] * row["launches"]
                + truth["static_power_w"] * row["time_s"]
            ) * (factor * (1 + 0.01 * rng.standard_normal()))
            row["energy_uncertainty_j"] = 0.01 * row["energy_j"]
            rows.append(row)
    return pd.DataFrame(rows)


def test_networks_with_an_error_of_their_own_are_covered(make_frame, truth) -> None:
    """90 % nominal. The spread over workloads knows nothing of the networks' own error, so Student's t falls short."""
    base = make_frame(networks=True)
    fitted = base[base["network"].isna()]
    bare = DeviceProfile.from_fit(fit_records(fitted, time_law=False), name="x")
    conformal, parametric = [], []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        fitted = base[base["network"].isna()]
        known, fresh = (with_networks(base, truth, rng, n) for n in (12, 5))
        fresh["network"] = fresh["workload"] = "new " + fresh["network"]
        both = pd.concat([fitted, known], ignore_index=True)
        profile = DeviceProfile.from_fit(fit_records(both, time_law=False), name="x")
        assert len(profile.network_scores) == 12
        calibrated = compare_records(fresh, profile)
        assert list(calibrated.interval_methods) == ["conformal over 12 networks that the fit never saw"]
        conformal.append(calibrated.hits / calibrated.with_interval)
        other = compare_records(fresh, bare)
        parametric.append(other.hits / other.with_interval)
        assert "only 0 calibration networks" in next(iter(other.interval_methods))
    assert 0.87 <= np.mean(conformal) <= 0.98
    assert np.mean(parametric) < 0.6


def test_below_nine_networks_the_interval_is_parametric_and_says_so(make_frame) -> None:
    profile = DeviceProfile.from_fit(fit_records(make_frame()), name="x")
    assert set(profile.network_scores) == {"resnet", "gru", "bert"}
    assert interval_method(profile, 0.9) == (
        "parametric (Student's t), since only 3 calibration networks are known and 90% needs 9"
    )
    assert interval_method(profile, 0.9, network=None).startswith("parametric (Student's t): coefficients")
    assert interval_method(profile, 0.5).startswith("conformal over 3 networks")
    assert interval_method(profile, 0.5, network="gru").startswith("conformal over 2 networks")


def test_scores_are_residuals_over_predicted_deviations(make_frame) -> None:
    """By hand, for a held-out network: xᵀΣx + (spread · E)² under the root."""
    frame = make_frame()
    fit = fit_records(frame)
    held = frame[frame["network"] == "gru"]
    X = held[["macs", "other_flops", "bytes", "launches", "time_s"]].to_numpy(float)
    predicted = X @ list(fit.params.values())
    assert fit.spread_rel is not None
    variance = np.einsum("ij,jk,ik->i", X, fit.covariance, X) + (fit.spread_rel * predicted) ** 2
    expected = sorted(abs(held["energy_j"].to_numpy() - predicted) / np.sqrt(variance))
    assert fit.network_scores["gru"] == pytest.approx(expected, rel=1e-9)
    assert fit_records(frame, validation=False).network_scores == {}


def test_networks_that_were_fitted_are_scored_by_refits_without_them(make_frame) -> None:
    frame = make_frame()
    frame.loc[frame["split"] == "heldout", "split"] = "fit"
    fit = fit_records(frame)
    assert fit.validation is not None
    assert fit.validation.leave_one_out is not None
    assert fit.validation.leave_one_out.unit == "network"
    assert set(fit.network_scores) == {"resnet", "gru", "bert"}
    kept = fit_records(frame[frame["network"] != "gru"])
    alone = fit_records(frame.assign(split=np.where(frame["network"] == "gru", "heldout", frame["split"])))
    assert alone.params == kept.params
    errors = np.array(alone.network_scores["gru"]) / np.array(fit.network_scores["gru"])
    assert errors == pytest.approx(np.full(3, errors[0]), rel=0.2)  # the same residuals on another scale


def test_a_share_of_hits_by_network() -> None:
    """Ten networks of ten windows that hit or miss as one know as much as ten windows."""
    units = [i // 10 for i in range(100)]
    together = cluster_share_interval([u < 9 for u in units], units)
    alone = cluster_share_interval([i >= 10 for i in range(100)], list(range(100)))
    ten = cluster_share_interval([True] * 9 + [False], list(range(10)))
    assert together is not None
    assert alone is not None
    assert ten is not None
    assert together == pytest.approx(ten, rel=1e-9)
    assert together[1] - together[0] > 2 * (alone[1] - alone[0])
    assert alone == pytest.approx((0.8238, 0.9510), abs=0.002)  # Clopper and Pearson, 90 of 100
    assert cluster_share_interval([True] * 8, [1, 1, 1, 1, 2, 2, 2, 2]) == pytest.approx((0.1581, 1.0), abs=1e-3)
    assert cluster_share_interval([True], [1]) is None
