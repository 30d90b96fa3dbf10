"""What a fit is scored on: rows it has not seen, beside null models on the same rows."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

import energybench.fitting
from energybench.errors import EnergybenchError
from energybench.fitting import RelativeLeastSquares
from energybench.fitting.summary import coefficient_rows, score_rows
from energybench.model import EQUATION_NAMES
from energybench.model.scores import score
from energybench.profiles import DeviceProfile

# Any: a test looks into results without first proving that each part exists
fit_records: Any = energybench.fitting.fit_records


def test_scores_by_hand() -> None:
    result = score(np.array([0.1, -0.3, 0.0, np.nan]), "abcd".__getitem__)
    assert (result.n, result.worst_row) == (3, "b")
    assert (result.median_ape, result.mean_ape) == pytest.approx((0.1, 0.4 / 3), rel=1e-12)
    assert result.bias == pytest.approx(-0.2 / 3, rel=1e-12)
    assert result.worst_error_rel == pytest.approx(-0.3, rel=1e-12)
    assert score(np.array([np.nan]), str).median_ape is None


def test_leaving_out_is_refitting_without(frame) -> None:
    """One workload's score equals a fit by hand that never saw it."""
    fit = fit_records(frame)
    rows = fit.rows.labels["workload"] == "product-5"
    refit = RelativeLeastSquares().fit(fit.X[~rows], fit.rows.energy_j[~rows])
    errors = refit.predict(fit.X[rows]) / fit.rows.energy_j[rows] - 1
    assert fit.validation.leave_one_out.by_group["product-5"] == pytest.approx(np.median(np.abs(errors)), rel=1e-9)
    assert fit.validation.headline["name"] == "leave-one-workload-out"
    medians = list(fit.validation.leave_one_out.by_group.values())
    assert fit.validation.headline["median_ape"] == pytest.approx(np.median(medians), rel=1e-12)
    assert "idle" not in fit.validation.leave_one_out.by_group


def test_networks_are_the_unit_where_there_are_some(make_frame) -> None:
    frame = make_frame()
    frame.loc[frame["split"] == "heldout", "split"] = "fit"
    validation = fit_records(frame).validation
    assert validation.headline["name"] == "leave-one-network-out"
    assert set(validation.leave_one_out.by_group) == {"resnet", "gru", "bert"}
    assert validation.heldout is None


def test_heldout_rows_are_scored_and_never_fitted(frame) -> None:
    doubled = frame.copy()
    held = doubled["split"] == "heldout"
    doubled.loc[held, "energy_j"] *= 2
    honest, fooled = fit_records(frame), fit_records(doubled)
    assert fooled.params == honest.params
    assert fooled.validation.leave_one_out.median_ape == honest.validation.leave_one_out.median_ape
    assert honest.validation.heldout.median_ape < 0.03
    assert fooled.validation.heldout.median_ape == pytest.approx(0.5, abs=0.02)
    assert fooled.validation.heldout.unit == "network"


def test_leaving_a_family_out_drops_its_kernels_too(make_frame) -> None:
    """The convolution coefficient is unseen when CNNs are left out, whatever family the row was filed under."""
    frame = make_frame()
    frame.loc[frame["split"] == "heldout", "split"] = "fit"
    frame.loc[frame["kernel_class"] == "conv", "family"] = "probe"
    conv = frame["kernel_class"] == "conv"
    frame.loc[conv, "energy_j"] *= 3
    kept = fit_records(frame[~conv], by_kernel_class=False)
    left_out = fit_records(frame, by_kernel_class=False).validation.leave_one_family_out
    assert set(left_out) == {"cnn", "rnn", "transformer"}
    rows = frame[(frame["family"] == "cnn")]
    from energybench.model import FeatureTable

    assert (frame.loc[~conv, "family"] == "cnn").sum() == len(rows)
    train = fit_records(frame[~conv & (frame["family"] != "cnn")], by_kernel_class=False)
    expected = np.abs(train.predict(FeatureTable.from_frame(rows)) / rows["energy_j"].to_numpy() - 1)
    assert left_out["cnn"].pooled.median_ape == pytest.approx(np.median(expected), rel=1e-9)
    assert kept.params != train.params


def test_null_models_stand_beside_every_score(frame) -> None:
    validation = fit_records(frame).validation
    names = {"mean-power", "tdp", "macs-only", "parameters-only", "operator-count"}
    splits = [validation.leave_one_out, validation.random_split, validation.heldout]
    for split in (*splits, *validation.leave_one_family_out.values()):
        assert set(split.null_models) == names
        assert split.null_models["mean-power"][1].n == split.pooled.n
    power = validation.leave_one_out.null_models["mean-power"][0]
    assert power > 5 * validation.leave_one_out.median_ape
    assert set(validation.headline["null_models"]) == names


