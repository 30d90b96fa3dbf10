"""Recorded beside estimated: errors by hand, intervals that hit, null models, refusals."""

from __future__ import annotations

import json

import numpy as np
import pytest

from energybench.errors import FitError, ProfileMismatch, RecordError
from energybench.estimation import compare_records
from energybench.estimation.explanation import explain_comparison
from energybench.fitting import fit_records
from energybench.profiles import DeviceProfile


@pytest.fixture(scope="module")
def profile(frame) -> DeviceProfile:
    return DeviceProfile.from_fit(fit_records(frame), name="bench")


def test_errors_by_hand(frame, profile) -> None:
    fit = fit_records(frame)
    comparison = compare_records(frame, profile)
    work = frame[frame["split"] != "idle"].reset_index(drop=True)
    assert len(comparison.rows) == len(work)
    for row, recorded in zip(comparison.rows, work["energy_j"], strict=True):
        assert row.recorded_energy_j == recorded
        assert row.error_rel == pytest.approx(row.estimated_energy_j / recorded - 1, rel=1e-12)
        assert row.hit == (row.low_j <= recorded <= row.high_j)
    assert comparison.median_ape == pytest.approx(np.median([abs(r.error_rel) for r in comparison.rows]), rel=1e-12)
    heldout = fit.validation.heldout  # type: ignore[union-attr]
    assert comparison.by_split["heldout"].mean_ape == pytest.approx(heldout.pooled.mean_ape, rel=1e-9)  # type: ignore[union-attr]
    assert set(comparison.by_family) == {"probe", "cnn", "rnn", "transformer"}
    assert set(comparison.by_network) == {"resnet", "gru", "bert"}
    assert comparison.worst[0].error_rel == comparison.score.worst_error_rel


def test_null_models_keep_the_coefficients_of_the_fitted_rows(frame, profile) -> None:
    comparison = compare_records(frame[frame["split"] == "heldout"], profile)
    fitted = frame[frame["split"] == "fit"]
    power = np.median(fitted["energy_j"] / fitted["time_s"])
    held = frame[frame["split"] == "heldout"]
    errors = np.abs(power * held["time_s"] / held["energy_j"] - 1)
    assert comparison.null_models["mean-power"].median_ape == pytest.approx(np.median(errors), rel=1e-9)
    assert comparison.null_models["tdp"].n == len(held)
    assert comparison.null_models["mean-power"].median_ape > 3 * comparison.score.median_ape  # type: ignore[operator]


def test_intervals_hit_as_often_as_they_say(make_frame) -> None:
    """90 % nominal, new windows on new workloads, thirty profiles: the spread of an unseen workload is honest."""
    hits = total = 0
    for seed in range(30):
        fit = fit_records(make_frame(seed=seed, noise_rel=0.02, networks=False), time_law=False)
        fresh = make_frame(seed=1000 + seed, noise_rel=0.02, networks=False)
        comparison = compare_records(fresh, DeviceProfile.from_fit(fit, name="x"))
        hits += comparison.hits
        total += comparison.with_interval
    assert total == 30 * 38 * 3
    assert 0.87 <= hits / total <= 0.95


def test_predicted_time_is_scored_apart(make_frame) -> None:
    frame = make_frame()
    frame["time_s"] *= np.exp(0.2 * np.random.default_rng(1).standard_normal(len(frame)))
    frame["energy_j"] = 50.0 * frame["time_s"]
    comparison = compare_records(frame, DeviceProfile.from_fit(fit_records(frame), name="x"))
    assert comparison.score.median_ape < 0.01  # type: ignore[operator]
    assert comparison.predicted_time_score.median_ape > 0.05  # type: ignore[operator]


def test_json_has_the_keys_that_stay(frame, profile) -> None:
    data = json.loads(json.dumps(compare_records(frame, profile).to_dict(), allow_nan=False))
    assert {"rows", "median_ape", "null_models"} <= set(data)
    assert data["kind"] == data["profile_kind"] == "simulated"
    assert len(compare_records(frame, profile).to_frame()) == len(data["rows"])


def test_kinds_are_never_compared_across(frame, profile) -> None:
    with pytest.raises(ProfileMismatch, match="records hold measured energy and profile bench was fitted to simulated"):
        compare_records(frame.assign(kind="measured"), profile)
    with pytest.raises(ProfileMismatch, match="fitted to simulated"):
        compare_records(frame.assign(kind="measured"), profile, other_device=True)


def test_modelled_rows_are_labelled(make_frame) -> None:
    frame = make_frame(kind="modelled")
    comparison = compare_records(frame, DeviceProfile.from_fit(fit_records(frame), name="x"))
    assert any("pipeline check, not energy" in note for note in comparison.notes)


