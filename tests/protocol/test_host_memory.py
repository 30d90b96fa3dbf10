"""What would not fit into memory is refused before it is allocated: the kernel's killer is never met."""

from __future__ import annotations

from pathlib import Path

import pytest

from energybench.protocol import executor, host_memory
from energybench.protocol.executor import HEADROOM_BYTES, HostExecutor, NotEnoughMemory, is_out_of_memory
from energybench.protocol.host_memory import available_bytes
from energybench.workloads import named_design
from energybench.workloads.vendor import matmul, stream_add, vendor_attention, vendor_conv2d, vendor_gru

GIB = 2**30


def write(path: Path, text: str | int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{text}\n")


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    proc = tmp_path / "proc"
    write(proc / "meminfo", "MemTotal:       16777216 kB\nMemFree:  1 kB\nMemAvailable:    8388608 kB\nSwapFree: 9 kB")
    return proc


def test_a_machine_without_groups(proc, tmp_path):
    assert available_bytes(proc, tmp_path / "none") == 8 * GIB
    assert available_bytes(tmp_path / "none", tmp_path / "none") is None


def test_the_tightest_group_above_the_process_decides(proc, tmp_path):
    root = tmp_path / "cgroup"
    write(proc / "self" / "cgroup", "0::/user/job/step")
    write(root / "user/job/step/memory.max", "max")
    write(root / "user/job/step/memory.current", 3 * GIB)
    write(root / "user/job/memory.max", 4 * GIB)
    write(root / "user/job/memory.current", 3 * GIB)
    write(root / "user/job/memory.stat", f"anon {2 * GIB}\ninactive_file {GIB // 2}\nactive_file 5")
    write(root / "user/memory.max", 6 * GIB)
    write(root / "user/memory.current", 3 * GIB)
    assert available_bytes(proc, root) == GIB + GIB // 2
    write(root / "user/job/memory.current", 9 * GIB)  # over its limit: nothing is left, not less than nothing
    assert available_bytes(proc, root) == 0


def test_groups_of_the_first_version_and_of_a_container(proc, tmp_path):
    root = tmp_path / "cgroup"
    write(proc / "self" / "cgroup", "4:cpu,cpuacct:/x\n3:memory:/docker/abc\n0::/")
    write(root / "memory/memory.limit_in_bytes", 2 * GIB)  # the host's path is not there, its own group is the root
    write(root / "memory/memory.usage_in_bytes", GIB)
    write(root / "memory/memory.stat", "inactive_file 7\ntotal_inactive_file 1024")
    assert available_bytes(proc, root) == GIB + 1024
    write(root / "memory/memory.limit_in_bytes", 9223372036854771712)
    assert available_bytes(proc, root) == 8 * GIB


def test_what_would_not_fit_is_never_built(monkeypatch):
    workload = stream_add(2**20)
    needed = workload.needed_bytes()
    assert needed == 2 * 3 * 4 * 2**20
    built = []
    monkeypatch.setattr(type(workload), "build", lambda *arguments, **options: built.append(1))
    monkeypatch.setattr(executor, "available_bytes", lambda: needed + HEADROOM_BYTES - 1)
    with pytest.raises(
        NotEnoughMemory, match=r"vendor/add/\S* may take 0\.03 GB, 0\.03 GB are free on the host"
    ) as caught:
        HostExecutor("cpu").prepare(workload)
    assert is_out_of_memory(caught.value)
    assert built == []


def test_what_fits_is_built_and_nobody_telling_is_no_refusal(monkeypatch):
    workload = stream_add(2**10)
    for free in (workload.needed_bytes() + HEADROOM_BYTES, None):
        monkeypatch.setattr(executor, "available_bytes", lambda free=free: free)
        HostExecutor("cpu").prepare(workload).release()


def test_a_gpu_has_memory_of_its_own(monkeypatch):
    host = HostExecutor("cpu")
    host._free_on_gpu = lambda: 1000
    with pytest.raises(NotEnoughMemory, match="are free on the GPU"):
        host._require_memory(matmul(64, 64, 64), 1)


def test_workspaces_are_counted():
    conv = vendor_conv2d(2, 16, 10, 8, 3)  # no padding: every tap counts, each of 2·8·8 patches has 16·3·3 values
    assert conv.needed_bytes() == 2 * conv.counts().bytes + 4 * 2 * 8 * 8 * 16 * 3 * 3
    grouped = vendor_conv2d(2, 16, 10, 8, 3, groups=4)
    assert grouped.needed_bytes() == 2 * grouped.counts().bytes + 4 * 2 * 8 * 8 * 16 * 3 * 3
    attention = vendor_attention(2, 3, 40, 8)
    assert attention.needed_bytes() == 2 * attention.counts().bytes + 4 * 2 * 2 * 3 * 40 * 40
    gru = vendor_gru(7, 2, 8, 16)
    assert gru.needed_bytes() == 2 * gru.counts().bytes + 4 * 8 * 7 * 2 * 16


def test_every_row_of_a_design_knows_what_it_needs():
    for design in ("quick", "standard", "thorough"):
        for workload in named_design(design).workloads:
            assert workload.is_idle or workload.needed_bytes() > 0
    assert host_memory.available_bytes() != 0
