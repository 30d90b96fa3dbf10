"""The host and the virtual executor, and what the process does while it should idle."""

from __future__ import annotations

import os
import sys
import time

import pytest
import torch

from energybench.errors import MeterUnavailable, UsageError
from energybench.meters.clock import MonotonicClock, VirtualClock
from energybench.meters.virtual_device import VirtualDevice
from energybench.protocol.call_time import call_time_s
from energybench.protocol.executor import HostExecutor, VirtualExecutor, import_torch_passive, is_out_of_memory
from energybench.protocol.idle import SETTLE_S
from energybench.records.op_counts import OpCounts
from energybench.workloads.native import native_conv2d
from energybench.workloads.vendor import matmul


def test_idle_windows_burn_no_cpu():
    """After kernels on all threads, ours and torch's, the idle worker threads sleep."""
    executor = HostExecutor("cpu")
    for workload in (native_conv2d(1, 16, 32, 16, 3, padding=1), matmul(256, 256, 256)):
        prepared = executor.prepare(workload)
        prepared.run(20)
        prepared.fence()
        time.sleep(SETTLE_S)
        begin_s = time.process_time()
        time.sleep(0.2)
        # a single spinning worker would burn 0.2 s
        assert time.process_time() - begin_s < 0.02
        prepared.release()


@pytest.mark.parametrize(("chosen", "expected"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_torch_is_loaded_with_sleeping_workers_and_the_environment_is_left_alone(
    tmp_path, monkeypatch, chosen, expected
):
    """A stand-in for torch notes the policy that a runtime would read while it is loaded."""
    (tmp_path / "torch.py").write_text("import os\nseen = os.environ.get('OMP_WAIT_POLICY')\n")
    monkeypatch.delitem(sys.modules, "torch")
    monkeypatch.syspath_prepend(tmp_path)
    if chosen is None:
        monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    else:
        monkeypatch.setenv("OMP_WAIT_POLICY", chosen)
    loaded, policy = import_torch_passive()
    assert (loaded.seen, policy) == (expected, expected)
    assert os.environ.get("OMP_WAIT_POLICY") == chosen
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    # loaded already: how its workers wait was decided elsewhere
    assert import_torch_passive() == (loaded, None)


def test_cuda_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(MeterUnavailable, match="cannot use CUDA here.*--device cpu"):
        HostExecutor("cuda:0")


def test_a_cuda_index_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(UsageError, match="no cuda:3, only 1"):
        HostExecutor("cuda:3")


@pytest.mark.parametrize("options", [{"device": "tpu"}, {"threads": 0}])
def test_bad_arguments(options):
    with pytest.raises(UsageError):
        HostExecutor(**options)


def test_out_of_memory_is_recognised():
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(torch.cuda.OutOfMemoryError("CUDA out of memory"))
    assert is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes"))
    assert not is_out_of_memory(RuntimeError("shape mismatch"))


def test_the_virtual_executor_never_runs_the_real_thing(scenario_path, workload):
    class Untouchable:
        def tally(self):
            return workload("x", macs=10**9).tally

        def build(self, device, threads, seed):
            raise AssertionError("the real work was built")

    device = VirtualDevice.load(scenario_path)
    executor = VirtualExecutor(device)
    fake = workload("x", macs=10**9)
    object.__setattr__(fake, "recipe", Untouchable())
    begin_ns = device.clock.now_ns()
    prepared = executor.prepare(fake)
    prepared.run(10)
    # 11 calls of 1e9 MACs at 2e12 MAC/s and one launch of 5 us
    assert device.clock.now_ns() - begin_ns == pytest.approx(11 * 505_000, abs=2)


def test_the_time_of_a_call_on_both_clocks(scenario_path, workload):
    device = VirtualDevice.load(scenario_path)
    prepared = VirtualExecutor(device).prepare(workload("x", macs=10**9))
    assert call_time_s(prepared, device.clock) == pytest.approx(505e-6, rel=1e-6)

    class Spinning:
        def run(self, calls):
            end_s = time.monotonic() + 1e-3 * calls
            while time.monotonic() < end_s:
                pass

        def fence(self):
            pass

    assert call_time_s(Spinning(), MonotonicClock()) >= 1e-3


def test_work_that_takes_no_time_is_an_error_and_not_a_loop(workload):
    class Instant:
        calls = 0

        def run(self, calls):
            self.calls += 1

        def fence(self):
            pass

    instant = Instant()
    with pytest.raises(UsageError, match="takes no time on this clock"):
        call_time_s(instant, VirtualClock())
    assert instant.calls < 40


def test_counts_reach_the_virtual_device(scenario_path, workload):
    device = VirtualDevice.load(scenario_path)
    executor = VirtualExecutor(device)
    prepared = executor.prepare(workload("x", load_bytes=10**8))
    before_j, begin_ns = device.true_energy_j, device.clock.now_ns()
    prepared.run(5)
    time_s = (device.clock.now_ns() - begin_ns) / 1e9
    dynamic_j = device.true_energy_j - before_j - 41.0 * time_s
    assert dynamic_j == pytest.approx(5 * (1e8 * 9e-11 + 2e-6), rel=1e-6)
    assert OpCounts().launches == 0
