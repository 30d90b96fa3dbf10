"""The power of a working device beside that of an idle one: kept where the records need it, left out elsewhere."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import pytest

from energybench.estimation import compare_records, estimate_counts
from energybench.fitting import fit_records
from energybench.profiles import DeviceProfile
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
    without = fit_records(frame, active_power=False)
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
