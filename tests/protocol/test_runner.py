"""Whole runs on the planted device: records, resume, locks, failures, kinds."""

from __future__ import annotations

import json
import os
import random
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from energybench.app.replay import replay
from energybench.errors import MeterUnavailable, RecordError, ThrottledError, UsageError
from energybench.meters.modelled import ModelledMeter
from energybench.meters.simulated import SimulatedMeter
from energybench.meters.virtual_device import VirtualDevice
from energybench.protocol import HostExecutor, Manifest, VirtualExecutor, run_design, runner
from energybench.protocol.device_state import DeviceState
from energybench.protocol.stopping import StoppingCriterion
from energybench.records.frame import load_records
from energybench.records.jsonl import JsonlWriter
from energybench.records.reading import MeterCharacteristics
from energybench.records.run_directory import RunDirectory
from energybench.workloads.designs import Design
from energybench.workloads.idle import idle_workload
from energybench.workloads.native import native_conv2d
from energybench.workloads.vendor import matmul

TERMS_J = {"macs": 1.1e-11, "other_flops": 6.0e-12, "bytes": 9.0e-11, "launches": 2.0e-6, "time_s": 41.0}


def test_records_agree_with_what_was_planted(small_design, run_virtual, tmp_path):
    manifest = run_virtual(small_design, tmp_path / "run")
    frame = load_records(tmp_path / "run")
    assert manifest.status == "finished"
    assert set(frame["workload"]) == {"idle/0", "macs", "bytes", "launch"}
    assert frame["valid"].all()
    truth_j = sum(frame[name] * joules for name, joules in TERMS_J.items())
    # noise of 1 % a tick over at least 50 ticks
    assert (frame["energy_j"] / truth_j).to_numpy() == pytest.approx(1.0, abs=5 * 0.01 / 50**0.5)
    work = frame[frame["split"] != "idle"]
    assert work["idle_power_w"].to_numpy() == pytest.approx(41.0, rel=0.02)
    assert work["time_s"].to_numpy() == pytest.approx(
        (work["macs"] / 2e12).combine(work["bytes"] / 1e11, max) + 5e-6, rel=1e-3
    )


def test_a_simulated_meter_never_writes_measured(small_design, run_virtual, tmp_path):
    manifest = run_virtual(small_design, tmp_path / "run")
    assert manifest.kind == "simulated"
    assert {r.kind for r in RunDirectory(tmp_path / "run").read_records()} == {"simulated"}
    assert "measured" not in (tmp_path / "run" / "records.jsonl").read_text()


def test_repeats_stop_at_the_target_and_rounds_are_shuffled(small_design, run_virtual, tmp_path):
    run_virtual(small_design, tmp_path / "run")
    records = RunDirectory(tmp_path / "run").read_records()
    repeats = {w.name: sum(r.workload == w.name for r in records) for w in small_design.workloads}
    assert all(2 <= n <= 3 for n in repeats.values())
    assert [r.order for r in records] == sorted(r.order for r in records)
    rounds = [[r.workload for r in records if r.repeat == i] for i in range(2)]
    assert rounds[0] != [w.name for w in small_design.workloads] or rounds[1] != rounds[0]


def test_the_same_seed_gives_the_same_run(small_design, run_virtual, tmp_path):
    for name in ("a", "b"):
        run_virtual(small_design, tmp_path / name, seed=3)
    run_virtual(small_design, tmp_path / "c", seed=4)
    a, b, c = ([(r.row_id, r.energy_j) for r in RunDirectory(tmp_path / n).read_records()] for n in "abc")
    assert a == b
    assert [i for i, _ in a] != [i for i, _ in c]


def test_readings_give_the_records_again(small_design, run_virtual, tmp_path):
    run_virtual(small_design, tmp_path / "run")
    result = replay(tmp_path / "run")
    assert result.agrees
    assert result.rows == len(RunDirectory(tmp_path / "run").read_records())


def test_replay_sees_a_changed_record_and_a_lost_reading(small_design, run_virtual, tmp_path):
    run_virtual(small_design, tmp_path / "run")
    run = RunDirectory(tmp_path / "run")
    rows = [json.loads(line) for line in run.records_path.read_text().splitlines()]
    rows[1]["energy_j"] *= 1 + 1e-12
    run.records_path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = replay(run)
    assert [(d.row_id, d.name) for d in result.differences] == [(rows[1]["row_id"], "energy_j")]
    kept = [line for line in run.readings_path.read_text().splitlines() if json.loads(line)["row_id"] != "macs#0"]
    run.readings_path.write_text("\n".join(kept) + "\n")
    assert ("macs#0", "readings") in [(d.row_id, d.name) for d in replay(run).differences]


