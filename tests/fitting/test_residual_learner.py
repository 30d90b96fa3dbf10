"""The residual learner: off unless asked for, kept only where rows and networks left out come out better."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from benchmarks.study_devices import CASES, device_text
from energybench.app.calibrate import calibrate
from energybench.cli.main import app
from energybench.errors import ProfileError
from energybench.estimation import compare_records, estimate_counts
from energybench.fitting import fit_records
from energybench.fitting.residual_fit import fit_residual
from energybench.model.features import FeatureTable
from energybench.model.gaussian_process import closeness, weigh_points
from energybench.model.observations import Observations
from energybench.model.residual import mean_operator
from energybench.profiles import DeviceProfile
from energybench.profiles.report import show_profile
from energybench.records.op_counts import OpCounts

Calibrated = Callable[..., pd.DataFrame]


def untold(calibrated: Calibrated) -> pd.DataFrame:
    """A device whose clock falls under a limit, and that tells neither: a misfit that follows the mix of work."""
    return calibrated(CASES["dvfs"]).drop(columns="power_cap_w")


def heldout_median(frame: pd.DataFrame, profile: DeviceProfile) -> float:
    median = compare_records(frame[frame["split"] == "heldout"], profile).median_ape
    assert median is not None
    return median


def test_it_is_off_unless_asked_for(calibrated: Calibrated) -> None:
    fit = fit_records(untold(calibrated))
    assert fit.residual is None
    assert not any("residual learner" in note for note in fit.notes)
    assert ("residual learner", "none") in show_profile(DeviceProfile.from_fit(fit, name="plain"))["facts"]


def test_what_follows_the_mix_of_work_is_learnt(calibrated: Calibrated) -> None:
    frame = untold(calibrated)
    plain, learnt = fit_records(frame), fit_records(frame, residual_learner=True)
    assert learnt.residual is not None
    assert learnt.params == plain.params
    profile = DeviceProfile.from_dict(DeviceProfile.from_fit(learnt, name="learnt").to_dict())
    without = DeviceProfile.from_fit(plain, name="plain")
    assert heldout_median(frame, profile) < 0.6 * heldout_median(frame, without)
    assert learnt.spread_rel is not None
    assert plain.spread_rel is not None
    assert 0.5 * plain.spread_rel < learnt.spread_rel < 0.9 * plain.spread_rel
    assert learnt.validation is not None
    assert plain.validation is not None
    assert learnt.validation.leave_one_out is not None
    assert plain.validation.leave_one_out is not None
    assert learnt.validation.leave_one_out.median_ape == plain.validation.leave_one_out.median_ape
    assert learnt.validation.heldout is not None
    assert learnt.validation.heldout.median_ape == pytest.approx(heldout_median(frame, profile), rel=0.3)
    table = FeatureTable.from_frame(frame[frame["split"] == "heldout"])
    assert learnt.predict(table) == pytest.approx(plain.predict(table) * learnt.residual.factor(table), rel=1e-12)
    assert profile.price(table).total_j == pytest.approx(learnt.predict(table), rel=1e-12)
    assert any("residual learner: workloads left out miss by" in note for note in learnt.notes)
    assert ("residual learner", f"{len(learnt.residual.weights)} workloads") in show_profile(profile)["facts"]


def test_an_estimate_says_so_and_its_parts_add_up(calibrated: Calibrated) -> None:
    frame = untold(calibrated)
    profile = DeviceProfile.from_fit(fit_records(frame, residual_learner=True), name="learnt")
    plain = DeviceProfile.from_fit(fit_records(frame), name="plain")
    assert profile.residual is not None
    counts = OpCounts.single("float32", macs=10**8, nominal_macs=10**8, launches=1, loads=10**6, load_bytes=4 * 10**6)
    with_it, without = (estimate_counts(counts, p, time_s=1e-4) for p in (profile, plain))
    factor = with_it.energy_j / without.energy_j
    assert abs(factor - 1) > 0.002
    assert sum(with_it.by_term().values()) == pytest.approx(with_it.energy_j, rel=1e-12)
    assert any(f"residual learner makes it {factor:.3f} times" in note for note in with_it.notes)
    assert not any("power limit" in note for note in with_it.notes)
    far = OpCounts.single("float32", macs=10**17, nominal_macs=10**17, launches=1, loads=10, load_bytes=40)
    assert float(profile.residual.factor(estimate_counts(far, profile, time_s=1e5).table)[0]) == pytest.approx(
        1.0, abs=0.004
    )


@pytest.mark.parametrize("name", ["none", "tile", "thermal"])
def test_where_nothing_follows_the_mix_it_is_left_out(calibrated: Calibrated, name: str) -> None:
    fit = fit_records(calibrated(CASES[name]), residual_learner=True, time_law=False)
    assert fit.residual is None
    assert any("does not predict workloads better that it never saw" in note for note in fit.notes)


def test_networks_that_come_out_worse_object(calibrated: Calibrated) -> None:
    frame = untold(calibrated)
    plain = fit_records(frame)
    networks = frame["split"] == "heldout"
    frame.loc[networks, "energy_j"] = plain.predict(FeatureTable.from_frame(frame[networks]))
    fit = fit_records(frame, residual_learner=True)
    assert fit.residual is None
    assert any("learner left out: held-out networks miss by" in note for note in fit.notes)


def test_repeats_of_a_workload_are_one_point(calibrated: Calibrated) -> None:
    frame = untold(calibrated)
    rows = Observations.from_frame(frame[frame["split"] == "fit"])
    fitted = fit_records(frame, validation=False, time_law=False).predict(rows.table)
    learnt = fit_residual(rows, fitted)
    assert learnt is not None
    assert len(learnt.learner.weights) == len(set(rows.labels["workload"]))
    few = np.isin(rows.labels["workload"], sorted(set(rows.labels["workload"]))[:19])
    assert fit_residual(rows.take(few), fitted[few]) is None


def priced_at_nothing(calibrated: Calibrated) -> tuple[pd.DataFrame, str]:
    """Rows where a coefficient of M comes to rest at 0: the less a MAC costs, the more parameters a row has.

    One workload makes no MAC and has one parameter, so that MACs and M price it at 0 J.
    """
    frame = untold(calibrated)
    odd = "vendor/copy/e16/fp32"
    frame = frame[(frame["macs"] > 0) | (frame["workload"] == odd)]
    cheap = frame["macs"] / frame["energy_j"]
    return frame.assign(parameters=np.where(frame["macs"] > 0, np.rint(1e9 * (cheap / cheap.max()) ** 2), 1)), odd


def test_work_priced_at_nothing_has_no_ratio_to_learn_from(calibrated: Calibrated) -> None:
    frame, odd = priced_at_nothing(calibrated)
    fit = fit_records(frame, ["macs", "parameters"], residual_learner=True)
    assert fit.params["parameter_j"] == 0
    assert odd in fit.rows.labels["workload"], "it is fitted, and priced at 0 J"
    assert fit.residual is not None
    assert len(fit.residual.weights) == len(set(fit.rows.labels["workload"])) - 1
    assert np.isfinite(fit.residual.weights).all()
    alone = fit_residual(fit.rows.take(fit.fittedvalues > 0), fit.fittedvalues[fit.fittedvalues > 0])
    assert alone is not None
    assert (fit.residual.weights == alone.learner.weights).all()
    assert fit.spread_rel is not None
    assert np.isfinite(fit.spread_rel)
    assert any("; 2 rows that the equation prices at 0 J or less have no ratio" in note for note in fit.notes)
    assert not any("J or less" in note for note in fit_records(untold(calibrated), residual_learner=True).notes)
    profile = DeviceProfile.from_dict(DeviceProfile.from_fit(fit, name="learnt").to_dict())
    table = FeatureTable.from_frame(frame)
    assert (fit.residual.factor(table)[frame["workload"] == odd] != 1).all()
    priced = profile.price(table)
    assert (priced.factor[frame["workload"][priced.design.kept] == odd] == 1).all()
    assert priced.total_j == pytest.approx(fit.predict(table)[priced.design.kept], rel=1e-12)
    counts = OpCounts.single("float32", launches=1, loads=10, load_bytes=40)
    nothing = estimate_counts(counts, profile, time_s=1e-4, parameters=1)
    assert nothing.energy_j == 0
    assert any("residual learner makes it 1.000 times" in note for note in nothing.notes)


def test_without_workloads_that_have_a_price_there_is_no_learner(calibrated: Calibrated) -> None:
    frame = untold(calibrated)
    rows = Observations.from_frame(frame[frame["split"] == "fit"])
    assert fit_residual(rows, np.zeros(len(rows))) is None
    assert fit_residual(rows, np.full(len(rows), -1.0)) is None


def test_left_out_points_are_missed_as_a_refit_without_them_says() -> None:
    draw = np.random.default_rng(5)
    points, values = draw.normal(size=(12, 3)), draw.normal(size=12)
    weighed = weigh_points(points, values, length=0.7, noise=0.2)
    for i in range(12):
        rest = np.arange(12) != i
        others = weigh_points(points[rest], values[rest], length=0.7, noise=0.2)
        mean = closeness(points[i : i + 1], points[rest], 0.7) @ others.weights
        assert weighed.missed[i] == pytest.approx(values[i] - mean[0], rel=1e-9)


def test_a_network_lies_where_its_mean_operator_does() -> None:
    row = {"macs": 10.0, "other_flops": 4.0, "bytes": 8.0, "launches": 2.0, "operators": 2.0, "kernel_class": "network"}
    half = {**row, "macs": 5.0, "other_flops": 2.0, "bytes": 4.0, "launches": 1.0, "operators": 1.0}
    table = FeatureTable.from_rows([row, half, {**half, "operators": 0.0}])
    assert mean_operator(table) == pytest.approx(np.log1p([[5.0, 2.0, 4.0, 1.0]] * 3), rel=1e-12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"points": [[1.0, 2.0]]}, "residual.points have not 4 numbers each"),
        ({"weights": []}, "not one weight a point"),
    ],
)
def test_a_damaged_learner_is_refused(calibrated: Calibrated, change: dict[str, object], message: str) -> None:
    data = DeviceProfile.from_fit(fit_records(untold(calibrated), residual_learner=True), name="learnt").to_dict()
    with pytest.raises(ProfileError, match=message):
        DeviceProfile.from_dict({**data, "residual": {**data["residual"], **change}})


def test_the_command_line_asks_for_it(tmp_path: Path) -> None:
    scenario = tmp_path / "device.toml"
    scenario.write_text(device_text(CASES["none"], seed=3))
    run = calibrate(meter=f"simulated:{scenario}", out=tmp_path / "run", seed=3)
    result = CliRunner().invoke(app, ["fit", str(run.path), "--residual-learner"])
    assert result.exit_code == 0
    assert "residual learner left out:" in result.stdout
