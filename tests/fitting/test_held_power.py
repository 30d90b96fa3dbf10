"""A power limit of a device that does not tell its clock: rows at the limit tell the limit, the others the prices."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.study_devices import CASES, SECTIONS, device_text
from energybench.app.calibrate import calibrate
from energybench.estimation import compare_records, estimate_counts
from energybench.estimation.explanation import explain_comparison
from energybench.fitting import FitResult, fit_records
from energybench.fitting.held_power import held_by_limit
from energybench.fitting.validation import FAMILY_KERNEL_CLASSES
from energybench.model.features import FeatureTable
from energybench.model.observations import Observations
from energybench.model.physical import physical_from_names
from energybench.model.power_cap import held_features
from energybench.model.time_law import Rates, TimeLaw
from energybench.profiles import DeviceProfile
from energybench.profiles.difference import diff_profiles
from energybench.profiles.report import show_profile
from energybench.records.frame import load_records
from energybench.records.model_counts import ModelCounts, OperatorCounts
from energybench.records.op_counts import OpCounts

Calibrated = Callable[..., pd.DataFrame]
LIMITED = SECTIONS["dvfs"]


def median_heldout(fit: FitResult) -> float:
    assert fit.validation is not None
    assert fit.validation.heldout is not None
    assert fit.validation.heldout.median_ape is not None
    return fit.validation.heldout.median_ape


def heavy_call(macs: int = 10**9) -> ModelCounts:
    """Two products and an addition, far more arithmetic than traffic."""
    product = OpCounts.single("float32", macs=macs, nominal_macs=macs, launches=1, loads=10**4, load_bytes=4 * 10**4)
    plus = OpCounts.single("float32", adds=10**6, launches=1, loads=10**6, load_bytes=4 * 10**6)
    rows = (
        OperatorCounts("mm", "a", "forward", "gemm", 1, product),
        OperatorCounts("mm", "b", "forward", "gemm", 1, product),
        OperatorCounts("add", "c", "forward", "pointwise", 1, plus),
    )
    return ModelCounts(rows, 10, 40)


def test_prices_are_those_of_the_highest_clock(calibrated: Calibrated) -> None:
    frame = calibrated(LIMITED)
    fit, plain = fit_records(frame), fit_records(frame, optional=())
    assert fit.held_power_w == pytest.approx(55.0, rel=0.005)
    assert fit.params["mac_fp32_j"] == pytest.approx(1.1e-11, rel=0.02)
    assert plain.params["mac_fp32_j"] < 0.95 * 1.1e-11
    assert plain.held_power_w is None
    assert median_heldout(fit) < 0.25 * median_heldout(plain)
    assert fit.misfit is not None
    assert not fit.misfit.present
    assert any("held at 5" in note and "by the power limit" in note for note in fit.notes)


def test_the_limit_is_on_the_meters_scale(tmp_path_factory: pytest.TempPathFactory) -> None:
    scenario = tmp_path_factory.mktemp("gain") / "device.toml"
    scenario.write_text(device_text(LIMITED, seed=3, gain=1.06))
    fit = fit_records(load_records(calibrate(meter=f"simulated:{scenario}", out=scenario.with_suffix(""), seed=3).path))
    assert fit.held_power_w == pytest.approx(1.06 * 55.0, rel=0.005)
    assert fit.time_law is not None
    assert fit.time_law.power_cap_w == fit.held_power_w


def test_a_profile_keeps_the_limit_and_every_estimate_below_it(calibrated: Calibrated) -> None:
    frame = calibrated(LIMITED)
    fit = fit_records(frame)
    profile = DeviceProfile.from_dict(DeviceProfile.from_fit(fit, name="limited").to_dict())
    assert profile.held_power_w == fit.held_power_w
    assert profile.held_power_w is not None
    everything = frame[frame["kernel_class"] != "idle"]
    compared = compare_records(everything, profile)
    powers = np.array([row.estimated_energy_j / row.time_s for row in compared.rows])
    assert powers.max() == pytest.approx(profile.held_power_w, rel=1e-12)
    assert max(abs(row.error_rel) for row in compared.rows) < 0.03
    timed = [row.predicted_time_energy_j / row.predicted_time_s for row in compared.rows]  # type: ignore[operator]
    assert max(timed) <= profile.held_power_w * (1 + 1e-12)
    assert profile.time_law is not None
    unaware = replace(profile, time_law=replace(profile.time_law, power_cap_w=None))
    for row in compare_records(everything, unaware).rows:
        assert row.predicted_time_energy_j is not None
        assert row.predicted_time_s is not None
        assert row.predicted_time_energy_j <= profile.held_power_w * row.predicted_time_s * (1 + 1e-12)
    predicted = fit.predict(FeatureTable.from_frame(everything))
    assert predicted == pytest.approx(np.array([row.estimated_energy_j for row in compared.rows]), rel=1e-12)
    _, explained = explain_comparison(everything, profile, compared, len(compared.rows))
    held = {row.row_id for row, power in zip(compared.rows, powers, strict=True) if power > 0.999 * powers.max()}
    # of a held row, static power is 75 %: a factor of one is what prices at the limit ask for
    factors = {why.row_id: next(c.factor for c in why.culprits if c.term == "static_power_w") for why in explained}
    assert held
    assert all(factors[row_id] == pytest.approx(1.0, abs=0.02) for row_id in held)


def test_an_estimate_of_a_measured_time_says_that_it_is_held(calibrated: Calibrated) -> None:
    profile = DeviceProfile.from_fit(fit_records(calibrated(LIMITED)), name="limited")
    assert profile.held_power_w is not None
    time_s = 2 * 10**9 / 2.0e12 / 0.8
    held = estimate_counts(heavy_call(), profile, time_s=time_s)
    assert held.energy_j == pytest.approx(profile.held_power_w * time_s, rel=1e-12)
    for parts in (held.by_term(), held.by_role(), held.by_module(1), held.by_operator(), held.by_kernel_class()):
        own = {name: joules for name, joules in parts.items() if name != ""}
        assert sum(own.values()) == pytest.approx(held.energy_j, rel=1e-9)
    assert any("power limit holds this call at 5" in note for note in held.notes)
    assert held.by_term()["byte_j"] == pytest.approx(profile.params["byte_j"] * held.counts.total.bytes, rel=1e-12)  # type: ignore[union-attr]
    full_j = profile.params["mac_fp32_j"] * 2 * 10**9
    assert 0.5 * full_j < held.by_term()["mac_fp32_j"] < 0.95 * full_j
    slow = estimate_counts(heavy_call(), profile, time_s=10 * time_s)
    assert slow.by_term()["mac_fp32_j"] == pytest.approx(full_j, rel=1e-12)
    assert not any("power limit" in note for note in slow.notes)


def fitted_rows(frame: pd.DataFrame) -> Observations:
    return Observations.from_frame(frame[frame["split"] != "heldout"])


def held_workloads(frame: pd.DataFrame) -> set[str]:
    """Workloads among the fitted rows that the limit of 55 W holds."""
    power_w = frame["energy_j"] / frame["time_s"]
    return set(frame["workload"][(power_w > 54.5) & (frame["split"] == "fit")])


@pytest.mark.parametrize("share", [0.7, 0.99])
def test_little_saved_is_found_too(calibrated: Calibrated, share: float) -> None:
    frame = calibrated(LIMITED.replace("0.7", str(share)))
    found = held_by_limit(fitted_rows(frame))
    assert found is not None
    assert found.power_w == pytest.approx(55.0, rel=0.005)
    labels = fitted_rows(frame).labels["workload"]
    assert set(labels[found.rows]) == held_workloads(frame)


@pytest.mark.parametrize("why", ["one voltage", "not told", "far above", "two limits", "two workloads"])
def test_where_nothing_asks_for_it_there_is_no_limit(calibrated: Calibrated, why: str) -> None:
    frame = calibrated(CASES["cap"] if why == "one voltage" else LIMITED)
    if why == "not told":
        frame = frame.drop(columns="power_cap_w")
    if why == "far above":
        frame["power_cap_w"] = 70.0
    if why == "two limits":
        frame.loc[frame.index[frame["kernel_class"] == "gemm"][0], "power_cap_w"] = 56.0
    if why == "two workloads":
        frame = frame[~frame["workload"].isin(sorted(held_workloads(frame))[2:])]
    assert held_by_limit(fitted_rows(frame)) is None
    if why in ("not told", "one voltage"):
        fit = fit_records(frame, validation=False)
        assert fit.held_power_w is None
        assert not any("power limit" in note for note in fit.notes)


def test_a_clock_that_explains_comes_first(calibrated: Calibrated) -> None:
    frame = calibrated(CASES["clock"])
    assert held_by_limit(fitted_rows(frame)) is not None
    assert held_by_limit(fitted_rows(frame), terms=["clock_saving_j"]) is None
    fit = fit_records(frame, validation=False)
    assert "clock_saving_j" in fit.params
    assert fit.held_power_w is None
    frame["clock_mhz"] = 2000.0 - 100.0 * (np.arange(len(frame)) % 3)  # looks at idle moments, as at a window's edges
    blind = fit_records(frame, validation=False)
    assert "clock_saving_j" not in blind.params
    assert blind.held_power_w == pytest.approx(55.0, rel=0.005)


def test_rows_that_alone_tell_a_price_are_not_left_out(calibrated: Calibrated) -> None:
    frame = calibrated(LIMITED)
    frame["macs_bfloat16"] = np.where(frame["workload"].isin(held_workloads(frame)), 10.0, 0.0)
    assert held_by_limit(fitted_rows(frame)) is None


def test_networks_that_come_out_worse_object(calibrated: Calibrated) -> None:
    frame = calibrated(LIMITED)
    plain = fit_records(frame, optional=())
    networks = frame["split"] == "heldout"
    frame.loc[networks, "energy_j"] = plain.predict(FeatureTable.from_frame(frame[networks]))
    assert fit_records(frame, validation=False).held_power_w is None


def test_held_out_networks_at_the_limit_are_predicted_at_it(calibrated: Calibrated) -> None:
    frame = calibrated(LIMITED)
    heavy = sorted(held_workloads(frame))
    some = frame["workload"].isin(heavy[::3])
    frame.loc[some, "split"], frame.loc[some, "network"] = "heldout", frame["workload"]
    fit = fit_records(frame)
    assert fit.held_power_w is not None
    assert fit.validation is not None
    assert fit.validation.heldout is not None
    assert max(fit.validation.heldout.by_group[name] for name in heavy[::3]) < 0.005
    assert max(max(fit.network_scores[name]) for name in heavy[::3]) < 4


def median_null(frame: pd.DataFrame, coefficient_j: float, by: str, column: str = "macs") -> float:
    """Median over groups of each one's median |coefficient × quantity / energy − 1|."""
    errors = (coefficient_j * frame[column] / frame["energy_j"] - 1).abs()
    return float(errors.groupby(frame[by]).median().median())


