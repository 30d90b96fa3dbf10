"""A run that is killed at any moment goes on to the same table: a real process, a real SIGKILL."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from energybench.app.replay import replay
from energybench.meters.simulated import SimulatedMeter
from energybench.meters.virtual_device import VirtualDevice
from energybench.protocol import Progress, SilentProgress, VirtualExecutor, run_design
from energybench.records.op_counts import OpCounts
from energybench.records.run_directory import RunDirectory
from energybench.workloads.designs import Design
from energybench.workloads.workload import Tally, Workload

REPEATS = 40

#: The victim: the design of this file in a process of its own.
VICTIM = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("victim", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
module.run(sys.argv[2], sys.argv[3], resume=False, progress=module.Slow())
"""


class _Recipe:
    def __init__(self, macs: int) -> None:
        self._macs = macs

    def tally(self) -> Tally:
        return Tally(OpCounts.single("float32", launches=1, macs=self._macs), "closed_form", parameters=0, operators=1)

    def issued_counts(self) -> None:
        return None

    def build(self, device, threads, seed):
        raise AssertionError("a virtual run builds nothing")


class Slow(SilentProgress):
    """Gives the killer time: the whole run is virtual and would be over in a blink."""

    def __init__(self, pause_s: float = 0.005) -> None:
        self.pause_s = pause_s

    def row_done(self, record, *, done, rows, width_rel):
        time.sleep(self.pause_s)


def run(scenario: str, out: str, *, resume: bool, progress: Progress | None = None) -> None:
    workloads = tuple(
        Workload(f"w{i}", "w", "probe", "fit", "gemm", "vendor", "float32", _Recipe(10**6 * (i + 1))) for i in range(3)
    )
    device = VirtualDevice.load(scenario)
    design = Design("killed", workloads, REPEATS, REPEATS, 0.05, 0.4)
    meter = SimulatedMeter(device)
    run_design(design, VirtualExecutor(device), meter, RunDirectory(out), resume=resume, progress=progress)


@pytest.mark.parametrize("seed", range(4))
def test_kill_and_resume(tmp_path: Path, scenario_path: Path, seed: int):
    draw = random.Random(seed)
    records = tmp_path / "run" / "records.jsonl"
    victim = subprocess.Popen([sys.executable, "-c", VICTIM, __file__, str(scenario_path), str(tmp_path / "run")])
    at_bytes = draw.randrange(1, 40_000)
    deadline_s = time.monotonic() + 60
    while victim.poll() is None and time.monotonic() < deadline_s:
        if records.exists() and records.stat().st_size >= at_bytes:
            time.sleep(draw.random() * 0.01)
            break
        time.sleep(0.001)
    victim.send_signal(signal.SIGKILL)
    assert victim.wait() == -signal.SIGKILL, "it ended before it was killed: give it more repeats"
    assert resume_and_compare(scenario_path, tmp_path / "run") > 0


def resume_and_compare(scenario: Path, out: Path) -> int:
    """Go on with a killed run and check the final table; returns how many records the killed run had."""
    directory = RunDirectory(out)
    before = directory.read_records() if directory.records_path.exists() else []
    run(str(scenario), str(out), resume=True)
    after = directory.read_records()
    assert len(before) < len(after)
    assert after[: len(before)] == before
    assert sorted(r.row_id for r in after) == sorted(f"w{i}#{n}" for i in range(3) for n in range(REPEATS))
    assert [r.order for r in after] == list(range(3 * REPEATS))
    assert replay(out).agrees
    return len(before)


def test_a_slice_of_the_kill_test():
    """``make kill-test`` has 1,000 of them."""
    driver = str(Path(__file__).with_name("kill_many.py"))
    done = subprocess.run([sys.executable, driver, "21"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("21 kills, all resumed to the same table")
