from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from energybench.records.op_counts import OpCounts
from energybench.records.run_record import DomainValue, RunRecord


@pytest.fixture
def make_record() -> Callable[..., RunRecord]:
    def make(**changes: Any) -> RunRecord:
        values: dict[str, Any] = {
            "run_id": "r1",
            "row_id": "w0-0",
            "workload": "conv2d/small",
            "kernel_id": "conv2d_forward_naive_fp32",
            "family": "cnn",
            "split": "fit",
            "kernel_class": "conv",
            "implementation": "native",
            "direction": "forward",
            "dtype": "float32",
            "device": "cpu",
            "counts": OpCounts.single("float32", launches=1, macs=100, nominal_macs=120, loads=20, load_bytes=80),
            "counts_source": "closed_form",
            "operators": 1,
            "parameters": 18,
            "calls": 10,
            "repeat": 0,
            "order": 3,
            "meter": "simulated",
            "kind": "simulated",
            "energy_j": 1e-6,
            "energy_uncertainty_j": 1e-9,
            "time_s": 1e-3,
            "begin_ns": 10,
            "end_ns": 10_000_010,
            "domains": {"board": DomainValue(1e-6, 1e-9)},
            "environment_sha256": "0" * 64,
        }
        return RunRecord(**{**values, **changes})

    return make