def test_replay_of_an_absent_run(tmp_path):
    with pytest.raises(RecordError, match="does not exist"):
        replay(tmp_path / "nothing")


@pytest.mark.parametrize("seed", range(6))
def test_a_cut_run_resumes_to_the_same_rows(small_design, run_virtual, tmp_path, seed):
    """The file is cut at a random byte, as a kill or a power cut would leave it."""
    # two windows of each are certain; a third depends on the values, which a resumed device draws anew
    design = Design("fixed", small_design.workloads, 2, 2, 0.05, 0.4)
    run_virtual(design, tmp_path / "whole")
    whole = [(r.row_id, r.order) for r in RunDirectory(tmp_path / "whole").read_records()]
    run_virtual(design, tmp_path / "cut")
    run = RunDirectory(tmp_path / "cut")
    before = run.read_records()
    data = run.records_path.read_bytes()
    cut = random.Random(seed).randrange(len(data))
    run.records_path.write_bytes(data[:cut])
    manifest = run_virtual(design, tmp_path / "cut", resume=True)
    after = run.read_records()
    assert [(r.row_id, r.order) for r in after] == whole
    # a whole last line without its newline is kept, a torn one is measured again
    kept = data[:cut].count(b"\n")
    assert after[:kept] == before[:kept]
    assert len({r.run_id for r in after}) == 1
    assert manifest.status == "finished"
    assert replay(run).agrees
    load_records(tmp_path / "cut")


def test_a_finished_run_resumes_to_itself(small_design, run_virtual, tmp_path):
    run_virtual(small_design, tmp_path / "run")
    text = (tmp_path / "run" / "records.jsonl").read_bytes()
    manifest = run_virtual(small_design, tmp_path / "run", resume=True)
    assert (tmp_path / "run" / "records.jsonl").read_bytes() == text
    assert manifest.resumed == 1


def test_a_run_is_not_overwritten(small_design, run_virtual, tmp_path):
    run_virtual(small_design, tmp_path / "run")
    with pytest.raises(UsageError, match="--resume"):
        run_virtual(small_design, tmp_path / "run")


def test_another_run_is_not_continued(small_design, run_virtual, tmp_path):
    run_virtual(small_design, tmp_path / "run")
    with pytest.raises(RecordError, match="seed 0 and cannot go on with 1"):
        run_virtual(small_design, tmp_path / "run", resume=True, seed=1)


def test_two_writers_are_refused(small_design, run_virtual, tmp_path):
    (tmp_path / "run").mkdir()
    with (
        JsonlWriter(tmp_path / "run" / "records.jsonl"),
        pytest.raises(RecordError, match="being written by another process"),
    ):
        run_virtual(small_design, tmp_path / "run")


def test_a_budget_ends_the_run_in_virtual_time(small_design, run_virtual, tmp_path):
    manifest = run_virtual(small_design, tmp_path / "run", budget_s=150.0)
    records = RunDirectory(tmp_path / "run").read_records()
    assert manifest.status == "budget"
    # two rounds of short windows are planned, the third ends with the time
    assert 8 <= len(records) < 12
    assert records[-1].end_ns <= 150e9
    assert manifest.row_plan is not None
    assert manifest.row_plan["idle_every"] == 8
    assert replay(tmp_path / "run").agrees
    assert run_virtual(small_design, tmp_path / "run", resume=True).status == "finished"
    # a resumed run keeps its plan, and its first row has a new idle window under a name of its own
    assert Manifest.load(RunDirectory(tmp_path / "run")).row_plan == manifest.row_plan
    assert replay(tmp_path / "run").agrees