@pytest.mark.parametrize(("column", "value"), [("device", "cuda:0"), ("meter", "nvml")])
def test_another_device_must_be_asked_for_and_is_said(frame, profile, column: str, value: str) -> None:
    other = frame.assign(**{column: value})
    with pytest.raises(ProfileMismatch, match=f"records are of {column} {value}"):
        compare_records(other, profile)
    assert any(f"another {column}" in note for note in compare_records(other, profile, other_device=True).notes)


def test_other_mismatches_are_refused(frame, profile) -> None:
    with pytest.raises(ProfileMismatch, match="issued traffic"):
        compare_records(frame.assign(traffic_basis="issued"), profile)
    half = frame.assign(macs_bfloat16=frame["macs"], macs_float32=0)
    with pytest.raises(ProfileMismatch, match="no coefficient for bfloat16"):
        compare_records(half, profile)
    with pytest.raises(RecordError, match="only idle windows"):
        compare_records(frame[frame["split"] == "idle"], profile)
    with pytest.raises(FitError, match="has kind"):
        compare_records(frame.assign(kind=["measured"] + ["simulated"] * (len(frame) - 1)), profile)


def test_rows_that_the_equation_cannot_price_are_counted(frame) -> None:
    profile = DeviceProfile.from_fit(fit_records(frame, "cnn"), name="x")
    comparison = compare_records(frame, profile)
    without = (frame["parameters"] == 0) & (frame["split"] != "idle")
    assert comparison.left_out == {"no parameters (M = 0) to divide by": int(without.sum())}
    with pytest.raises(ProfileMismatch, match="no row has work"):
        compare_records(frame[frame["kernel_class"] == "pointwise"], profile)


def test_net_profiles_are_compared_with_net_energies(frame) -> None:
    profile = DeviceProfile.from_fit(fit_records(frame, target="net"), name="x")
    comparison = compare_records(frame, profile)
    work = frame[frame["split"] != "idle"]
    net = work["energy_j"] - work["idle_power_w"] * work["time_s"]
    assert [r.recorded_energy_j for r in comparison.rows] == pytest.approx(list(net), rel=1e-12)


def environment(**changed) -> dict[str, object]:
    facts = {"cpu_governor": "performance", "cpu_turbo": False, "gpu_power_limit_w": None, **changed.pop("facts", {})}
    return {"device_name": "Xeon 1", "device_uuid": None, "facts": facts, **changed}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"device_name": "EPYC 2"}, r"device name \(EPYC 2 / Xeon 1\)"),
        ({"facts": {"cpu_governor": "powersave"}}, r"governor\) \(powersave / performance\)"),
        ({"facts": {"cpu_turbo": True}}, r"turbo\) \(True / False\)"),
    ],
)
def test_two_machines_that_are_both_called_cpu_are_told_apart(frame, changed, message) -> None:
    profile = DeviceProfile.from_fit(fit_records(frame), name="bench", environment=environment())
    same = compare_records(frame, profile, environments=[environment()])
    assert not any("another machine" in note for note in same.notes)
    with pytest.raises(ProfileMismatch, match=message):
        compare_records(frame, profile, environments=[environment(), environment(**changed)])
    told = compare_records(frame, profile, environments=[environment(**changed)], other_device=True)
    assert sum("another machine or state" in note for note in told.notes) == 1
    unknown = compare_records(frame, profile, environments=[environment(facts={"cpu_governor": None})])
    assert unknown.notes == same.notes


def test_inputs_of_another_distribution_are_named(frame) -> None:
    frame = frame.assign(input_distribution="normal(0,1)")
    profile = DeviceProfile.from_fit(fit_records(frame), name="bench")
    assert profile.domain.input_distributions == ("normal(0,1)",)
    other = compare_records(frame.assign(input_distribution="zeros"), profile)
    assert any("inputs drawn from zeros" in note for note in other.notes)
    assert not any("inputs drawn" in note for note in compare_records(frame, profile).notes)


def test_the_rows_that_miss_most_are_explained_first(frame, profile) -> None:
    odd = frame.copy()
    gemm = odd.index[(odd["kernel_class"] == "gemm") & (odd["split"] == "fit")]
    for index, factor in zip(gemm[:3], (0.5, 1.4, 1.3), strict=True):
        odd.loc[index, "energy_j"] *= factor
    comparison = compare_records(odd, profile)
    _, explained = explain_comparison(odd, profile, comparison, 5)
    assert [row.row_id for row in explained[:3]] == [str(odd.loc[index, "row_id"]) for index in gemm[:3]]
    assert np.sign([row.error_rel for row in explained[:3]]).tolist() == [1, -1, -1]
    of_class = [row.error_rel for row in comparison.rows if row.kernel_class == "gemm"]
    too_high = sum(error > 0 for error in of_class)
    assert 0 < too_high < len(of_class)
    assert (explained[0].same_way, explained[0].alike) == (too_high, len(of_class))
    assert explained[1].same_way == sum(error < 0 for error in of_class)