@pytest.mark.parametrize(("name", "column"), [("macs-only", "macs"), ("mean-power", "time_s")])
def test_null_models_see_the_rows_that_the_limit_holds(calibrated: Calibrated, name: str, column: str) -> None:
    """A null model knows nothing of a limit: fitted to all rows, scored on the same rows as the equation."""
    frame = calibrated(LIMITED)
    held = frame["workload"].isin(held_workloads(frame))
    light = sorted(set(frame["workload"][(frame["split"] == "fit") & ~held & (frame["kernel_class"] == "gemm")]))
    networks = dict(zip(sorted(held_workloads(frame)), "abab", strict=False)) | dict(zip(light[:2], "ab", strict=True))
    fitted = frame["split"] == "fit"
    frame.loc[fitted, "network"] = frame["workload"].map(networks)
    fit = fit_records(frame)
    assert fit.held_power_w is not None
    assert set(fit.rows.labels["workload"]).isdisjoint(held_workloads(frame))
    assert not fit.drifts
    assert fit.validation is not None

    def coefficient_j(rows: pd.DataFrame) -> float:
        return float((rows["energy_j"] / rows[column])[rows[column] > 0].median())

    everything, heldout = coefficient_j(frame[fitted]), frame[frame["split"] == "heldout"]
    assert fit.null_models[name] == pytest.approx(everything, rel=1e-12)
    assert abs(coefficient_j(frame[fitted & ~held]) / everything - 1) > 1e-3, "the held rows have to matter"
    assert fit.validation.heldout is not None
    found = fit.validation.heldout.null_models[name][0]
    assert found == pytest.approx(median_null(heldout, everything, "network", column), rel=1e-9)
    # what is left out is left out whole, held or not, and only the equation's rows are scored
    scored = frame[fitted & ~held & frame["network"].notna()]
    left_out = [
        median_null(
            scored[scored["network"] == n], coefficient_j(frame[fitted & (frame["network"] != n)]), "network", column
        )
        for n in "ab"
    ]
    assert fit.validation.leave_one_out is not None
    assert fit.validation.leave_one_out.unit == "network"
    assert fit.validation.leave_one_out.null_models[name][0] == pytest.approx(np.median(left_out), rel=1e-9)
    for family, split in fit.validation.leave_one_family_out.items():
        mine = fitted & (frame["family"] == family)
        apart = mine | frame["kernel_class"].isin(FAMILY_KERNEL_CLASSES[family])
        expected = median_null(frame[mine & ~held], coefficient_j(frame[fitted & ~apart]), "family", column)
        assert split.null_models[name][0] == pytest.approx(expected, rel=1e-9)
    assert fit.validation.leave_one_family_out
    part = dict(zip(fit.rows.labels["row_id"], np.random.default_rng(0).permutation(len(fit.rows)) % 5, strict=True))
    frame["part"] = frame["row_id"].map(part)
    scored = frame[fitted & ~held]
    by_part = [
        median_null(scored[scored["part"] == i], coefficient_j(frame[fitted & (frame["part"] != i)]), "part", column)
        for i in range(5)
    ]
    assert fit.validation.random_split is not None
    assert fit.validation.random_split.null_models[name][0] == pytest.approx(np.median(by_part), rel=1e-9)


