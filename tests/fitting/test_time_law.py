"""Durations: the roofline gives its planted rates back and knows when it cannot."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import energybench.fitting
from energybench.model import FeatureTable, TimeLaw

# Any: a test looks into results without first proving that each part exists
fit_time_law: Any = energybench.fitting.fit_time_law


def test_planted_rates_come_back(frame) -> None:
    law = fit_time_law(FeatureTable.from_frame(frame))
    assert law.mac_s["float32"] == pytest.approx(1 / 2e12, rel=0.01)
    assert law.byte_s == pytest.approx(1 / 1e11, rel=0.01)
    assert law.launch_s == pytest.approx(5e-6, rel=0.01)
    assert law.rel_stdev < 0.01
    assert law.covers(("float32",))
    assert not law.covers(("bfloat16",))


def test_outliers_do_not_move_the_law(make_frame) -> None:
    frame = make_frame()
    rng = np.random.default_rng(0)
    frame["time_s"] *= np.exp(0.02 * rng.standard_normal(len(frame)))
    slow = rng.random(len(frame)) < 0.05
    frame.loc[slow, "time_s"] *= 5
    law = fit_time_law(FeatureTable.from_frame(frame))
    assert law.mac_s["float32"] == pytest.approx(1 / 2e12, rel=0.05)
    assert law.byte_s == pytest.approx(1 / 1e11, rel=0.05)
    assert 0.01 < law.rel_stdev < 0.05


def test_soft_and_hard_maximum_by_hand() -> None:
    table = FeatureTable.from_rows([{"macs": 3, "macs_float32": 3, "bytes": 4, "launches": 2, "kernel_class": "gemm"}])
    hard = TimeLaw({"float32": 1.0}, 0.0, 1.0, 10.0, None, 0.0, 1)
    assert hard.predict_s(table).tolist() == [24.0]
    soft = TimeLaw({"float32": 1.0}, 0.0, 1.0, 10.0, 2.0, 0.0, 1)
    assert soft.predict_s(table) == pytest.approx([25.0], rel=1e-12)


def test_too_few_rows_make_no_law(frame) -> None:
    table = FeatureTable.from_frame(frame)
    assert fit_time_law(table.take(np.arange(3))) is None
    assert fit_time_law(table.take(table.kernel_class == "idle")) is None
