"""What sensors do to a window, on virtual ones: late, blind for most of a period, noisy. The truth is planted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from energybench.meters.simulated import SimulatedMeter
from energybench.meters.virtual_device import VirtualDevice
from energybench.protocol import VirtualExecutor, run_design
from energybench.records.run_directory import RunDirectory
from energybench.workloads.designs import Design
from energybench.workloads.idle import idle_workload

REPEATS = 12


def errors(scenario: str, tmp_path: Path, workload) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Relative error of work windows, of idle windows, and the error of all over their stated standard uncertainty."""
    path = tmp_path / "device.toml"
    path.write_text(scenario)
    device = VirtualDevice.load(path)
    workloads = (
        idle_workload(),
        *(workload(f"macs{n}", macs=10**n, load_bytes=10 ** (n - 3)) for n in (7, 8, 9, 10)),
        *(workload(f"bytes{n}", load_bytes=10**n) for n in (5, 7, 8, 9)),
    )
    design = Design("sensor", workloads, REPEATS, REPEATS, 0.05, 0.4)
    run_design(design, VirtualExecutor(device), SimulatedMeter(device), RunDirectory(tmp_path / "run"))
    work: list[float] = []
    idle: list[float] = []
    standard: list[float] = []
    for record in RunDirectory(tmp_path / "run").read_records():
        counts = record.counts
        truth_j = counts.macs * 1.1e-11 + counts.bytes * 9.0e-11 + counts.launches * 2.0e-6 + record.time_s * 41.0
        (idle if record.split == "idle" else work).append(record.energy_j / truth_j - 1)
        standard.append((record.energy_j - truth_j) / record.energy_uncertainty_j)
    return np.array(work), np.array(idle), np.array(standard)


@pytest.mark.parametrize(
    ("window_s", "noise_rel", "most_bias"),
    [
        pytest.param(0.1, 0.0, 0.0005, id="sees all"),
        pytest.param(0.025, 0.0, 0.0006, id="sees a quarter"),
        pytest.param(1.0, 0.0, 0.003, id="averages over ten periods"),
        pytest.param(0.1, 0.05, 0.004, id="noisy"),
    ],
)
def test_windows_are_unbiased_and_their_intervals_hold(
    tmp_path, workload, scenario_path, window_s, noise_rel, most_bias
):
    scenario = scenario_path.read_text()
    scenario = scenario.replace("averaging_window_s = 0.1", f"averaging_window_s = {window_s}")
    scenario = scenario.replace("noise_rel = 0.01", f"noise_rel = {noise_rel}")
    work, idle, standard = errors(scenario, tmp_path, workload)
    assert abs(work.mean()) < most_bias
    assert abs(idle.mean()) < 0.004
    assert np.mean(np.abs(standard) < 1.96) >= 0.93


@pytest.mark.parametrize("noise_rel", [0.0, 0.01, 0.03])
def test_an_aligned_edge_of_a_whole_period_counter_is_charged_with_the_polls(
    tmp_path, workload, scenario_path, noise_rel
):
    """Narrow and still true: over seeds of the sensor, each with its own estimate of the noise."""
    standard: list[float] = []
    for seed in range(5):
        folder = tmp_path / str(seed)
        folder.mkdir()
        scenario = scenario_path.read_text().replace("noise_rel = 0.01", f"noise_rel = {noise_rel}")
        _, _, found = errors(scenario.replace("seed = 7", f"seed = {100 + seed}"), folder, workload)
        standard += list(found)
        for readings in RunDirectory(folder / "run").read_readings().values():
            assert readings.poll_interval_s is not None
            assert readings.poll_interval_s < 0.01 * 0.1
        for record in RunDirectory(folder / "run").read_records():
            # 50 updates of 1 %: 0.14 %; a whole period at both edges would be 0.9 %
            assert record.energy_uncertainty_j / record.energy_j < 0.0005 + 2.5 * noise_rel / 50**0.5
    assert np.mean(np.abs(standard) < 1.96) >= 0.93


def test_a_sensor_that_does_not_see_its_whole_period_is_charged_with_one(tmp_path, workload, scenario_path):
    scenario = scenario_path.read_text().replace("averaging_window_s = 0.1", "averaging_window_s = 0.025")
    errors(scenario, tmp_path, workload)
    run = RunDirectory(tmp_path / "run")
    assert {r.poll_interval_s for r in run.read_readings().values()} == {None}
    assert min(r.energy_uncertainty_j / r.energy_j for r in run.read_records()) > 0.005