def test_cold_rows_leave_the_null_models_too(calibrated: Calibrated) -> None:
    """They are another state than that of hot rows; nothing but the limit brings a row back."""
    frame = calibrated(LIMITED)
    held = frame["workload"].isin(held_workloads(frame))
    cold = frame["workload"].isin(
        [sorted(held_workloads(frame))[0], frame["workload"][~held & (frame["macs"] > 0)].min()]
    )
    fit = fit_records(frame.assign(caches=np.where(cold, "cold", "hot")))
    assert fit.held_power_w is not None
    assert fit.rows.left_out["cold caches"] == int((cold & ~held).sum())
    used = frame[(frame["split"] == "fit") & ~cold & (frame["macs"] > 0)]
    assert fit.null_models["macs-only"] == pytest.approx((used["energy_j"] / used["macs"]).median(), rel=1e-12)


def test_a_cache_beside_the_limit_is_found_too(calibrated: Calibrated) -> None:
    frame = calibrated(LIMITED + SECTIONS["cache"])
    heavy = sorted(held_workloads(frame))
    networks = frame["workload"].isin(heavy[::2])
    frame = frame[(frame["split"] != "heldout") | networks]
    frame.loc[networks, "split"], frame.loc[networks, "network"] = "heldout", frame["workload"]
    fit = fit_records(frame)
    assert fit.held_power_w == pytest.approx(55.0, rel=0.005)
    assert fit.params["cache_saving_j"] == pytest.approx(8e-11, rel=0.05)
    assert fit.params["mac_fp32_j"] == pytest.approx(1.1e-11, rel=0.03)


