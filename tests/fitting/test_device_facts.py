"""Optional terms that need the device's own word: caches, clocks, waves and a power limit, planted and not planted."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import pytest

from benchmarks.study_devices import SECTIONS, TOLD
from energybench.errors import FitError
from energybench.estimation import compare_records, estimate_counts
from energybench.fitting import FitResult, fit_records
from energybench.profiles import DeviceProfile
from energybench.records.hardware_facts import hardware_columns
from energybench.records.model_counts import ModelCounts, OperatorCounts
from energybench.records.op_counts import OpCounts

Calibrated = Callable[..., pd.DataFrame]
CACHE, CLOCK = SECTIONS["cache"], TOLD["clock"]
SLOW = "[dvfs]\npower_cap_w = 50.0\nv_of_f = [[0.1, 1.0], [1.0, 1.0]]\nclock_mhz = 2000.0\n"
TOLD_TERMS = ("cache_saving_j", "clock_saving_j", "busy_unit_w")


def median_heldout(fit: FitResult) -> float:
    assert fit.validation is not None
    assert fit.validation.heldout is not None
    assert fit.validation.heldout.median_ape is not None
    return fit.validation.heldout.median_ape


def told(fit: FitResult) -> set[str]:
    return set(fit.params) & set(TOLD_TERMS)


def with_waves(frame: pd.DataFrame, tile_macs: int, units: int) -> pd.DataFrame:
    """The grid that a profiler would show beside each record of a device that works in such tiles."""
    frame = frame.copy()
    frame["tiles"] = -(-frame["macs"] // tile_macs)
    frame["waves"] = -(-frame["tiles"] // units)
    return frame


def test_bytes_found_in_the_last_cache_cost_what_was_planted(calibrated: Calibrated) -> None:
    fit = fit_records(calibrated(CACHE))
    assert told(fit) == {"cache_saving_j"}
    assert fit.params["cache_saving_j"] == pytest.approx(8e-11, rel=0.05)
    assert fit.params["byte_j"] == pytest.approx(9e-11, rel=0.05)
    assert fit.misfit is not None
    assert not fit.misfit.present
    without = fit_records(calibrated(CACHE), optional=())
    assert without.misfit is not None
    assert without.misfit.present
    assert median_heldout(fit) < 0.5 * median_heldout(without)


def test_a_clock_under_a_cap_saves_what_the_voltage_falls(calibrated: Calibrated) -> None:
    frame = calibrated(CLOCK)
    assert frame["clock_mhz"].min() < 1500 < frame["clock_mhz"].max() <= 2000
    fit, without = fit_records(frame, by_kernel_class=False), fit_records(frame, optional=(), by_kernel_class=False)
    assert told(fit) == {"clock_saving_j"}
    # 1 − V² over V = 1 − 0.43·(1 − f): 0.86·(1 − f) at the highest clock, 0.73·(1 − f) at the lowest
    assert 0.7 * 1.1e-11 < fit.params["clock_saving_j"] < 0.9 * 1.1e-11
    assert fit.params["mac_fp32_j"] == pytest.approx(1.1e-11, rel=0.03)
    assert median_heldout(fit) < 0.5 * median_heldout(without)


def test_units_that_waves_leave_idle_draw_less(calibrated: Calibrated) -> None:
    tiles = "[tile]\nm = 256\nn = 256\nk = 64\nsm_count = 64\n"
    frame = with_waves(calibrated(tiles + "unit_w = 60.0\n"), 256 * 256 * 64, 64)
    frame["tile_macs"] = frame["tiles"] * 256 * 256 * 64
    fit = fit_records(frame, by_kernel_class=False)
    assert fit.params["busy_unit_w"] == pytest.approx(60.0, rel=0.1)
    bare = fit_records(frame, by_kernel_class=False, optional=("padded_mac_j",))
    assert median_heldout(fit) < 0.5 * median_heldout(bare)
    plain = with_waves(calibrated(tiles), 256 * 256 * 64, 64)
    plain["tile_macs"] = frame["tile_macs"]
    assert "busy_unit_w" not in fit_records(plain).params


@pytest.mark.parametrize("sections", ["", "[cache]\nl2_bytes = 4000000\nl2_byte_j = 9e-11\n"])
def test_a_device_without_the_physics_gets_none_of_the_terms(calibrated: Calibrated, sections: str) -> None:
    frame = with_waves(calibrated(sections), 128 * 128 * 32, 4)
    frame["last_cache_bytes"], frame["compute_units"], frame["highest_clock_mhz"] = 4e6, 4.0, 2000.0
    frame["clock_mhz"] = 2000.0 - 500.0 * (np.arange(len(frame)) % 3)  # a clock that changes nothing
    for seed in range(3):
        rows = frame.sample(frac=0.9, random_state=seed)
        assert not told(fit_records(rows, validation=False, time_law=False))


@pytest.mark.parametrize(
    ("name", "columns"),
    [
        ("cache_saving_j", ("last_cache_bytes",)),
        ("clock_saving_j", ("clock_mhz", "highest_clock_mhz")),
        ("busy_unit_w", ("tiles", "waves", "compute_units")),
    ],
)
def test_what_the_records_do_not_carry_is_refused_by_name(
    calibrated: Calibrated, name: str, columns: Sequence[str]
) -> None:
    frame = calibrated(CACHE).drop(columns=list(columns))
    with pytest.raises(FitError, match=f"{name} needs {', '.join(columns)}"):
        fit_records(frame, optional=[name])
    fit = fit_records(frame)
    assert name not in fit.params
    if name == "cache_saving_j":  # the misfit names what could not be tried
        assert any(f"{name} was not tried: the records do not carry {', '.join(columns)}" in n for n in fit.notes)
    one_row_less = calibrated(CACHE)
    work = one_row_less.index[one_row_less["kernel_class"] != "idle"]
    one_row_less.loc[work[0], "last_cache_bytes"] = np.nan
    assert "cache_saving_j" not in fit_records(one_row_less).params


def test_a_power_limit_stretches_predicted_times(calibrated: Calibrated) -> None:
    frame = calibrated(SLOW)
    fit = fit_records(frame, optional=())
    law = fit.time_law
    assert law is not None
    assert law.power_cap_w == 50.0
    profile = DeviceProfile.from_dict(DeviceProfile.from_fit(fit, name="capped").to_dict())
    networks = compare_records(frame[frame["split"] == "heldout"], profile)
    errors = [abs(r.predicted_time_s / r.time_s - 1) for r in networks.rows if r.predicted_time_s is not None]
    assert np.median(errors) < 0.03
    unaware = compare_records(
        frame[frame["split"] == "heldout"],
        DeviceProfile.from_fit(fit_records(frame.assign(power_cap_w=np.nan), optional=()), name="unaware"),
    )
    missed = [abs(r.predicted_time_s / r.time_s - 1) for r in unaware.rows if r.predicted_time_s is not None]
    assert np.median(missed) > 3 * np.median(errors)
    macs = OpCounts.single("float32", macs=10**9, nominal_macs=10**9, launches=1, loads=10**4, load_bytes=4 * 10**4)
    call = ModelCounts((OperatorCounts("mm", "a", "forward", "gemm", 1, macs),), 10, 40)
    estimate = estimate_counts(call, profile)
    assert estimate.time_s is not None
    assert estimate.energy_j / estimate.time_s == pytest.approx(50.0)


def test_a_limit_that_nothing_reaches_changes_no_time(calibrated: Calibrated) -> None:
    frame = calibrated("").assign(power_cap_w=500.0)
    fit = fit_records(frame)
    assert fit.time_law is not None
    assert fit.time_law.power_cap_w is None
    low = fit_records(calibrated("").assign(power_cap_w=50.0))  # said, but not so: networks refuse it
    assert low.time_law is not None
    assert low.time_law.power_cap_w is None


def test_an_estimate_says_what_it_does_not_know_of_the_call(calibrated: Calibrated) -> None:
    fit = fit_records(calibrated(CLOCK), by_kernel_class=False)
    profile = DeviceProfile.from_fit(fit, name="clocks", environment={"facts": {"highest_clock_mhz": 2000.0}})
    macs = OpCounts.single("float32", macs=10**9, nominal_macs=10**9, launches=1, loads=10**4, load_bytes=4 * 10**4)
    call = ModelCounts((OperatorCounts("mm", "a", "forward", "gemm", 1, macs),), 10, 40)
    unknown, half = (
        estimate_counts(call, profile, time_s=0.1),
        estimate_counts(call, profile, time_s=0.1, clock_mhz=1e3),
    )
    assert any("clock_mhz of this call is not known; priced with the highest clock" in n for n in unknown.notes)
    assert not any("is not known" in n for n in half.notes)
    saved = unknown.energy_j - half.energy_j
    assert saved == pytest.approx(0.5 * 1e9 * fit.params["clock_saving_j"])
    assert sum(half.by_operator().values()) == pytest.approx(half.energy_j)


def test_a_cache_is_shared_out_by_bytes(calibrated: Calibrated) -> None:
    fit = fit_records(calibrated(CACHE))
    profile = DeviceProfile.from_fit(fit, name="cache", environment={"facts": {"last_cache_bytes": 4_000_000}})
    copy = OpCounts.single("float32", launches=1, loads=10**6, load_bytes=4 * 10**6)
    macs = OpCounts.single("float32", macs=10**8, nominal_macs=10**8, launches=1)
    rows = (
        OperatorCounts("copy", "a", "forward", "copy", 1, copy),
        OperatorCounts("mm", "b", "forward", "gemm", 1, macs),
    )
    estimate = estimate_counts(ModelCounts(rows, 10, 40), profile, time_s=0.1)
    assert estimate.by_term()["cache_saving_j"] == pytest.approx(-4e6 * fit.params["cache_saving_j"])
    modules = estimate.by_module()
    assert modules["a"] + modules["b"] == pytest.approx(estimate.energy_j)
    untold = DeviceProfile.from_fit(fit, name="cache")  # of a device that tells no cache, nothing is saved
    uncached = estimate_counts(ModelCounts(rows, 10, 40), untold, time_s=0.1).by_module()
    assert modules["b"] == pytest.approx(uncached["b"], rel=1e-12)
    assert modules["a"] < uncached["a"]
    alone = estimate_counts(ModelCounts(rows[1:], 10, 40), profile, time_s=0.1)
    assert alone.by_term()["cache_saving_j"] == 0.0


def test_a_fact_counts_only_where_it_is_a_positive_number() -> None:
    facts = hardware_columns(
        {"gpu_power_limit_w": 300, "power_cap_w": None, "compute_units": 0, "last_cache_bytes": True}
    )
    assert facts == {
        "last_cache_bytes": None,
        "compute_units": None,
        "highest_clock_mhz": None,
        "power_cap_w": 300.0,
    }
