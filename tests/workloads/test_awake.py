from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from energybench.errors import UsageError
from energybench.workloads import named_design
from energybench.workloads.awake import AWAKE_PREFIX, awake_workload


def test_awake_is_a_launch_and_time_and_no_idle_row():
    workload = awake_workload(1000)
    counts = workload.counts()
    assert (counts.launches, counts.macs, counts.other_flops, counts.bytes) == (1, 0, 0, 0)
    # the fit takes the time of any row as active unless its class or split is idle
    assert (workload.split, workload.is_idle, workload.kernel_class) == ("fit", False, "probe")


@pytest.mark.parametrize("name", ["quick", "standard", "thorough"])
def test_gpus_have_awake_rows_of_two_lengths_and_cpus_none(name):
    assert sum(w.name.startswith(AWAKE_PREFIX) for w in named_design(name, "cuda").workloads) == 2
    assert not any(w.name.startswith(AWAKE_PREFIX) for w in named_design(name, "cpu").workloads)


def test_the_cpu_is_refused():
    with pytest.raises(UsageError, match="no active idle"):
        awake_workload(10).build("cpu", threads=1, seed=0)


def test_a_call_waits_its_cycles(monkeypatch):
    asked: list[int] = []
    monkeypatch.setattr(torch, "cuda", SimpleNamespace(_sleep=asked.append))
    runnable = awake_workload(12_345).build("cuda:0", threads=None, seed=0)
    runnable.run()
    runnable.run()
    assert asked == [12_345, 12_345]
    assert runnable.is_finite()