def test_the_time_law_sees_rows_that_the_limit_holds(calibrated: Calibrated) -> None:
    frame = calibrated(LIMITED)
    power_w = frame["energy_j"] / frame["time_s"]
    near = (power_w > 50.0) & (frame["split"] == "fit") & ~frame["workload"].isin(held_workloads(frame))
    fit = fit_records(frame[~frame["workload"].isin(set(frame["workload"][near]))], validation=False)
    assert fit.held_power_w is not None
    assert fit.time_law is not None
    assert fit.time_law.power_cap_w == fit.held_power_w


@pytest.mark.parametrize(("voltage", "low", "high"), [(0.5, 0.7, 0.8), (0.7, 0.77, 0.86), (0.9, 0.88, 0.95)])
def test_work_at_the_limit_takes_less_time_where_the_voltage_falls(
    calibrated: Calibrated, voltage: float, low: float, high: float
) -> None:
    frame = calibrated(LIMITED.replace("0.7", str(voltage)))
    fit = fit_records(frame, validation=False)
    assert fit.time_law is not None
    assert low < fit.time_law.cap_exponent < high
    held = frame[frame["workload"].isin(held_workloads(frame))]
    missed = []
    for exponent in (1.0, fit.time_law.cap_exponent):
        law = replace(fit.time_law, cap_exponent=exponent)
        profile = DeviceProfile.from_dict(DeviceProfile.from_fit(replace(fit, time_law=law), name="x").to_dict())
        compared = compare_records(held, profile).rows
        missed.append(np.median([abs(r.predicted_time_s / r.time_s - 1) for r in compared if r.predicted_time_s]))
    assert missed[1] < 0.5 * missed[0]


