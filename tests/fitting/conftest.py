"""Synthetic records: what a calibration would have written on a device whose coefficients are known. Kind simulated."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmarks.study_devices import device_text
from energybench.app.calibrate import calibrate
from energybench.records.frame import load_records

TRUTH = {
    "mac_fp32_j": 1.1e-11,
    "other_flop_j": 6.0e-12,
    "byte_j": 9.0e-11,
    "launch_j": 2.0e-4,
    "static_power_w": 41.0,
}
MAC_RATE, BYTE_RATE, LAUNCH_S = 2.0e12, 1.0e11, 5.0e-6


def _row(workload: str, truth: Mapping[str, float], **given: Any) -> dict[str, Any]:
    row = {
        "run_id": "run",
        "workload": workload,
        "kernel_id": workload,
        "network": None,
        "family": "probe",
        "split": "fit",
        "kernel_class": "gemm",
        "implementation": "native",
        "direction": "forward",
        "dtype": "float32",
        "device": "cpu",
        "meter": "simulated",
        "kind": "simulated",
        "calls": 1,
        "idle_power_w": 30.0,
        "tdp_w": 200.0,
        "traffic_basis": "compulsory",
        "valid": True,
        "environment_sha256": "e" * 64,
        "parameters": 0,
        "operators": 1,
        "macs": 0,
        "other_flops": 0,
        "bytes": 0,
        "launches": 0,
        "weight_load_bytes": 0,
        "flops_self_attention": 0,
        "flops_multi_head": 0,
        "flops_feed_forward": 0,
        **given,
    }
    row["nominal_macs"] = row["macs"]
    row["flops"] = 2 * row["macs"] + row["other_flops"]
    row["load_bytes"] = row["bytes"] // 2
    row["store_bytes"] = row["bytes"] - row["load_bytes"]
    row["loads"], row["stores"] = row["load_bytes"] // 4, row["store_bytes"] // 4
    row["accesses"] = row["loads"] + row["stores"]
    row["macs_float32"] = row["macs"]
    row.setdefault("time_s", max(row["macs"] / MAC_RATE, row["bytes"] / BYTE_RATE) + row["launches"] * LAUNCH_S)
    row["energy_j"] = (
        truth["mac_fp32_j"] * row["macs"]
        + truth["other_flop_j"] * row["other_flops"]
        + truth["byte_j"] * row["bytes"]
        + truth["launch_j"] * row["launches"]
        + truth["static_power_w"] * row["time_s"]
    )
    return row


def build_frame(
    *,
    seed: int = 0,
    truth: Mapping[str, float] = TRUTH,
    noise_rel: float = 0.01,
    repeats: int = 3,
    idle_windows: int = 8,
    networks: bool = True,
    kind: str = "simulated",
) -> pd.DataFrame:
    """A designed calibration: intensity sweeps of products and elementwise work, launch sweeps, idle, networks."""
    rng = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = []

    def add(workload: str, **given: Any) -> None:
        rows.append(_row(workload, truth, kind=kind, **given))

    classes = (("gemm", "probe"), ("conv", "cnn"), ("rnn", "rnn"), ("attention", "transformer"))
    for i in range(16):
        size = int(10 ** rng.uniform(7.0, 8.5))
        macs = int(size * 10 ** (i / 15 * 3 - 0.5))
        kernel_class, family = classes[i % 4]
        parts = {}
        if kernel_class == "attention":
            parts = {
                "flops_self_attention": macs // 2,
                "flops_multi_head": int(macs * rng.uniform(0.2, 0.7)),
                "flops_feed_forward": int(macs * rng.uniform(0.2, 0.7)),
            }
        add(
            f"product-{i}",
            macs=macs,
            bytes=size,
            other_flops=int(size * rng.uniform(0.01, 0.2)),
            launches=int(rng.integers(1, 30)),
            kernel_class=kernel_class,
            family=family,
            parameters=int(size * rng.uniform(0.05, 0.2)),
            operators=3,
            **parts,
        )
    for i in range(12):
        size = int(10 ** rng.uniform(7.0, 8.5))
        add(
            f"elementwise-{i}",
            bytes=size,
            other_flops=int(size * 10 ** (i / 11 * 3 - 1)),
            launches=int(rng.integers(1, 30)),
            kernel_class="pointwise",
        )
    for i in range(10):
        add(f"tiny-{i}", bytes=int(10 ** rng.uniform(3, 5)), launches=int(10 ** rng.uniform(2, 4)), kernel_class="copy")
    if networks:
        for name, family in (("resnet", "cnn"), ("gru", "rnn"), ("bert", "transformer")):
            size = int(10 ** rng.uniform(8, 9))
            add(
                name,
                network=name,
                family=family,
                split="heldout",
                kernel_class="network",
                macs=int(size * 10 ** rng.uniform(0.5, 1.5)),
                other_flops=size // 10,
                bytes=size,
                launches=100,
                parameters=size // 40,
                operators=100,
                flops_self_attention=size if family == "transformer" else 0,
            )
    rows = [dict(row) for row in rows for _ in range(repeats)]
    for i in range(idle_windows):
        rows.append(_row("idle", truth, kind=kind, kernel_class="idle", split="idle", operators=0, time_s=0.5 + i / 10))
    for i, row in enumerate(rows):
        row["row_id"] = str(i)
        row["energy_j"] *= 1 + noise_rel * rng.standard_normal()
        row["energy_uncertainty_j"] = max(noise_rel, 1e-9) * row["energy_j"]
    return pd.DataFrame(rows)


@pytest.fixture
def truth() -> dict[str, float]:
    return dict(TRUTH)


@pytest.fixture
def make_frame() -> Callable[..., pd.DataFrame]:
    return build_frame


@pytest.fixture(scope="session")
def frame() -> pd.DataFrame:
    """One calibration; tests must not change it in place."""
    return build_frame()


@pytest.fixture(scope="session")
def make_frame_session() -> tuple[Callable[..., pd.DataFrame], dict[str, float]]:
    """The builder and the truth, for fixtures that outlive a test."""
    return build_frame, dict(TRUTH)


@pytest.fixture(scope="session")
def calibrated(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., pd.DataFrame]:
    """Records of the quick design on a virtual device with the given sections, each device run once a session."""
    folder: Path = tmp_path_factory.mktemp("virtual")
    known: dict[tuple[str, int], pd.DataFrame] = {}

    def records(sections: str, *, seed: int = 3) -> pd.DataFrame:
        if (key := (sections, seed)) not in known:
            scenario = folder / f"{len(known)}.toml"
            scenario.write_text(device_text(sections, seed=seed))
            run = calibrate(meter=f"simulated:{scenario}", out=scenario.with_suffix(""), seed=seed)
            known[key] = load_records(run.path)
        return known[key].copy()

    return records
