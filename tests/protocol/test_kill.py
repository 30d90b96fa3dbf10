"""A run that is killed at any moment goes on to the same table: real processes, real SIGKILLs, and power cuts."""

from __future__ import annotations

import fcntl
import os
import random
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from energybench.app.replay import replay
from energybench.errors import RecordError
from energybench.meters.simulated import SimulatedMeter
from energybench.meters.virtual_device import VirtualDevice
from energybench.protocol import VirtualExecutor, run_design
from energybench.records.op_counts import OpCounts
from energybench.records.run_directory import RunDirectory
from energybench.records.run_record import RunRecord
from energybench.workloads.designs import Design
from energybench.workloads.workload import Tally, Workload

WORKLOADS, REPEATS = 3, 5
FILES = {"records.jsonl", "readings.jsonl", "environment.json", "run.json"}
#: A sensor without noise that sees its whole period: two processes then measure the same within the age of an edge,
#: 0.5 % of a period at both ends of 20 periods or more.
SAME_REL = 2 * 0.005 / 20


class _Recipe:
    def __init__(self, macs: int) -> None:
        self._macs = macs

    def tally(self) -> Tally:
        return Tally(OpCounts.single("float32", launches=1, macs=self._macs), "closed_form", parameters=0, operators=1)

    def issued_counts(self) -> None:
        return None

    def build(self, device, threads, seed):
        raise AssertionError("a virtual run builds nothing")


def run(scenario: Path, out: Path) -> None:
    """Start the run, or go on with what lies in `out`."""
    workloads = tuple(
        Workload(f"w{i}", "w", "probe", "fit", "gemm", "vendor", "float32", _Recipe(10**6 * (i + 1)))
        for i in range(WORKLOADS)
    )
    device = VirtualDevice.load(scenario)
    # A budget that is never reached, so that rows share idle windows as they do in a lab.
    design = Design("killed", workloads, REPEATS, REPEATS, 0.05, 0.4)
    time_s = 3.5 * WORKLOADS * REPEATS
    meter = SimulatedMeter(device)
    run_design(design, VirtualExecutor(device), meter, RunDirectory(out), resume=True, budget_s=10 * time_s)


def quiet_scenario(text: str) -> str:
    return text.replace("noise_rel = 0.01", "noise_rel = 0.0")