def test_a_stretch_keeps_its_bounds() -> None:
    rates = Rates({"float32": 1e-12}, 0.0, 0.0, 0.0, None)
    times, energies, powers = np.array([1.0, 1.0, 0.0]), np.array([100.0, 41.0, 0.0]), np.full(3, 40.0)
    one_voltage = TimeLaw(rates, 0.0, 1, power_cap_w=50.0)
    assert one_voltage.under_cap_s(times, energies, powers) == pytest.approx([6.0, 1.0, 0.0], rel=1e-12)
    cubic = replace(one_voltage, cap_exponent=1 / 3)
    assert cubic.under_cap_s(times, energies, powers) == pytest.approx([6.0 ** (1 / 3), 1.0, 0.0], rel=1e-12)


def test_people_see_the_limit(calibrated: Calibrated) -> None:
    frame = calibrated(LIMITED)
    held = DeviceProfile.from_fit(fit_records(frame), name="held")
    plain = DeviceProfile.from_fit(fit_records(frame, optional=()), name="plain")
    assert ("power limit", f"holds work at {held.held_power_w:.4g} W") in show_profile(held)["facts"]
    assert ("power limit", "none seen") in show_profile(plain)["facts"]
    assert held.domain == plain.domain, "what the limit holds was run all the same"
    facts, _ = diff_profiles(held, plain)
    assert any(fact.startswith("power limit, W: ") for fact in facts)


@given(
    macs=st.lists(st.integers(0, 10**12), min_size=1, max_size=5),
    time_s=st.floats(1e-6, 10.0),
    limit_w=st.floats(1.0, 500.0),
)
def test_held_features_take_from_arithmetic_alone(macs: list[int], time_s: float, limit_w: float) -> None:
    equation = physical_from_names(["mac_fp32_j", "other_flop_j", "byte_j", "launch_j", "static_power_w"])
    coef = np.array([1e-11, 5e-12, 1e-10, 2e-6, 40.0])
    X = np.array([[m, 0.1 * m, 1e6, 3.0, time_s] for m in macs])
    lowered = held_features(equation, coef, X, np.full(len(macs), time_s), limit_w)
    assert (lowered[:, 2:] == X[:, 2:]).all()
    assert (lowered <= X).all()
    rest_j = X[:, 2:] @ coef[2:]
    assert (lowered @ coef <= np.maximum(limit_w * time_s, rest_j) * (1 + 1e-9)).all()
    untouched = X @ coef <= limit_w * time_s
    assert (lowered[untouched] == X[untouched]).all()
    for row in np.flatnonzero(~untouched & (X[:, 0] > 0)):
        assert lowered[row, 0] / X[row, 0] == pytest.approx(lowered[row, 1] / X[row, 1], rel=1e-12)
        assert lowered[row] @ coef == pytest.approx(max(limit_w * time_s, rest_j[row]), rel=1e-9)
    assert held_features(equation, coef, X, np.full(len(macs), time_s), None) is X
    no_time = held_features(equation, coef, X, np.full(len(macs), np.nan), limit_w)
    assert (no_time == X).all()
