"""Optional terms of `physical`: kept where the records need them, left out elsewhere."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import pytest

from energybench.estimation import compare_records, estimate_counts
from energybench.fitting import RelativeLeastSquares, fit_records
from energybench.fitting.development import network_error
from energybench.fitting.kernel_classes import choose_kernel_classes
from energybench.fitting.workload_squares import WorkloadSquares, improves
from energybench.model import FeatureTable, feature_row, physical_equation
from energybench.model.observations import Observations
from energybench.profiles import DeviceProfile
from energybench.records.input_distribution import zero_share
from energybench.records.model_counts import ModelCounts, OperatorCounts
from energybench.records.op_counts import OpCounts

MakeFrame = Callable[..., pd.DataFrame]
ACTIVE_W = 25.0


def with_active_power(frame: pd.DataFrame) -> pd.DataFrame:
    frame = frame.copy()
    works = frame["kernel_class"] != "idle"
    frame.loc[works, "energy_j"] += ACTIVE_W * frame.loc[works, "time_s"]
    return frame


def test_planted_active_power_is_found(make_frame: MakeFrame) -> None:
    fit = fit_records(with_active_power(make_frame()))
    low, high = fit.conf_int(0.999)["active_power_w"]
    assert low is not None
    assert high is not None
    assert low < ACTIVE_W < high
    assert fit.params["active_power_w"] == pytest.approx(ACTIVE_W, rel=0.15)
    assert fit.params["static_power_w"] == pytest.approx(41.0, rel=0.05)


def test_without_it_the_same_records_misfit(make_frame: MakeFrame) -> None:
    frame = with_active_power(make_frame())
    without = fit_records(frame, optional=())
    assert "active_power_w" not in without.params
    assert without.misfit is not None
    assert without.misfit.present
    with_it = fit_records(frame)
    assert with_it.misfit is not None
    assert not with_it.misfit.present


def test_a_device_without_it_does_not_get_it(make_frame: MakeFrame) -> None:
    kept = [
        "active_power_w" in fit_records(make_frame(seed=seed), validation=False, time_law=False).params
        for seed in range(100)
    ]
    # The test's own level is 1 in 1,000; three in a hundred would be a broken test.
    assert sum(kept) < 3


def test_records_without_idle_windows_cannot_tell(make_frame: MakeFrame) -> None:
    frame = with_active_power(make_frame(idle_windows=0))
    fit = fit_records(frame, validation=False, time_law=False)
    assert "active_power_w" not in fit.params
    assert fit.params["static_power_w"] == pytest.approx(41.0 + ACTIVE_W, rel=0.05)


def test_estimates_pay_for_it(make_frame: MakeFrame) -> None:
    frame = with_active_power(make_frame())
    fit = fit_records(frame)
    profile = DeviceProfile.from_dict(DeviceProfile.from_fit(fit, name="active").to_dict())
    assert compare_records(frame, profile).median_ape == pytest.approx(0.01, abs=0.01)
    counts = OpCounts.single("float32", launches=10, macs=10**9, nominal_macs=10**9, loads=10**6, load_bytes=4 * 10**6)
    rows = tuple(OperatorCounts("mm", module, "forward", "gemm", 5, counts) for module in ("a", "b"))
    estimate = estimate_counts(ModelCounts(rows, 10, 40), profile, time_s=0.01)
    assert estimate.by_term()["active_power_w"] == pytest.approx(0.01 * fit.params["active_power_w"])
    modules = estimate.by_module()
    assert modules["a"] + modules["b"] == pytest.approx(estimate.energy_j)


def with_zeros(frame: pd.DataFrame, saving_j: float) -> pd.DataFrame:
    """The products once more, on inputs of zeros, each MAC `saving_j` cheaper."""
    frame = frame.assign(input_distribution="normal(0,1)")
    products = frame[(frame["macs"] > 0) & (frame["split"] == "fit")]
    zeros = products.assign(
        input_distribution="zeros",
        workload=products["workload"] + "/zeros",
        row_id=products["row_id"] + "/zeros",
        energy_j=products["energy_j"] - saving_j * products["macs"],
    )
    return pd.concat([frame, zeros], ignore_index=True)


def test_zeros_among_the_inputs_get_their_saving(make_frame: MakeFrame) -> None:
    fit = fit_records(with_zeros(make_frame(noise_rel=0.005), 4e-12))
    assert fit.params["zero_saving_j"] == pytest.approx(4e-12, rel=0.1)
    assert fit.params["mac_fp32_j"] == pytest.approx(1.1e-11, rel=0.05)
    assert fit.misfit is not None
    assert not fit.misfit.present
    without = fit_records(with_zeros(make_frame(noise_rel=0.005), 4e-12), optional=())
    assert without.misfit is not None
    assert without.misfit.present
    assert "zero_saving_j" not in fit_records(with_zeros(make_frame(noise_rel=0.005), 0.0)).params


def test_macs_on_padding_get_their_price(make_frame: MakeFrame) -> None:
    frame = make_frame(noise_rel=0.005)
    tiled = frame["macs"] > 0
    padding = (frame["workload"].str.len() * 7 % 5 / 10 * frame["macs"]).astype(int)
    frame["tile_macs"] = (frame["macs"] + padding).where(tiled, 0)
    assert "padded_mac_j" not in fit_records(frame).params
    frame.loc[tiled, "energy_j"] += 2.0e-11 * padding[tiled]
    fit = fit_records(frame)
    assert fit.params["padded_mac_j"] == pytest.approx(2.0e-11, rel=0.15)


def test_an_estimate_reads_the_same_columns_as_a_record() -> None:
    """Zeros are unknown to counts and priced as none; tiles are counted."""
    counts = OpCounts.single("float32", macs=100, tile_macs=128, launches=1)
    table = FeatureTable.from_rows([feature_row(counts, time_s=1.0)])
    equation = physical_equation(table, optional=("zero_saving_j", "padded_mac_j"))
    row = dict(zip(equation.names, equation.features(table).X[0], strict=True))
    assert row["padded_mac_j"] == 28.0
    assert row["zero_saving_j"] == 0.0


@pytest.mark.parametrize(
    ("text", "share"), [("normal(0,1)", 0.0), ("none", 0.0), ("zeros", 1.0), ("normal(0,1) zeros=0.25", 0.25)]
)
def test_the_share_of_zeros_in_words(text: str, share: float) -> None:
    assert zero_share(text) == share


def test_held_out_networks_refuse_a_term_that_does_not_carry_over_to_them(make_frame: MakeFrame) -> None:
    """Operators draw more while they work; networks that follow the fit without that are worse off with any term."""
    odd = as_without_terms(with_active_power(make_frame(noise_rel=0.003)))
    fit = fit_records(odd)
    assert "active_power_w" not in fit.params
    assert any("active_power_w" in note and "held-out networks come out worse" in note for note in fit.notes)
    both = fit_records(with_active_power(make_frame(noise_rel=0.003)))
    assert "active_power_w" in both.params
    assert not any("come out worse" in note for note in both.notes)
    alone = fit_records(odd[(odd["split"] != "heldout") | (odd["network"] == "gru")])  # one network has no say
    assert "active_power_w" in alone.params
    assert "active_power_w" in fit_records(odd, optional=["active_power_w"]).params  # asked for by name


def as_without_terms(frame: pd.DataFrame) -> pd.DataFrame:
    """The held-out networks' energies as the plain equation, fitted to the other rows, says they are."""
    rows, held = (Observations.from_frame(frame[(frame["split"] == "heldout") == which]) for which in (False, True))
    equation = physical_equation(rows.table)
    estimator = RelativeLeastSquares(nonneg=equation.nonneg).fit(equation.features(rows.table).X, rows.energy_j)
    assert network_error(rows, held, equation) != 0
    frame = frame.copy()
    frame.loc[frame["split"] == "heldout", "energy_j"] = estimator.predict(equation.features(held.table).X)
    return frame


