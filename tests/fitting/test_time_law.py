"""Durations: the roofline gives its planted rates back and knows when it cannot."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import energybench.fitting
from energybench.model import FeatureTable, TimeLaw
from energybench.model.time_law import Rates

# Any: a test looks into results without first proving that each part exists
fit_time_law: Any = energybench.fitting.fit_time_law


def test_planted_rates_come_back(frame) -> None:
    law = fit_time_law(FeatureTable.from_frame(frame))
    assert law.rates.mac_s["float32"] == pytest.approx(1 / 2e12, rel=0.01)
    assert law.rates.byte_s == pytest.approx(1 / 1e11, rel=0.01)
    assert law.rates.launch_s == pytest.approx(5e-6, rel=0.01)
    assert law.rel_stdev < 0.01
    assert law.dispatch_s == 0.0
    assert law.by_class == {}
    assert law.covers(("float32",))
    assert not law.covers(("bfloat16",))


def test_outliers_do_not_move_the_law(make_frame) -> None:
    frame = make_frame()
    rng = np.random.default_rng(0)
    frame["time_s"] *= np.exp(0.02 * rng.standard_normal(len(frame)))
    slow = rng.random(len(frame)) < 0.05
    frame.loc[slow, "time_s"] *= 5
    law = fit_time_law(FeatureTable.from_frame(frame))
    assert law.rates.mac_s["float32"] == pytest.approx(1 / 2e12, rel=0.05)
    assert law.rates.byte_s == pytest.approx(1 / 1e11, rel=0.05)
    assert 0.01 < law.rel_stdev < 0.05


def test_soft_and_hard_maximum_by_hand() -> None:
    table = FeatureTable.from_rows([{"macs": 3, "macs_float32": 3, "bytes": 4, "launches": 2, "kernel_class": "gemm"}])
    hard = TimeLaw(Rates({"float32": 1.0}, 0.0, 1.0, 10.0, None), 0.0, 1)
    assert hard.predict_s(table).tolist() == [24.0]
    soft = TimeLaw(Rates({"float32": 1.0}, 0.0, 1.0, 10.0, 2.0), 0.0, 1)
    assert soft.predict_s(table) == pytest.approx([25.0], rel=1e-12)


def test_too_few_rows_make_no_law(frame) -> None:
    table = FeatureTable.from_frame(frame)
    assert fit_time_law(table.take(np.arange(3))) is None
    assert fit_time_law(table.take(table.kernel_class == "idle")) is None


def timed_operators(n: int = 400, *, dispatch_s: float = 0.0, slow_conv: float = 1.0, seed: int = 0) -> FeatureTable:
    """Single-launch products, convolutions and elementwise kernels of a device with known rates, 2 % noise."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(n):
        kernel_class = ("gemm", "conv", "pointwise")[i % 3]
        size = 10 ** rng.uniform(3, 8)
        macs = 0.0 if kernel_class == "pointwise" else size * 10 ** rng.uniform(0, 2)
        factor = slow_conv if kernel_class == "conv" else 1.0
        kernel = factor * max(macs / 2e12, size / 1e11) + 5e-6
        time_s = max(kernel, dispatch_s) * np.exp(0.02 * rng.standard_normal())
        rows.append(
            {
                "macs": macs,
                "macs_float32": macs,
                "bytes": size,
                "launches": 1,
                "time_s": time_s,
                "kernel_class": kernel_class,
            }
        )
    return FeatureTable.from_rows(rows)


def test_the_hosts_dispatch_is_found_beside_the_launch() -> None:
    law = fit_time_law(timed_operators(dispatch_s=5e-5))
    assert law.dispatch_s == pytest.approx(5e-5, rel=0.02)
    assert law.rates.launch_s < 2e-5
    assert law.rates.mac_s["float32"] == pytest.approx(1 / 2e12, rel=0.05)
    assert law.rel_stdev < 0.04
    assert fit_time_law(timed_operators()).dispatch_s == 0.0


def test_a_call_waits_for_the_slower_of_host_and_device() -> None:
    """Ten tiny kernels and a long one: the host hands over the tiny ones while the long one runs."""
    law = TimeLaw(Rates({"float32": 1.0}, 0.0, 1.0, 0.0, None), 0.0, 1, dispatch_s=5.0)
    rows = [{"macs": 1, "macs_float32": 1, "bytes": 1, "launches": 1, "kernel_class": "gemm"}] * 10
    tiny = FeatureTable.from_rows(rows)
    mixed = FeatureTable.from_rows([*rows, {**rows[0], "macs": 100, "macs_float32": 100}])
    assert law.predict_s(tiny).tolist() == [5.0] * 10
    assert law.call_s(tiny) == 50.0
    assert law.call_s(tiny, graph=True) == 10.0
    assert law.call_s(mixed) == 110.0
    assert float(np.sum(law.predict_s(mixed))) == 150.0  # one by one would be too slow


def test_a_class_of_its_own_gets_its_rates() -> None:
    slow = fit_time_law(timed_operators(slow_conv=3.0), by_class=True)
    assert "conv" in slow.by_class
    assert slow.by_class["conv"].mac_s["float32"] == pytest.approx(3 / 2e12, rel=0.1)
    assert slow.rel_stdev < 0.04
    test = timed_operators(slow_conv=3.0, seed=1)
    assert np.median(np.abs(slow.predict_s(test) / test.column("time_s") - 1)) < 0.03
    assert fit_time_law(timed_operators(), by_class=True).by_class == {}
    assert fit_time_law(timed_operators(slow_conv=3.0)).by_class == {}


def test_the_law_survives_its_file() -> None:
    law = fit_time_law(timed_operators(slow_conv=3.0, dispatch_s=2e-5), by_class=True)
    assert TimeLaw.from_dict(law.to_dict()) == law
