"""A run made up from known coefficients: operators of four families over four orders of magnitude, four networks."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from energybench.estimation import compare_records
from energybench.fitting import fit_records
from energybench.profiles import DeviceProfile
from energybench.records.environment import Environment
from energybench.records.frame import records_frame
from energybench.records.op_counts import OpCounts
from energybench.records.reading import Domain, MeterCharacteristics, Reading
from energybench.records.run_record import DomainValue, RunRecord
from energybench.records.window_readings import WindowReadings
from energybench.report import ReportData

MAC_J, OTHER_J, BYTE_J, LAUNCH_J, STATIC_W = 1.1e-11, 6.0e-12, 9.0e-11, 4.0e-4, 41.0
MAC_RATE, BYTE_RATE, LAUNCH_S = 6.0e12, 8.0e11, 5.0e-6

#: name, family, kernel class, MACs, other FLOPs, bytes, launches, network
WORKLOADS: list[tuple[str, str, str, int, int, int, int, str | None]] = [
    *((f"conv2d/c{c}", "cnn", "conv", c * c * 9 * 3136, c * 3136, 4 * c * 6272, 1, None) for c in (16, 48, 96, 192)),
    *((f"depthwise/c{c}", "cnn", "depthwise", c * 9 * 12544, c * 999, 8 * c * 12544, 1, None) for c in (64, 512)),
    *((f"gru/h{h}", "rnn", "rnn", 64 * 6 * h * h, 64 * 9 * h, 24 * h * h, 64, None) for h in (64, 192, 512, 1024)),
    *(
        (f"attention/s{s}", "transformer", "attention", 2 * s * s * 512, 40 * s * s, 6144 * s, 4, None)
        for s in (64, 256, 1024, 2048)
    ),
    *(
        (f"matmul/k{k}", "probe", "gemm", 2048 * 2048 * k, 0, 4 * (4096 * k + 2048**2), 1, None)
        for k in (16, 128, 1024)
    ),
    *((f"copy/n{n}", "probe", "copy", 0, 0, 8 * n, 1, None) for n in (10**5, 10**6, 10**7)),
    *((f"exp/n{n}", "probe", "pointwise", 0, 900 * n, 8 * n, 1, None) for n in (10**5, 3 * 10**6, 10**7)),
    *((f"launch/n{n}", "probe", "probe", 0, 16, 128, n, None) for n in (1, 40, 400)),
    ("net/small-cnn", "cnn", "network", 560_000_000, 9_000_000, 44_000_000, 41, "small-cnn"),
    ("net/separable-cnn", "cnn", "network", 300_000_000, 24_000_000, 120_000_000, 88, "separable-cnn"),
    ("net/gru-language-model", "rnn", "network", 1_900_000_000, 40_000_000, 310_000_000, 530, "gru-language-model"),
    ("net/encoder", "transformer", "network", 5_400_000_000, 210_000_000, 260_000_000, 132, "encoder"),
]

#: Counted FLOPs of the Transformer's parts [D18].
COMPONENTS_OF: dict[str, dict[Any, int]] = {
    "encoder": {"self_attention": 1_400_000_000, "multi_head": 3_100_000_000, "feed_forward": 6_100_000_000}
}


def make_records(kind: str = "simulated", *, repeats: int = 3, environment_sha256: str = "0" * 64) -> list[RunRecord]:
    """Rows whose energy is the planted one, with an error per workload and a smaller one per window."""
    rng = random.Random(7)
    records: list[RunRecord] = []
    for name, family, kernel_class, macs, other, size, launches, network in WORKLOADS:
        wrong = 1 + rng.gauss(0, 0.05 if network else 0.02)
        occupancy = 0.25 + 0.75 * rng.random()
        for repeat in range(repeats):
            time_s = (max(macs / MAC_RATE, size / BYTE_RATE) + launches * LAUNCH_S) / occupancy
            energy = MAC_J * macs + OTHER_J * other + BYTE_J * size + LAUNCH_J * launches + STATIC_W * time_s
            energy *= wrong * (1 + rng.gauss(0, 0.006))
            order = len(records)
            counts = OpCounts.single(
                "float32",
                launches=launches,
                macs=macs,
                nominal_macs=macs,
                adds=other,
                loads=size // 8,
                stores=size // 8,
                load_bytes=size // 2,
                store_bytes=size - size // 2,
            )
            records.append(
                RunRecord(
                    run_id="run-1",
                    row_id=f"{name}-{repeat}",
                    workload=name,
                    kernel_id=f"{kernel_class}_forward_naive_fp32",
                    family=family,  # type: ignore[arg-type]
                    split="heldout" if network else "fit",
                    kernel_class=kernel_class,  # type: ignore[arg-type]
                    implementation="vendor",
                    direction="forward",
                    dtype="float32",
                    device="cuda:0",
                    counts=counts,
                    counts_source="model",
                    operators=launches,
                    parameters=size // 16 if family != "probe" else 0,
                    calls=100,
                    repeat=repeat,
                    order=order,
                    meter=kind if kind in ("simulated", "modelled") else "nvml",
                    kind=kind,  # type: ignore[arg-type]
                    energy_j=energy,
                    energy_uncertainty_j=energy * 0.005,
                    time_s=time_s,
                    begin_ns=order * 10**9,
                    end_ns=order * 10**9 + 10**8,
                    domains={"gpu-0": DomainValue(energy, energy * 0.005)},
                    environment_sha256=environment_sha256,
                    network=network,
                    components=COMPONENTS_OF.get(network or "", {}),
                    idle_power_w=38.5,
                    tdp_w=400.0,
                )
            )
    return records


@pytest.fixture(scope="session")
def environment() -> Environment:
    return Environment(
        device="cuda:0",
        device_name="Example Accelerator 80GB",
        device_uuid="GPU-FAKE-0001",
        meter="nvml",
        facts={"driver": "560.35", "kernel": "6.1.0", "power_limit_w": 400.0, "clock_mhz": 1755, "governor": None},
        versions={"energybench": "0.1.0", "torch": "2.13.0"},
        git_commit="0123456789abcdef0123456789abcdef01234567",
        characteristics=MeterCharacteristics(0.1, 0.001, 12e-6, 85e-6, 38.5, None),
    )


def invalid(record: RunRecord, reason: str) -> RunRecord:
    return replace(record, row_id=record.row_id + "-bad", valid=False, invalid_reason=reason)


def analysed(records: list[RunRecord], environment: Environment, **changes: Any) -> ReportData:
    frame = records_frame(records)
    fit = fit_records(frame, "physical")
    profile = DeviceProfile.from_fit(fit, name="example", environment=environment.to_dict())
    comparison = compare_records(frame, profile)
    values: dict[str, Any] = {
        "records": frame,
        "fit": fit.to_dict(),
        "profile": profile.to_dict(),
        "comparison": comparison.to_dict(),
        "environments": {environment.sha256: environment},
        "manifest": {"design": "standard", "seed": 11, "status": "finished", "started_utc": "2026-01-02T03:04:05Z"},
        "title": "Example Accelerator 80GB",
        "created_utc": "2026-01-02T04:00:00Z",
    }
    return ReportData(**{**values, **changes})


@pytest.fixture(scope="session")
def records_of(environment: Environment) -> Callable[[str], list[RunRecord]]:
    def make(kind: str) -> list[RunRecord]:
        records = make_records(kind, environment_sha256=environment.sha256)
        return [
            *records,
            invalid(records[0], "thermal slowdown: clock 1,230 MHz of 1,755 MHz"),
            invalid(records[5], "foreign load 0.42 CPUs (limit 0.10)"),
            invalid(records[9], "foreign load 0.31 CPUs (limit 0.10)"),
        ]

    return make


@pytest.fixture(scope="session")
def data_of(records_of: Callable[[str], list[RunRecord]], environment: Environment) -> Callable[..., ReportData]:
    """A report's data of one kind; made once for each."""
    made: dict[str, ReportData] = {}

    def of(kind: str = "measured", **changes: Any) -> ReportData:
        if kind not in made:
            made[kind] = analysed(records_of(kind), environment)
        return replace(made[kind], **changes) if changes else made[kind]

    return of


