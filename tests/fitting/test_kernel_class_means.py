"""MACs by kernel class: split only where the records need it, drawn to a mean that prices unknown classes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from energybench.fitting import RelativeLeastSquares, fit_records
from energybench.fitting.kernel_classes import choose_kernel_classes
from energybench.fitting.shrinkage import Shrinkage
from energybench.model import FeatureTable
from energybench.model.observations import Observations
from energybench.model.physical import physical_equation
from energybench.profiles import DeviceProfile

MakeFrame = Callable[..., pd.DataFrame]
FACTORS = {"gemm": 1.0, "conv": 1.6, "rnn": 0.7, "attention": 1.3}


def with_classes(frame: pd.DataFrame) -> pd.DataFrame:
    factor = frame["kernel_class"].map(FACTORS).fillna(1.0)
    return frame.assign(energy_j=frame["energy_j"] + 1.1e-11 * frame["macs"] * (factor - 1))


def test_classes_that_cost_the_same_stay_one(make_frame: MakeFrame) -> None:
    split = [
        "mac_fp32_gemm_j" in fit_records(make_frame(seed=seed), validation=False, time_law=False).params
        for seed in range(100)
    ]
    # an F-test at 1 in 1,000 and then a cross-validation: three in a hundred would be a broken test
    assert sum(split) < 3


def test_classes_that_differ_are_found_with_their_mean(make_frame: MakeFrame) -> None:
    frame = with_classes(make_frame(noise_rel=0.003))
    fit = fit_records(frame)
    for name, factor in FACTORS.items():
        assert fit.params[f"mac_fp32_{name}_j"] == pytest.approx(1.1e-11 * factor, rel=0.1)
    mean = fit.params["mac_fp32_j"]
    own = [fit.params[f"mac_fp32_{name}_j"] for name in FACTORS]
    assert mean == pytest.approx(float(np.mean(own)), rel=1e-6)
    assert fit.verdicts["mac_fp32_j"] != "identified"  # four classes that differ by a factor of two: no sharp mean
    assert any("priced by class" in note for note in fit.notes)


def test_left_out_workloads_are_predicted_better(make_frame: MakeFrame) -> None:
    frame = with_classes(make_frame(noise_rel=0.003))
    pooled, split = (fit_records(frame, by_kernel_class=by) for by in (False, "auto"))
    assert pooled.validation is not None
    assert split.validation is not None
    assert pooled.validation.leave_one_out is not None
    assert split.validation.leave_one_out is not None
    rms = (pooled.validation.leave_one_out.rms_rel, split.validation.leave_one_out.rms_rel)
    assert rms[0] is not None
    assert rms[1] is not None
    assert rms[1] < rms[0] / 3


def test_a_network_of_unknown_classes_is_priced_at_the_mean(make_frame: MakeFrame) -> None:
    """Its interval is that of a class that no row had, not that of one more workload of a known class."""
    frame = with_classes(make_frame(noise_rel=0.003))
    fit = fit_records(frame)
    network = frame[frame["kernel_class"] == "network"]
    table = FeatureTable.from_frame(network)
    X = fit.equation.features(table).X
    at = fit.equation.names.index("mac_fp32_j")
    assert X[:, at] == pytest.approx(network["macs"].to_numpy(), rel=1e-12)
    assert fit.validation is not None
    assert fit.validation.leave_one_out is not None
    assert fit.validation.leave_one_out.rms_rel is not None
    assert fit.spread_rel is not None
    assert fit.spread_rel > 2 * fit.validation.leave_one_out.rms_rel


def test_a_profile_keeps_both_kinds_of_term(make_frame: MakeFrame) -> None:
    fit = fit_records(with_classes(make_frame(noise_rel=0.003)))
    profile = DeviceProfile.from_dict(DeviceProfile.from_fit(fit, name="classes").to_dict())
    table = FeatureTable.from_frame(make_frame())
    again = profile.equation.features(table).X
    assert again == pytest.approx(fit.equation.features(table).X, rel=1e-12)


def test_strength_runs_from_free_to_one_coefficient(make_frame: MakeFrame) -> None:
    frame = with_classes(make_frame(noise_rel=0.003, networks=False))
    table, y = FeatureTable.from_frame(frame), frame["energy_j"].to_numpy()
    equation = physical_equation(table, class_mean=True)
    X = equation.features(table).X
    spans = []
    for strength in (1e-6, 0.1, 1e6):
        shrinkage = Shrinkage.of(equation.names, {"mac_fp32_j": 1.1e-11}, strength)
        assert shrinkage.rows.shape == (4, len(equation.names))
        coef = RelativeLeastSquares(shrinkage=shrinkage).fit(X, y).coef_
        own = coef[[i for i, n in enumerate(equation.names) if n.startswith("mac_fp32_") and n != "mac_fp32_j"]]
        spans.append(float(np.ptp(own) / coef[equation.names.index("mac_fp32_j")]))
    assert spans[0] == pytest.approx(0.9 / 1.15, rel=0.15)
    assert spans[0] > spans[1] > spans[2]
    assert spans[2] < 1e-3


def test_few_workloads_do_not_make_classes_by_chance(make_frame: MakeFrame) -> None:
    """With sixteen workloads left-out errors alone would split one device in ten; the F-test holds it to its level."""
    split = 0
    for seed in range(40):
        frame = make_frame(seed=seed, repeats=1, noise_rel=0.02, networks=False)
        names = [name for name in frame["workload"].unique() if name != "idle"]
        dropped = np.random.default_rng(seed).permutation(names)[: len(names) - 16]
        rows = Observations.from_frame(frame[~frame["workload"].isin(dropped)])
        split += choose_kernel_classes(rows, optional=()) is not None
    assert split <= 1


def two_types(make_frame: MakeFrame, *, seed: int) -> pd.DataFrame:
    """Products in bfloat16 cost half of those in float32, in every class."""
    single = with_classes(make_frame(noise_rel=0.003, networks=False, seed=seed))
    half = with_classes(make_frame(noise_rel=0.003, networks=False, seed=seed + 1))
    half = half[half["macs"] > 0]
    half = half.assign(
        energy_j=half["energy_j"] - 0.55e-11 * half["macs"] * half["kernel_class"].map(FACTORS),
        macs_bfloat16=half["macs"],
        macs_float32=0,
        dtype="bfloat16",
        workload=half["workload"] + "/bf16",
        row_id=half["row_id"] + "/bf16",
    )
    return pd.concat([single.assign(macs_bfloat16=0), half], ignore_index=True)


def test_what_is_particular_to_a_class_is_shared_across_element_types(make_frame: MakeFrame) -> None:
    """Convolutions in bfloat16 were never run: their price comes from bfloat16's mean and float32's convolutions."""
    for seed in (0, 10, 20):
        frame = two_types(make_frame, seed=seed)
        known = frame[~((frame["dtype"] == "bfloat16") & (frame["kernel_class"] == "conv"))]
        fit = fit_records(known, validation=False, time_law=False)
        assert fit.params["mac_bf16_conv_j"] == pytest.approx(0.55e-11 * FACTORS["conv"], rel=0.08)
        assert fit.verdicts["mac_bf16_conv_j"] != "identified"


def test_deviations_of_two_types_are_drawn_together() -> None:
    names = ("mac_fp32_j", "mac_fp32_conv_j", "mac_fp32_gemm_j", "mac_bf16_j", "mac_bf16_conv_j", "byte_j")
    means = {"mac_fp32_j": 2.0, "mac_bf16_j": 0.5}
    rows = Shrinkage.of(names, means, 3.0, across=True).rows
    assert len(Shrinkage.of(names, means, 3.0).rows) == 3
    assert len(rows) == 4
    assert rows[-1] == pytest.approx([-15.0, 15.0, 0.0, 60.0, -60.0, 0.0])
    alike = np.array([2.0, 2.6, 1.5, 0.5, 0.65, 9.0])  # a convolution costs 1.3 of the mean in both
    assert rows[-1] @ alike == pytest.approx(0.0, abs=1e-12)