def test_rows_are_planned_from_the_time_that_warming_up_left(small_design, run_virtual, tmp_path):
    """A tenth of the budget is kept for the warm-up; a device that is steady at once gives it back, to the rows."""
    manifest = run_virtual(small_design, tmp_path / "run", budget_s=150.0)
    plan, warm_up = manifest.row_plan, manifest.warm_up
    assert plan is not None
    assert warm_up is not None
    assert warm_up["time_s"] < 7.0
    first = RunDirectory(tmp_path / "run").read_records()[0]
    row_begin_s = first.begin_ns / 1e9 - (plan["row_s"] - plan["window_s"])
    assert plan["rows"] * plan["row_s"] == pytest.approx(150.0 - row_begin_s, abs=plan["idle_s"] + plan["settle_s"] + 2)
    # a virtual device prepares nothing: the call is timed for a fiftieth of a second, and that is all
    parts_s = plan["pre_run_s"] + plan["window_s"] + (plan["idle_s"] + plan["settle_s"]) / plan["idle_every"] + 0.25
    assert plan["row_s"] - parts_s == pytest.approx(0.02, abs=0.01)
    assert Manifest.load(RunDirectory(tmp_path / "run")).row_plan == plan


def test_a_budget_without_hope_takes_what_it_can(small_design, run_virtual, tmp_path):
    manifest = run_virtual(small_design, tmp_path / "run", budget_s=20.0)
    records = RunDirectory(tmp_path / "run").read_records()
    assert manifest.status == "budget"
    assert 1 <= len(records) < 4
    assert records[-1].end_ns <= 20e9


def test_another_unit_of_the_same_model_is_not_continued(small_design, scenario_path, tmp_path):
    class Unit(SimulatedMeter):
        uuid = "GPU-FAKE-1"

        def device_state(self):
            return {"uuid": self.uuid}

    def run(uuid: str, **options) -> Manifest:
        device = VirtualDevice.load(scenario_path)
        meter = Unit(device)
        meter.uuid = uuid
        path = RunDirectory(tmp_path / "run")
        return run_design(small_design, VirtualExecutor(device), meter, path, **options)

    assert run("GPU-FAKE-1", budget_s=60.0).device_uuid == "GPU-FAKE-1"
    with pytest.raises(RecordError, match="device_uuid 'GPU-FAKE-1' and cannot go on with 'GPU-FAKE-2'"):
        run("GPU-FAKE-2", resume=True)


def test_a_workload_that_cannot_run_is_skipped_and_recorded(tmp_path, logging_meter, workload):
    design = Design("faulty", (workload("ok", macs=10), workload("big", fault="memory", macs=5)), 1, 1, 0.1, 0.05)
    manifest = _host_run(design, tmp_path / "run", logging_meter)
    assert manifest.skipped == {"big": "out of memory"}
    assert manifest.status == "finished"
    assert Manifest.load(RunDirectory(tmp_path / "run")).skipped == {"big": "out of memory"}
    assert {r.workload for r in RunDirectory(tmp_path / "run").read_records()} == {"ok"}


def test_a_workload_that_cannot_run_is_tried_once(tmp_path, logging_meter, workload):
    class Counted:
        tries = 0

        def __init__(self, recipe) -> None:
            self._recipe = recipe

        def build(self, device: str, threads: int | None, seed: int):
            Counted.tries += 1
            return self._recipe.build(device, threads, seed)

        def __getattr__(self, name: str):
            return getattr(self._recipe, name)

    big = workload("big", fault="memory", macs=5)
    design = Design("faulty", (workload("ok", macs=10), replace(big, recipe=Counted(big.recipe))), 3, 3, 0.1, 0.05)
    assert _host_run(design, tmp_path / "run", logging_meter).skipped == {"big": "out of memory"}
    assert Counted.tries == 1


def test_an_idle_row_is_judged_by_its_power_for_its_length_is_not_its_own(small_design, run_virtual, tmp_path):
    run_virtual(small_design, tmp_path / "run")
    records = RunDirectory(tmp_path / "run").read_records()
    (idle,) = (w for w in small_design.workloads if w.is_idle)
    one = next(r for r in records if r.split == "idle")
    criterion = StoppingCriterion(target_rel_error=0.002, min_count=2, max_count=3)
    judging = SimpleNamespace(_criteria={idle.name: criterion})
    for length in (1.0, 2.0):  # the same power twice
        taken = replace(one, energy_j=one.energy_j * length, time_s=one.time_s * length)
        runner._Runner._judge(judging, SimpleNamespace(workload=idle), taken)  # type: ignore[arg-type]
    assert criterion.reason == "interval"


def test_a_run_on_other_threads_is_not_continued(small_design, scenario_path, tmp_path):
    def run(threads: int, **options):
        device = VirtualDevice.load(scenario_path)
        executor = VirtualExecutor(device)
        executor.threads = threads
        return run_design(small_design, executor, SimulatedMeter(device), RunDirectory(tmp_path / "run"), **options)

    assert run(2, budget_s=60.0).threads == 2
    with pytest.raises(RecordError, match="threads 2 and cannot go on with 3"):
        run(3, resume=True)


