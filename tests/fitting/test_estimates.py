"""Estimates are the fit applied: same features, same numbers, split without remainder, refused where they would lie."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import energybench.estimation
from energybench.errors import ProfileMismatch, UsageError
from energybench.fitting import fit_records
from energybench.model import FeatureTable, feature_row
from energybench.profiles import DeviceProfile
from energybench.records.model_counts import ModelCounts, OperatorCounts
from energybench.records.op_counts import DtypeCounts, OpCounts
from energybench.units import format_si

# Any: a test looks into results without first proving that each part exists
estimate_counts: Any = energybench.estimation.estimate_counts


def counts(dtype: str = "float32", *, launches: int = 1, basis: Any = "compulsory", **tallies: int) -> OpCounts:
    return OpCounts({dtype: DtypeCounts(**tallies)}, launches, basis)


def layer(scale: int = 1) -> OpCounts:
    return counts(
        macs=10**8 * scale, adds=10**6 * scale, loads=10**6, stores=10**6, load_bytes=4 * 10**6, store_bytes=4 * 10**6
    )


EQUATIONS = [
    "physical",
    "cnn",
    "cnn-literal",
    "cnn-total-flops",
    "rnn",
    "transformer",
    "mean-power",
    "macs-only",
    "parameters-only",
    "operator-count",
    ["macs", "bytes", "parameters", "time_s"],
]


@pytest.fixture
def model() -> ModelCounts:
    activation = counts(adds=10**6, load_bytes=10**7, loads=10**6)
    return ModelCounts(
        (
            OperatorCounts("conv", "stem", "forward", "conv", 1, layer()),
            OperatorCounts("conv", "body.first", "forward", "conv", 1, layer(3), component="feed_forward"),
            OperatorCounts("linear", "body.second", "forward", "gemm", 1, layer(2), component="multi_head"),
            OperatorCounts("relu", "body", "forward", "pointwise", 2, activation),
        ),
        parameters=10**6,
        parameter_bytes=4 * 10**6,
    )


@pytest.fixture(scope="module")
def profile(frame) -> DeviceProfile:
    return DeviceProfile.from_fit(fit_records(frame), name="bench")


@pytest.mark.parametrize("equation", EQUATIONS)
def test_an_estimate_is_what_the_fit_predicts(frame, model, equation: Any) -> None:
    fit = fit_records(frame, equation, validation=False)
    estimate = estimate_counts(model, DeviceProfile.from_fit(fit, name="x"), time_s=0.01)
    table = FeatureTable.from_rows([feature_row(model, time_s=0.01)])
    assert estimate.energy_j == pytest.approx(float(fit.predict(table)[0]), rel=1e-12)
    assert sum(estimate.by_term().values()) == pytest.approx(estimate.energy_j, rel=1e-12)
    assert sum(estimate.by_role().values()) == pytest.approx(estimate.energy_j, rel=1e-12)
    modules = estimate.by_module()
    assert modules[""] == pytest.approx(estimate.energy_j, rel=1e-9)
    assert modules["stem"] + modules["body"] == pytest.approx(estimate.energy_j, rel=1e-9)
    assert sum(estimate.by_operator().values()) == pytest.approx(estimate.energy_j, rel=1e-9)


def test_a_module_has_the_energy_of_its_own_work(model, profile) -> None:
    """Worked out by hand for the physical equation: own MACs, bytes, launches and share of the predicted time."""
    estimate = estimate_counts(model, profile)
    p = profile.params
    time_s = max(3e8 / 2e12, 8e6 / 1e11) + 5e-6
    by_hand = 3e8 * p["mac_fp32_j"] + 3e6 * p["other_flop_j"] + 8e6 * p["byte_j"] + p["launch_j"]
    assert estimate.by_module()["body.first"] == pytest.approx(by_hand + time_s * p["static_power_w"], rel=0.002)
    assert set(estimate.by_module()) == {"", "stem", "body", "body.first", "body.second"}


def test_modules_down_to_a_depth(model, profile) -> None:
    estimate = estimate_counts(model, profile)
    assert set(estimate.by_module(1)) == {"", "stem", "body"}
    assert estimate.by_module(1)["body"] == pytest.approx(estimate.by_module()["body"], rel=1e-12)
    bare = estimate_counts(layer(), profile)
    assert bare.by_module() == {"": bare.energy_j}


def test_time_is_predicted_operator_by_operator(model, profile) -> None:
    estimate = estimate_counts(model, profile)
    by_hand = sum(
        max(row.counts.macs / 2e12, row.counts.bytes / 1e11) + row.counts.launches * 5e-6 for row in model.rows
    )
    assert estimate.time_s == pytest.approx(by_hand, rel=0.01)
    assert estimate.time_kind == "predicted"
    assert "the time was predicted, not measured" in estimate.notes
    measured = estimate_counts(model, profile, time_s=2.0)
    assert (measured.time_s, measured.time_kind) == (2.0, "measured")
    static = measured.by_term()["static_power_w"]
    assert static == pytest.approx(2.0 * profile.params["static_power_w"], rel=1e-12)


def test_the_interval_holds_the_parts_it_names(model, profile) -> None:
    from scipy.stats import t

    estimate = estimate_counts(model, profile, time_s=0.01)
    low, high = estimate.interval(0.9)
    x = estimate.X[0]
    variance = x @ profile.covariance @ x + (profile.diagnostics["spread_rel"] * estimate.energy_j) ** 2
    half = t.ppf(0.95, profile.diagnostics["n_workloads"] - 5) * np.sqrt(variance)
    assert (low, high) == pytest.approx((estimate.energy_j - half, estimate.energy_j + half), rel=1e-9)
    wide = estimate.interval(0.99)
    assert wide.low_j < low < estimate.energy_j < high < wide.high_j
    with pytest.raises(UsageError, match="level"):
        estimate.interval(1.5)


def test_an_uncertain_time_widens_the_interval(model, make_frame) -> None:
    frame = make_frame()
    frame["time_s"] *= np.exp(0.1 * np.random.default_rng(0).standard_normal(len(frame)))
    profile = DeviceProfile.from_fit(fit_records(frame), name="x")
    predicted = estimate_counts(model, profile)
    measured = estimate_counts(model, profile, time_s=predicted.time_s)
    assert measured.energy_j == pytest.approx(predicted.energy_j, rel=1e-12)
    assert predicted.interval().high_j > measured.interval().high_j

    # the half widths add in squares; that of the time is what the power by time draws up to the end of its interval
    times = predicted.time_interval(0.9)
    assert measured.time_interval() is None
    assert times.low_s * times.high_s == pytest.approx(predicted.time_s**2)
    of_time = profile.params["static_power_w"] * (times.high_s - predicted.time_s)
    added = (predicted.interval().high_j - predicted.energy_j) ** 2 - (
        measured.interval().high_j - measured.energy_j
    ) ** 2
    assert added == pytest.approx(of_time**2, rel=1e-6)
    assert f"90 % between {format_si(times.low_s, 's')}" in str(predicted)
    assert predicted.to_dict()["time_interval"] == {"low_s": times.low_s, "high_s": times.high_s}
    assert measured.to_dict()["time_interval"] is None


def test_an_interval_does_not_reach_below_nothing(model, profile) -> None:
    wide = replace(profile, diagnostics={**profile.diagnostics, "spread_rel": 2.0})
    low, high = estimate_counts(model, wide, time_s=0.01).interval()
    assert low == 0.0
    assert high > 0.0


def test_what_is_no_sum_over_operators_is_shared_out_by_macs(frame, model) -> None:
    """The product of [D10] as printed has no parts of its own: a module has its share of the MACs."""
    profile = DeviceProfile.from_fit(fit_records(frame, "cnn-literal", validation=False), name="x")
    prices = {"alpha_beta": 1e-18, "gamma": 0.0}
    planted = {name: replace(c, value=prices[name]) for name, c in profile.coefficients.items()}
    profile = replace(profile, coefficients=planted)
    modules = estimate_counts(model, profile, time_s=0.01).by_module()
    assert modules["body.first"] / modules[""] == pytest.approx(3 / 6, rel=1e-9)
    assert modules["body.second"] / modules[""] == pytest.approx(2 / 6, rel=1e-9)


def test_without_a_spread_there_is_no_interval(model, profile) -> None:
    data = profile.to_dict()
    data["diagnostics"]["spread_rel"] = None
    estimate = estimate_counts(model, DeviceProfile.from_dict(data))
    assert estimate.interval() is None
    assert estimate.to_dict()["interval"] == {"level": 0.9, "low_j": None, "high_j": None, "method": None}


def test_json_keys_and_text(model, profile) -> None:
    estimate = estimate_counts(model, profile)
    data = json.loads(json.dumps(estimate.to_dict(), allow_nan=False))
    assert {"energy_j", "interval", "time_s", "time_kind", "kind", "extrapolated"} <= set(data)
    assert {"level", "low_j", "high_j"} <= set(data["interval"])
    assert data["kind"] == "simulated"
    assert "estimated from simulated energy" in str(estimate)
    assert any("no estimate of real joules" in note for note in estimate.notes)


@pytest.mark.parametrize(
    ("what", "arguments", "message"),
    [
        (counts("bfloat16", macs=10), {}, "no coefficient for bfloat16 MACs"),
        (counts(basis="issued", macs=10), {}, "counts have issued traffic"),
    ],
)
def test_what_the_profile_cannot_price_is_refused(profile, what: OpCounts, arguments: dict, message: str) -> None:
    with pytest.raises(ProfileMismatch, match=message) as error:
        estimate_counts(what, profile, **arguments)
    assert "\n" not in str(error.value)


def test_integers_without_macs_are_no_reason_to_refuse(profile) -> None:
    indices = OpCounts({"int64": DtypeCounts(loads=10, load_bytes=80), "float32": DtypeCounts(macs=10**7)}, 1)
    assert estimate_counts(indices, profile).energy_j > 0


@pytest.mark.parametrize("time_s", [0.0, -1.0, float("nan"), float("inf")])
def test_a_time_that_is_none_is_refused(model, profile, time_s: float) -> None:
    with pytest.raises(UsageError, match="is no duration"):
        estimate_counts(model, profile, time_s=time_s)


def test_without_a_time_law_the_time_must_be_given(frame, model) -> None:
    profile = DeviceProfile.from_fit(fit_records(frame, time_law=False, validation=False), name="x")
    with pytest.raises(ProfileMismatch, match="give the measured time_s"):
        estimate_counts(model, profile)
    assert estimate_counts(model, profile, time_s=0.1).energy_j > 0
    timeless = DeviceProfile.from_fit(fit_records(frame, "cnn", time_law=False, validation=False), name="x")
    estimate = estimate_counts(model, timeless)
    assert (estimate.time_s, estimate.time_kind) == (None, None)


def test_an_equation_that_divides_by_m_needs_parameters(frame, model) -> None:
    profile = DeviceProfile.from_fit(fit_records(frame, "cnn", validation=False), name="x")
    with pytest.raises(ProfileMismatch, match="M = 0"):
        estimate_counts(layer(), profile)
    assert estimate_counts(layer(), profile, parameters=10**6).energy_j > 0


def test_work_unlike_any_fitted_is_called_extrapolated(profile, model) -> None:
    assert not estimate_counts(counts(macs=10**9, load_bytes=10**7, loads=10**6), profile).extrapolated
    dense = estimate_counts(counts(macs=10**12, load_bytes=10**6, loads=10**5), profile)
    assert dense.extrapolated
    assert any("macs per byte is 1e+06" in note for note in dense.notes)
    # a hundred times the same work is no extrapolation: every term is linear
    hundred = counts(launches=100, macs=10**11, load_bytes=10**9, loads=10**8)
    assert not estimate_counts(hundred, profile).extrapolated


def test_kernel_classes_that_were_never_run_are_said(profile) -> None:
    foreign = ModelCounts((OperatorCounts("norm", "", "forward", "norm", 1, layer()),), 1, 4)
    estimate = estimate_counts(foreign, profile)
    assert estimate.extrapolated
    assert any("norm kernels carry 100% of the work" in note for note in estimate.notes)


def test_operators_without_a_formula_are_said(profile) -> None:
    rows = (
        OperatorCounts("linear", "", "forward", "gemm", 1, layer()),
        OperatorCounts("mystery", "", "forward", "gemm", 1, counts(load_bytes=8 * 10**6, loads=1), covered=False),
    )
    estimate = estimate_counts(ModelCounts(rows, 1, 4), profile)
    assert estimate.coverage == pytest.approx(0.5, rel=1e-12)
    assert "no formula for mystery: 50.0% of the traffic has unknown work" in estimate.notes


def test_a_model_is_priced_by_kernel_class(make_frame, model) -> None:
    frame = make_frame(networks=False, noise_rel=0.001)
    conv = frame["kernel_class"] == "conv"
    frame.loc[conv, "energy_j"] += 2.0e-11 * frame.loc[conv, "macs"]
    profile = DeviceProfile.from_fit(fit_records(frame, by_kernel_class=True), name="x")
    estimate = estimate_counts(model, profile, time_s=0.1)
    assert estimate.by_term()["mac_fp32_conv_j"] == pytest.approx(4e8 * 3.1e-11, rel=0.02)
    assert estimate.by_term()["mac_fp32_gemm_j"] == pytest.approx(2e8 * 1.1e-11, rel=0.05)
    foreign = ModelCounts((OperatorCounts("dw", "", "forward", "depthwise", 1, layer()),), 1, 4)
    with pytest.raises(ProfileMismatch, match="none for depthwise"):
        estimate_counts(foreign, profile, time_s=0.1)


def test_a_net_profile_says_what_it_leaves_out(frame, model) -> None:
    profile = DeviceProfile.from_fit(fit_records(frame, target="net"), name="x")
    estimate = estimate_counts(model, profile)
    assert estimate.target == "net"
    assert any("net of idle power" in note for note in estimate.notes)