@pytest.fixture(scope="session")
def analyse(environment: Environment) -> Callable[[list[RunRecord]], ReportData]:
    return lambda records: analysed(records, environment)


@pytest.fixture(scope="session")
def data_with_readings(data_of: Callable[..., ReportData]) -> ReportData:
    """A simulated report whose windows have their readings, 2 s each with 1 s between, some of them idle."""
    data = data_of("simulated")
    domain = Domain("device", resolution_nj=10**6)
    readings: dict[str, WindowReadings] = {}
    time_ns, energy_nj = 5 * 10**9, 7 * 10**12
    for number, (row_id, power_w) in enumerate(zip(data.records["row_id"], POWERS_W * 99, strict=False)):
        for name, seconds, watts in ((row_id, 2, power_w), (f"{row_id}/idle", 1, IDLE_W)):
            if name.endswith("/idle") and number % 3:
                continue
            begin = Reading(time_ns, {"device": energy_nj})
            time_ns, energy_nj = time_ns + seconds * 10**9, energy_nj + seconds * watts * 10**9
            end = Reading(time_ns, {"device": energy_nj})
            readings[name] = WindowReadings(name, (domain,), begin, end, 0.1, aligned=True)
            time_ns, energy_nj = time_ns + 10**9, energy_nj + BETWEEN_W * 10**9
    return replace(data, readings=readings)


POWERS_W, IDLE_W, BETWEEN_W = (60, 71, 55, 90), 40, 45


@pytest.fixture(scope="session")
def large_data(data_of: Callable[..., ReportData]) -> ReportData:
    """A report of more than 10,000 compared rows."""
    base = data_of("simulated")
    copies = 10_000 // len(base.comparison["rows"]) + 1
    frames, rows = [], []
    for i in range(copies):
        frames.append(base.records.assign(run_id=f"run-{i}"))
        rows += [{**row, "run_id": f"run-{i}"} for row in base.comparison["rows"]]
    return replace(base, records=pd.concat(frames), comparison={**base.comparison, "rows": rows})


@pytest.fixture
def run_path(tmp_path: Path, records_of: Callable[[str], list[RunRecord]], environment: Environment) -> Path:
    """A run on disk as acquisition leaves it: records, environment, manifest, nothing of analysis."""
    import json

    from energybench.records.run_directory import RunDirectory, write_json_atomic

    run = RunDirectory(tmp_path / "run")
    run.create()
    lines = [json.dumps(record.to_dict()) for record in records_of("simulated")]
    run.records_path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    run.write_environment(environment)
    write_json_atomic(run.manifest_path, {"design": "quick", "seed": 3, "status": "finished"})
    return run.path