def test_a_kernel_that_gives_nan_is_never_timed(tmp_path, logging_meter, workload):
    design = Design("faulty", (workload("ok", macs=10), workload("nan", fault="nan", macs=5)), 1, 1, 0.1, 0.05)
    manifest = _host_run(design, tmp_path / "run", logging_meter)
    assert "NaN or infinite" in manifest.skipped["nan"]
    assert {r.workload for r in RunDirectory(tmp_path / "run").read_records()} == {"ok"}


def test_real_kernels_under_the_modelled_meter(tmp_path):
    """Both libraries really run; the CPU time of this process is all the energy there is, and it says so."""
    workloads = (idle_workload(), native_conv2d(1, 8, 16, 8, 3, padding=1), matmul(96, 96, 96))
    design = Design("real", workloads, 2, 2, 0.05, 0.1)
    known = MeterCharacteristics(1e-5, 5e-8, 1e-5, 1e-5, 0.0, 0.0)
    run = RunDirectory(tmp_path / "run")
    manifest = run_design(design, HostExecutor("cpu"), ModelledMeter(tdp_w=100.0), run, characteristics=known)
    assert (manifest.kind, manifest.tdp_w, manifest.skipped) == ("modelled", 100.0, {})
    frame = load_records(run.path)
    assert set(frame["kind"]) == {"modelled"}
    cores = os.cpu_count() or 1
    work = frame[frame["split"] == "fit"]
    assert len(work) == 4
    assert work["valid"].all()
    # CPU time is at most duration times cores, here 100 W; medians, since a virtual machine may stop one of its clocks
    power_w = (work["energy_j"] / work["time_s"]).median()
    assert 0.05 * 100.0 / cores < power_w <= 1.02 * 100.0
    assert work["idle_power_w"].median() < 0.2 * 100.0 / cores
    assert set(work["macs"]) == {w.counts().macs for w in workloads[1:]}
    assert replay(run).agrees


def test_no_workload_at_all_is_an_error(tmp_path, logging_meter, workload):
    design = Design("faulty", (workload("nan", fault="nan"),), 1, 1, 0.1, 0.05)
    with pytest.raises(UsageError, match="no workload of design faulty could run"):
        _host_run(design, tmp_path / "run", logging_meter)


class _Interrupting(VirtualExecutor):
    """Presses Ctrl-C while the fifth row is prepared."""

    prepared = 0

    def prepare(self, workload):
        self.prepared += 1
        if self.prepared == 5:
            raise KeyboardInterrupt
        return super().prepare(workload)


def test_ctrl_c_leaves_a_usable_run(small_design, run_virtual, scenario_path, tmp_path):
    device = VirtualDevice.load(scenario_path)
    with pytest.raises(KeyboardInterrupt):
        run_design(small_design, _Interrupting(device), SimulatedMeter(device), RunDirectory(tmp_path / "run"))
    run = RunDirectory(tmp_path / "run")
    assert Manifest.load(run).status == "interrupted"
    assert len(run.read_records()) == 3  # the first was the warm-up's
    assert replay(run).agrees
    assert run_virtual(small_design, tmp_path / "run", resume=True).status == "finished"


class _Throttled(VirtualExecutor):
    def state(self) -> DeviceState:
        return DeviceState(temp_c=91.0, slowdowns=("hw_thermal_slowdown",))


def test_a_run_of_bad_windows_is_refused_with_the_cause(small_design, scenario_path, tmp_path):
    device = VirtualDevice.load(scenario_path)
    with pytest.raises(ThrottledError, match="12 of 12 windows are invalid, 12 of them for slowdown"):
        run_design(small_design, _Throttled(device), SimulatedMeter(device), RunDirectory(tmp_path / "run"))
    records = RunDirectory(tmp_path / "run").read_records()
    assert {r.invalid_reason for r in records} == {"slowdown: hw_thermal_slowdown"}
    assert Manifest.load(RunDirectory(tmp_path / "run")).status == "refused"