def test_constant_power_shows_no_skill(make_frame) -> None:
    """Energy that is nothing but power × time: the null model is as good, and says so."""
    frame = make_frame(noise_rel=0.0)
    frame["energy_j"] = 55.0 * frame["time_s"]
    validation = fit_records(frame).validation
    assert validation.headline["null_models"]["mean-power"] == pytest.approx(0.0, abs=1e-9)


def test_the_tdp_model_needs_a_rated_power(frame) -> None:
    validation = fit_records(frame.assign(tdp_w=np.nan)).validation
    assert validation.headline["null_models"]["tdp"] is None
    assert validation.leave_one_out.null_models["tdp"][1].n == 0


def test_null_models_use_the_same_target(make_frame) -> None:
    """Net of idle, TDP × time loses idle power × time as the energies do."""
    frame = make_frame(noise_rel=0.0)
    frame["energy_j"] = 200.0 * frame["time_s"]
    net = fit_records(frame, target="net").validation
    assert net.headline["null_models"]["tdp"] == pytest.approx(0.0, abs=1e-9)


def test_an_element_type_that_training_never_saw_is_not_predicted(make_frame) -> None:
    frame = make_frame()
    once = (frame["workload"] == "product-0").to_numpy()
    frame["macs_bfloat16"] = np.where(once, frame["macs"], 0)
    frame.loc[once, "macs_float32"] = 0
    fit = fit_records(frame)
    assert fit.verdicts["mac_bf16_j"] == "not identified"
    assert "only one workload carries it" in fit.advice["mac_bf16_j"]
    assert fit.validation.leave_one_out.not_predictable == 3
    assert "product-0" not in fit.validation.leave_one_out.by_group


def test_modelled_energy_has_no_headline(make_frame) -> None:
    fit = fit_records(make_frame(kind="modelled"))
    assert fit.validation.headline is None
    assert fit.validation.note == "pipeline check, not energy"
    assert any("pipeline check, not energy" in note for note in fit.notes)
    text = fit.summary()
    assert "modelled energy" in text
    assert "pipeline check" in text
    assert "median error" not in text


def test_a_result_is_json_and_reads_as_text(frame) -> None:
    fit = fit_records(frame)
    data = json.loads(json.dumps(fit.to_dict(), allow_nan=False))
    assert data["equation"] == "physical"
    assert data["kind"] == "simulated"
    for name, row in data["params"].items():
        assert {"value", "unit", "bse", "low", "high", "verdict"} <= set(row)
        assert row["low"] <= row["value"] <= row["high"], name
    assert data["validation"]["headline"]["median_ape"] < 0.02
    assert "simulated energy" in fit.summary()
    page = fit._repr_html_()
    assert "simulated energy" in page
    for name, value, _, interval, verdict in coefficient_rows(fit):
        for cell in (name, value, interval, verdict):
            assert f">{cell}</td>" in page, name
        assert f"{name} " in fit.summary()
        assert interval in fit.summary()
    columns, scores = score_rows(fit.validation)
    assert len(scores) > 2
    assert all(len(row) == len(columns) and f">{row[0]}</td>" in page and row[0] in fit.summary() for row in scores)
    errors = fit.to_frame()
    assert len(errors) == fit.nobs
    assert errors["error_rel"].to_numpy() == pytest.approx(
        fit.fittedvalues / fit.rows.energy_j - 1, rel=1e-9, abs=1e-12
    )


def test_the_same_records_in_another_order_give_the_same_fit(frame) -> None:
    shuffled = frame.sample(frac=1.0, random_state=3)
    assert fit_records(shuffled).params == pytest.approx(fit_records(frame).params, rel=1e-7)


@pytest.mark.parametrize("seed", range(12))
def test_a_handful_of_workloads_is_fitted_or_refused_but_never_trips(frame, seed: int) -> None:
    """Few workloads, few repeats, no uncertainties: a result that is JSON and makes a profile, or one line why not."""
    rng = np.random.default_rng(seed)
    chosen = rng.choice(frame["workload"].unique(), size=1 + seed % 6, replace=False)
    few = frame[frame["workload"].isin(chosen)]
    if seed % 3 == 0:
        few = few.drop_duplicates("workload")
    if seed % 4 == 0:
        few = few.assign(energy_uncertainty_j=0.0)
    for equation in EQUATION_NAMES:
        refused = ""
        try:
            fit = fit_records(few, equation)
        except EnergybenchError as error:
            refused = str(error)
        assert "\n" not in refused
        if refused:
            continue
        json.dumps(fit.to_dict(), allow_nan=False)
        assert fit.summary()
        profile = DeviceProfile.from_fit(fit, name="few")
        assert DeviceProfile.from_dict(profile.to_dict()).params == fit.params
        if len(chosen) == 1:
            assert "identified" not in fit.verdicts.values()
