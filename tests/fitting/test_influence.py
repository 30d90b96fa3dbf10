"""Influence: what a refit without the workload gives, and workloads without which there is no fit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import energybench.fitting
from energybench.fitting.influence import left_out_changes

# Any: a test looks into results without first proving that each part exists
fit_records: Any = energybench.fitting.fit_records


def test_changes_are_those_of_refits() -> None:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((30, 3)) * np.array([1e6, 1.0, 1e-6])
    y = rng.standard_normal(30)
    clusters = np.arange(30) // 3
    whole = np.linalg.lstsq(X / [1e6, 1, 1e-6], y, rcond=None)[0] / [1e6, 1, 1e-6]
    changes = left_out_changes(X, y - X @ whole, clusters)
    for g in range(10):
        left = clusters != g
        without = np.linalg.lstsq(X[left] / [1e6, 1, 1e-6], y[left], rcond=None)[0] / [1e6, 1, 1e-6]
        assert changes[g] == pytest.approx(without - whole, rel=1e-7)


def test_a_workload_that_carries_a_column_alone_has_no_fit_without_it() -> None:
    X = np.array([[1.0, 0.0], [1.1, 0.0], [0.9, 1.0]])
    changes = left_out_changes(X, np.array([0.1, -0.1, 0.0]), np.arange(3))
    assert np.isnan(changes[2]).all()
    assert np.isfinite(changes[:2]).all()


def test_the_workload_that_was_disturbed_stands_first(frame) -> None:
    calm = fit_records(frame).influence()
    disturbed = frame.copy()
    disturbed.loc[disturbed["workload"] == "product-3", "energy_j"] *= 1.3
    moved = fit_records(disturbed, by_kernel_class=False).influence()
    assert moved.index[0] == "product-3"
    assert moved["mac_fp32_j"].abs().idxmax() == moved["byte_j"].abs().idxmax() == "product-3"
    assert set(moved.columns) == {"mac_fp32_j", "other_flop_j", "byte_j", "launch_j", "static_power_w"}
    assert calm.index[0] != "product-3"