def test_invalid_windows_are_taken_again(small_design, scenario_path, tmp_path):
    class Once(VirtualExecutor):
        asked = 0

        def state(self) -> DeviceState:
            self.asked += 1
            return DeviceState(slowdowns=("hw_slowdown",) if 10 < self.asked < 13 else ())

    device = VirtualDevice.load(scenario_path)
    design = Design("fixed", small_design.workloads, 2, 2, 0.05, 0.4)
    run_design(design, Once(device), SimulatedMeter(device), RunDirectory(tmp_path / "run"))
    records = RunDirectory(tmp_path / "run").read_records()
    assert 1 <= sum(not r.valid for r in records) <= 3
    for workload in design.workloads:
        assert sum(r.valid for r in records if r.workload == workload.name) == 2


def test_a_meter_that_goes_away_ends_the_run(small_design, scenario_path, tmp_path):
    device = VirtualDevice.load(scenario_path)
    meter = SimulatedMeter(device)

    class Unplugging(VirtualExecutor):
        prepared = 0

        def prepare(self, workload):
            self.prepared += 1
            if self.prepared == 4:
                meter.close()
            return super().prepare(workload)

    with pytest.raises(MeterUnavailable):
        run_design(small_design, Unplugging(device), meter, RunDirectory(tmp_path / "run"))
    assert Manifest.load(RunDirectory(tmp_path / "run")).status == "failed"
    assert len(RunDirectory(tmp_path / "run").read_records()) == 2


class _Watcher:
    def __init__(self) -> None:
        self.calls: list[str] = []

    def started(self, *, design, meter, kind, rows, done) -> None:
        self.calls.append(f"started {design} {kind} {rows} {done}")

    def row_done(self, record, *, done, rows, width_rel) -> None:
        self.calls.append("row")
        assert done <= rows

    def skipped(self, workload, reason) -> None:
        self.calls.append(f"skipped {workload}")

    def finished(self, status) -> None:
        self.calls.append(f"finished {status}")


def test_progress_is_told(small_design, run_virtual, tmp_path):
    watcher = _Watcher()
    run_virtual(small_design, tmp_path / "run", progress=watcher)
    rows = len(RunDirectory(tmp_path / "run").read_records())
    assert watcher.calls[0] == "started small simulated 12 0"
    assert watcher.calls.count("row") == rows
    assert watcher.calls[-1] == "finished finished"


def _host_run(design: Design, path: Path, meter_class) -> Manifest:
    """Really runs the workloads, in wall time, under a meter whose counter follows the real clock."""
    from energybench.meters.clock import MonotonicClock

    class RealTime(meter_class):  # type: ignore[misc]
        nominal_update_period_s = 0.0

        def __init__(self) -> None:
            super().__init__([])
            self.clock = MonotonicClock()

        def read(self):
            self.now_ns_ = self.clock.now_ns()
            return super().read()

    meter = RealTime()
    meter.period_s = 1e-4
    known = MeterCharacteristics(1e-4, 1e-3, 1e-5, 1e-5, 10.0, 0.1)
    return run_design(design, HostExecutor("cpu"), meter, RunDirectory(path), characteristics=known)


def test_the_clock_of_the_day_does_not_matter(small_design, run_virtual, tmp_path, monkeypatch):
    """It may jump, back too: nothing that is measured reads it."""

    def jumping():
        raise AssertionError("the time of day was read")

    run_virtual(small_design, tmp_path / "a")
    monkeypatch.setattr("time.time", jumping)
    monkeypatch.setattr("time.time_ns", jumping)
    monkeypatch.setattr("energybench.protocol.manifest.utc_now", lambda: "1970-01-01T00:00:00+00:00")
    run_virtual(small_design, tmp_path / "b")
    a, b = (RunDirectory(tmp_path / name).read_records() for name in "ab")
    assert [(r.row_id, r.energy_j, r.begin_ns) for r in a] == [(r.row_id, r.energy_j, r.begin_ns) for r in b]


def test_what_starting_took_is_kept_for_the_end(small_design, run_virtual, tmp_path):
    """A busy machine that starts a process slowly ends it slowly too."""
    run_virtual(small_design, tmp_path / "a", budget_s=310.0, spent_s=200.0)
    assert RunDirectory(tmp_path / "a").read_records()[-1].end_ns < (110.0 - 0.05 * 310.0) * 1e9


def test_time_spent_before_the_run_counts(small_design, run_virtual, tmp_path):
    run_virtual(small_design, tmp_path / "a", budget_s=150.0, spent_s=50.0)
    records = RunDirectory(tmp_path / "a").read_records()
    assert 4 <= len(records) < 12
    assert records[-1].end_ns <= 100e9
