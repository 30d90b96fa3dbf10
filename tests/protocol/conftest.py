"""Helpers of the protocol's tests: a planted device, small workloads with known counts, and a meter that logs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from energybench.meters.simulated import SimulatedMeter
from energybench.meters.virtual_device import VirtualDevice
from energybench.protocol import Manifest, VirtualExecutor, run_design
from energybench.records.op_counts import OpCounts
from energybench.records.reading import Domain, Reading
from energybench.records.run_directory import RunDirectory
from energybench.workloads.designs import Design
from energybench.workloads.idle import idle_workload
from energybench.workloads.workload import Tally, Workload

SCENARIO = """
name = "planted"
[planted]
mac_fp32_j = 1.1e-11
other_flop_j = 6.0e-12
byte_j = 9.0e-11
launch_j = 2.0e-6
static_power_w = 41.0
[time]
mac_rate = 2.0e12
byte_rate = 1.0e11
launch_s = 5.0e-6
[sensor]
update_period_s = 0.1
averaging_window_s = 0.1
resolution_j = 0.001
gain = 1.0
noise_rel = 0.01
drift_rel_per_min = 0.0
seed = 7
"""


@pytest.fixture
def scenario_path(tmp_path: Path) -> Path:
    path = tmp_path / "planted.toml"
    path.write_text(SCENARIO)
    return path


class FixedRecipe:
    """Counts that are given, and a call that adds to a log."""

    def __init__(self, counts: OpCounts, fault: str | None = None) -> None:
        self._counts, self._fault = counts, fault

    def tally(self) -> Tally:
        return Tally(self._counts, "closed_form", parameters=10, operators=1)

    def issued_counts(self) -> OpCounts | None:
        return None

    def build(self, device: str, threads: int | None, seed: int) -> Any:
        if self._fault == "memory":
            raise MemoryError
        return self

    def run(self) -> None:
        sum(range(1000))

    def is_finite(self) -> bool:
        return self._fault != "nan"


def make_workload(name: str, *, fault: str | None = None, **tallies: Any) -> Workload:
    counts = OpCounts.single("float32", launches=1, **tallies)
    return Workload(
        name=name,
        kernel_id="fixed",
        family="probe",
        split="fit",
        kernel_class="gemm",
        implementation="vendor",
        dtype="float32",
        recipe=FixedRecipe(counts, fault),
    )


@pytest.fixture
def workload() -> Callable[..., Workload]:
    return make_workload


@pytest.fixture
def small_design() -> Design:
    return Design(
        "small",
        (
            idle_workload(),
            make_workload("macs", macs=10**9, nominal_macs=10**9, load_bytes=10**6),
            make_workload("bytes", load_bytes=10**8, store_bytes=10**7),
            make_workload("launch", adds=1),
        ),
        min_repeats=2,
        max_repeats=3,
        target_rel_error=0.002,
        window_s=0.4,
    )


@pytest.fixture
def run_virtual(scenario_path: Path) -> Callable[..., Manifest]:
    """Run a design on a fresh planted device."""

    def run(design: Design, path: Path, **options: Any) -> Manifest:
        device = VirtualDevice.load(scenario_path)
        return run_design(design, VirtualExecutor(device), SimulatedMeter(device), RunDirectory(path), **options)

    return run


class LoggingMeter:
    """A counter that moves by `power_w` with its own clock; every read and sleep is logged."""

    name = "logging"
    nominal_update_period_s = None

    def __init__(self, log: list[str], *, power_w: float = 10.0, period_s: float = 0.01) -> None:
        self.log = log
        self.kind: Any = "simulated"
        self.domains = (Domain("package-0"), Domain("core", parent="package-0"))
        self.power_w, self.period_s = power_w, period_s
        self.now_ns_ = 0
        self.clock: Any = self

    def now_ns(self) -> int:
        return self.now_ns_

    def sleep(self, duration_s: float) -> None:
        self.now_ns_ += max(0, round(duration_s * 1e9))

    def read(self) -> Reading:
        self.now_ns_ += 1000
        self.log.append("read")
        period_ns = round(self.period_s * 1e9)
        ticks = self.now_ns_ // period_ns
        energy_nj = round(ticks * period_ns * self.power_w)
        return Reading(self.now_ns_, {"package-0": energy_nj, "core": energy_nj // 2})

    def close(self) -> None:
        self.log.append("close")


@pytest.fixture
def logging_meter() -> type[LoggingMeter]:
    return LoggingMeter