def child(scenario: Path, out: Path, prepare: Callable[[], None] | None = None) -> int:
    """Fork a process that runs; returns its number. It dies by signal, or exits with 0 (or 1 on an error)."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        if prepare is not None:
            prepare()
        run(scenario, out)
        code = 0
    except RecordError as error:
        os.write(2, f"{error}\n".encode())
    finally:
        os._exit(code)


def was_killed(pid: int) -> bool:
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    assert os.WEXITSTATUS(status) == 0
    return False


def records_of(out: Path) -> list[RunRecord]:
    directory = RunDirectory(out)
    return directory.read_records() if directory.records_path.exists() else []


def finish_and_compare(scenario: Path, out: Path, whole: list[RunRecord]) -> None:
    """Let the run end, and compare its table with that of a run that nobody killed."""
    before = records_of(out)
    assert not was_killed(child(scenario, out))
    after = records_of(out)
    assert after[: len(before)] == before
    assert [(r.row_id, r.order) for r in after] == [(r.row_id, r.order) for r in whole]
    assert len({r.run_id for r in after}) == 1
    for mine, theirs in zip(after, whole, strict=True):
        assert mine.energy_j == pytest.approx(theirs.energy_j, rel=SAME_REL)
        assert mine.time_s == pytest.approx(theirs.time_s, rel=1e-6)
        assert mine.valid
    assert replay(out).agrees
    assert {path.name for path in out.iterdir()} == FILES


def kill_often(
    scenario: Path, out: Path, whole: list[RunRecord], draw: random.Random, *, run_s: float, most: int
) -> int:
    """Kill one run at random instants, then let it end. Returns how many kills, `most` at most, met a running process.

    The instant is uniform over a few rows' time after the fork: imports are inherited, so a process is in its run, its
    files or its locks from the first microsecond on.
    """
    kills = 0
    for _ in range(min(most, draw.randrange(1, 16))):
        before = records_of(out)
        pid = child(scenario, out)
        time.sleep(draw.random() * run_s / 4)
        os.kill(pid, signal.SIGKILL)
        if not was_killed(pid):
            break
        kills += 1
        now = records_of(out)
        assert now[: len(before)] == before, "a recorded row was lost or changed"
        assert len({r.row_id for r in now}) == len(now)
    finish_and_compare(scenario, out, whole)
    return kills


class PowerCut:
    """Counts what a process does to files, and at one of these steps kills it.

    `mode` is ``before`` the step, ``after`` it, ``half`` of a write, or ``cut``: as after, and what was written but not
    synced is lost from a random byte on, as when the power fails. A log of the steps is kept when `at` is None.
    """

    def __init__(self, at: int | None, mode: str, seed: int = 0) -> None:
        self.at, self.mode, self.steps = at, mode, 0
        self.log: list[str] = []
        self._draw = random.Random(seed)
        self._synced: dict[tuple[int, int], int] = {}

    def install(self) -> None:
        for module, name in ((os, "write"), (os, "fsync"), (os, "replace"), (os, "ftruncate"), (fcntl, "flock")):
            setattr(module, name, self._wrap(name, getattr(module, name)))
        tempfile.mkstemp = self._wrap("mkstemp", tempfile.mkstemp)

    def _wrap(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def step(*arguments: Any, **options: Any) -> Any:
            mine, self.steps = self.steps, self.steps + 1
            self.log.append(name)
            if mine == self.at:
                if self.mode == "half" and name == "write":
                    call(arguments[0], arguments[1][: len(arguments[1]) // 2])
                if self.mode in ("before", "half"):
                    os.kill(os.getpid(), signal.SIGKILL)
            result = call(*arguments, **options)
            if name == "fsync":
                synced = os.fstat(arguments[0])
                self._synced[synced.st_dev, synced.st_ino] = synced.st_size
            if mine == self.at:
                if self.mode == "cut":
                    self._lose_unsynced()
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return step

    def _lose_unsynced(self) -> None:
        for link in Path("/proc/self/fd").iterdir():
            try:
                now = link.stat()
            except OSError:
                continue
            size = self._synced.get((now.st_dev, now.st_ino), now.st_size)
            if stat.S_ISREG(now.st_mode) and now.st_size > size:
                os.truncate(link, self._draw.randrange(size, now.st_size))


def steps_of(scenario: Path, out: Path) -> list[str]:
    """Everything that a whole run does to its files, in order."""
    log = out.with_suffix(".log")

    class Logging(PowerCut):
        def install(self) -> None:
            write = os.write
            super().install()
            exit_ = os._exit

            def leave(code: int) -> None:
                descriptor = os.open(log, os.O_WRONLY | os.O_CREAT)
                write(descriptor, " ".join(self.log).encode())
                exit_(code)

            os._exit = leave  # type: ignore[assignment]

    assert not was_killed(child(scenario, out, Logging(None, "before").install))
    return log.read_text().split()


@pytest.fixture
def quiet(tmp_path: Path, scenario_path: Path) -> Path:
    path = tmp_path / "quiet.toml"
    path.write_text(quiet_scenario(scenario_path.read_text()))
    return path


def test_every_step_on_a_file_may_be_the_last(tmp_path: Path, quiet: Path):
    """Kills before, in the middle of, and after writes, syncs, renames and locks, and power cuts that lose what was
    not synced: the first steps one by one, where all files are made, then a random choice of the others."""
    steps = steps_of(quiet, tmp_path / "whole")
    assert {"write", "fsync", "replace", "flock", "mkstemp"} <= set(steps)
    whole = records_of(tmp_path / "whole")
    assert len(whole) == WORKLOADS * REPEATS
    draw = random.Random(5)
    points = [*range(16), *sorted(draw.sample(range(16, len(steps)), 8)), len(steps) - 1]
    for i, at in enumerate(points):
        mode = ("before", "half", "after", "cut")[i % 4]
        out = tmp_path / str(at)
        assert was_killed(child(quiet, out, PowerCut(at, mode, seed=at).install)), (at, mode)
        if i % 3 == 0:  # and once more, early in the run that goes on
            was_killed(child(quiet, out, PowerCut(draw.randrange(16), "cut", seed=at).install))
        finish_and_compare(quiet, out, whole)


def test_two_processes_of_which_one_writes(tmp_path: Path, quiet: Path):
    assert not was_killed(child(quiet, tmp_path / "whole"))
    for i in range(3):
        out = tmp_path / str(i)
        codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in [child(quiet, out), child(quiet, out)]]
        # the second is refused while the first writes, or finds it done
        assert 0 in codes
        assert set(codes) <= {0, 1}
        finish_and_compare(quiet, out, records_of(tmp_path / "whole"))


def test_a_slice_of_the_kill_test():
    """``make kill-test`` has 1,000 of them."""
    driver = str(Path(__file__).with_name("kill_many.py"))
    done = subprocess.run([sys.executable, driver, "25"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("25 kills in ")
