"""Cold caches and threads of a row: what the host and the virtual device make of them, and what is recorded."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from energybench.errors import UsageError
from energybench.meters.virtual_device import VirtualDevice
from energybench.protocol import Manifest
from energybench.protocol.cache_size import last_level_cache_bytes
from energybench.protocol.executor import HostExecutor, VirtualExecutor, _HostPrepared
from energybench.records.run_directory import RunDirectory
from energybench.workloads.rotation import COLD_FACTOR, Rotation
from energybench.workloads.variants import with_cold_caches, with_threads
from energybench.workloads.vendor import matmul, stream_add
from tests.protocol.conftest import SCENARIO

CACHE = "[cache]\nl2_bytes = 1000000\nl2_byte_j = 1e-11\n"


def cache(sys, cpu, index, level, size, kind, shared):
    path = sys / f"devices/system/cpu/cpu{cpu}/cache/index{index}"
    path.mkdir(parents=True)
    for name, text in (("level", level), ("size", size), ("type", kind), ("shared_cpu_list", shared)):
        (path / name).write_text(f"{text}\n")


def test_the_last_caches_of_a_machine_are_each_counted_once(tmp_path):
    for cpu in range(4):
        half = "0-1" if cpu < 2 else "2-3"
        cache(tmp_path, cpu, 0, 1, "32K", "Data", str(cpu))
        cache(tmp_path, cpu, 1, 4, "1M", "Instruction", half)  # no operand lies there
        cache(tmp_path, cpu, 2, 2, "2048K", "Unified", str(cpu))
        cache(tmp_path, cpu, 3, 3, "32M", "Unified", half)
    assert last_level_cache_bytes(tmp_path) == 2 * 32 * 2**20
    assert last_level_cache_bytes(tmp_path / "nowhere") is None


@pytest.mark.parametrize(("size", "expected"), [("", None), ("many", None), ("12", None), ("1G", 2**30)])
def test_a_size_that_is_none_tells_nothing(tmp_path, size, expected):
    cache(tmp_path, 0, 0, 3, size, "Unified", "0")
    assert last_level_cache_bytes(tmp_path) == expected


def test_a_cold_row_runs_on_copies_that_fill_the_cache_several_times(monkeypatch):
    host = HostExecutor("cpu")
    monkeypatch.setattr(host._probe, "last_cache_bytes", lambda: 10**6)
    prepared = host.prepare(with_cold_caches(stream_add(10_000)))
    assert isinstance(prepared, _HostPrepared)
    rotation = prepared._runnable
    assert isinstance(rotation, Rotation)
    assert len(rotation._calls) == -(-COLD_FACTOR * 10**6 // 120_000)
    prepared.run(100)
    prepared.release()
    hot: Any = host.prepare(stream_add(10_000))
    assert not isinstance(hot._runnable, Rotation)
    monkeypatch.setattr(host._probe, "last_cache_bytes", lambda: None)
    with pytest.raises(UsageError, match="does not say how large"):
        host.prepare(with_cold_caches(stream_add(10_000)))


def test_the_memory_of_all_copies_is_asked_for(monkeypatch):
    host = HostExecutor("cpu")
    monkeypatch.setattr(host._probe, "last_cache_bytes", lambda: 10**12)
    monkeypatch.setattr("energybench.protocol.executor.available_bytes", lambda: 10**9)
    with pytest.raises(MemoryError, match="may take 3001"):
        host.prepare(with_cold_caches(stream_add(10**8)))


def test_a_row_has_its_own_threads_and_the_run_gets_its_own_back():
    host = HostExecutor("cpu", threads=2)
    try:
        prepared = host.prepare(with_threads(matmul(8, 8, 8), 1))
        assert torch.get_num_threads() == 1
        prepared.release()
        assert torch.get_num_threads() == 2
        with pytest.raises(RuntimeError):
            host.prepare(with_threads(replace(matmul(8, 8, 8), recipe=_Broken()), 1))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(2)


class _Broken:
    def tally(self):
        return matmul(8, 8, 8).tally

    def issued_counts(self):
        return None

    def build(self, device, threads, seed):
        assert threads == 1
        raise RuntimeError("broken")


def test_the_record_says_what_a_row_ran_on(small_design, run_virtual, tmp_path, workload):
    rows = [workload("macs", macs=10**9), workload("bytes", load_bytes=10**8)]
    design = replace(
        small_design,
        workloads=(small_design.workloads[0], *rows, with_cold_caches(rows[1]), with_threads(rows[0], 3)),
        min_repeats=1,
        max_repeats=1,
    )
    assert isinstance(run_virtual(design, tmp_path / "run"), Manifest)
    lines = {r.workload: r for r in RunDirectory(tmp_path / "run").read_records()}
    assert lines["bytes/cold"].caches == "cold"
    assert {r.caches for name, r in lines.items() if name != "bytes/cold"} == {"hot"}
    assert {r.threads for r in lines.values()} == {None}  # a virtual device has none
    text = (tmp_path / "run" / "records.jsonl").read_text()
    assert text.count('"caches"') == 1  # hot is not written


def test_threads_of_a_row_are_recorded_where_there_are_any(small_design, scenario_path, tmp_path, workload):
    from energybench.meters.simulated import SimulatedMeter
    from energybench.protocol import run_design

    device = VirtualDevice.load(scenario_path)
    executor = VirtualExecutor(device)
    executor.threads = 2
    design = replace(
        small_design,
        workloads=(workload("macs", macs=10**9), with_threads(workload("macs", macs=10**9), 1)),
        min_repeats=1,
        max_repeats=1,
    )
    run_design(design, executor, SimulatedMeter(device), RunDirectory(tmp_path / "run"))
    found = {r.workload: r.threads for r in RunDirectory(tmp_path / "run").read_records()}
    assert found == {"macs": 2, "macs/t1": 1}


def test_a_virtual_cache_serves_hot_rows_alone(tmp_path, workload):
    path = tmp_path / "cache.toml"
    path.write_text(SCENARIO + CACHE)
    hot, row = {}, workload("bytes", load_bytes=10**6)
    for each in (row, with_cold_caches(row)):
        device = VirtualDevice.load(path)
        prepared = VirtualExecutor(device).prepare(each)
        before_j, begin_ns = device.true_energy_j, device.clock.now_ns()
        prepared.run(1000)
        static_j = 41.0 * (device.clock.now_ns() - begin_ns) / 1e9
        hot[each.caches] = (device.true_energy_j - before_j - static_j) / 1000
    assert hot["cold"] - hot["hot"] == pytest.approx(10**6 * (9e-11 - 1e-11), rel=1e-6)