def test_held_out_networks_refuse_kernel_classes_alike(make_frame: MakeFrame) -> None:
    factor = {"gemm": 1.0, "conv": 1.6, "rnn": 0.7, "attention": 1.3}
    frame = make_frame(noise_rel=0.003)
    classes = frame["kernel_class"].map(factor).fillna(1.0)
    frame["energy_j"] += 1.1e-11 * frame["macs"] * (classes - 1)
    rows, held = (Observations.from_frame(frame[(frame["split"] == "heldout") == which]) for which in (False, True))
    chosen = choose_kernel_classes(rows, optional=())
    assert chosen is not None
    pooled = network_error(rows, held, physical_equation(rows.table))
    split = network_error(rows, held, *chosen)
    assert pooled is not None
    assert split is not None
    assert (choose_kernel_classes(rows, held, optional=()) is None) == (split > pooled)
    exact = Observations.from_frame(as_without_terms(frame).query("split == 'heldout'"))
    assert network_error(rows, exact, physical_equation(rows.table)) == pytest.approx(0.0, abs=1e-9)
    assert choose_kernel_classes(rows, exact, optional=()) is None


@pytest.mark.parametrize(
    ("left", "total", "earns"),
    [
        (49, 0.799, True),
        (49, 0.801, False),
        (46, 0.674, True),
        (46, 0.676, False),
        (50, 0.803, True),
        (52, 0.811, False),
    ],
)
def test_more_coefficients_earn_their_place_by_an_f_test(left: int, total: float, earns: bool) -> None:
    """F(1, 49) = 12.25, F(4, 46) = 5.54, F(1, 52) = 12.16 at p = 0.001; where they are no more, choosing costs one."""
    assert improves(WorkloadSquares(1.0, 50), WorkloadSquares(total, left)) is earns
    assert not improves(WorkloadSquares(1.0, 50), WorkloadSquares(1.0, left))
    assert not improves(WorkloadSquares(1.0, 1), WorkloadSquares(0.0001, 0))
