"""Hardware counters: a made-up /proc and /sys whose PMU is the kernel's software one, so that the real call counts."""

from __future__ import annotations

import mmap
import os
import threading
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from energybench.errors import MeterPermissionError, MeterUnavailable
from energybench.meters import hardware_counters
from energybench.meters.hardware_counters import CORE_EVENTS, CoreEvent, HardwareCounters, HardwareCounts, describe
from energybench.meters.perf_event import open_task_counter

#: PERF_TYPE_SOFTWARE, and two of its events: faults that were served without a disk, and the thread's clock.
SOFTWARE, MINOR_FAULTS, TASK_CLOCK = 1, 5, 1
#: An event that the software PMU does not have.
ABSENT = 0x7FFF


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A root whose CPU is of a maker with the given events."""
    try:
        os.close(open_task_counter(SOFTWARE, TASK_CLOCK))
    except OSError:
        pytest.skip("perf_event_open is not allowed here")

    def make(*events: CoreEvent, vendor: str = "GenuineIntel", flags: str = "fpu avx2") -> Path:
        (tmp_path / "proc").mkdir(exist_ok=True)
        (tmp_path / "proc" / "cpuinfo").write_text(f"vendor_id\t: {vendor}\nflags\t\t: {flags}\n")
        cpu = tmp_path / "sys/bus/event_source/devices/cpu"
        cpu.mkdir(parents=True, exist_ok=True)
        (cpu / "type").write_text(f"{SOFTWARE}\n")
        monkeypatch.setattr(hardware_counters, "CORE_EVENTS", MappingProxyType({"GenuineIntel": events}))
        return Path(tmp_path)

    return make


def touch(pages: int) -> None:
    """Fault that many pages in: a mapping of its own, since an allocator may hand out pages that are there already."""
    with mmap.mmap(-1, pages * mmap.PAGESIZE) as block:
        for page in range(pages):
            block[page * mmap.PAGESIZE] = 1


def test_counts_the_work_and_nothing_else(machine):
    """Page faults stand in for an event: more of them for more work, in this thread and in one that it starts."""
    counters = HardwareCounters(machine(CoreEvent("loads", MINOR_FAULTS), CoreEvent("stores", MINOR_FAULTS, weight=3)))
    nothing = counters.count(lambda: None).counted
    work = counters.count(lambda: touch(20_000)).counted

    def in_a_thread() -> None:
        thread = threading.Thread(target=touch, args=(20_000,))
        thread.start()
        thread.join()

    assert work["loads"] > nothing["loads"] + 1000
    assert counters.count(in_a_thread).counted["loads"] > nothing["loads"] + 1000
    assert work["stores"] == pytest.approx(3 * work["loads"], rel=0.2)
    assert counters.kind == "simulated"


def test_a_quantity_with_an_event_that_is_not_exposed_is_left_out_and_never_zero(machine):
    counters = HardwareCounters(
        machine(CoreEvent("instructions", TASK_CLOCK), CoreEvent("flops", TASK_CLOCK), CoreEvent("flops", ABSENT))
    )
    assert set(counters.count(lambda: None).counted) == {"instructions"}
    none = HardwareCounters(machine(CoreEvent("flops", ABSENT)))
    with pytest.raises(MeterUnavailable, match="exposes none"):
        none.count(lambda: None)


def test_a_count_shared_out_in_time_is_refused(machine, monkeypatch):
    counters = HardwareCounters(machine(CoreEvent("instructions", TASK_CLOCK)))
    real = os.read
    shared = b"".join(value.to_bytes(8, "little") for value in (10**6, 100, 2))
    monkeypatch.setattr(os, "read", lambda file, size: shared if size == 24 else real(file, size))
    with pytest.raises(MeterUnavailable, match="2% of the time"):
        counters.count(lambda: None)


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"flags": "fpu hypervisor avx2"}, "virtual machine"),
        ({"vendor": "ARM"}, "CPU of ARM"),
    ],
)
def test_machines_whose_counters_mean_nothing_are_refused(machine, options, what):
    root = machine(CoreEvent("instructions", TASK_CLOCK), **options)
    with pytest.raises(MeterUnavailable, match=what):
        HardwareCounters(root)
    assert describe(root)[0] is False
    assert describe(root)[2] == "measure without hardware counters: our counts need none"


def test_absence_and_permission(machine, monkeypatch):
    root = machine(CoreEvent("instructions", TASK_CLOCK))
    counters = HardwareCounters(root)

    def refuse(*_: int) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(hardware_counters, "open_task_counter", refuse)
    with pytest.raises(MeterPermissionError, match="perf_event_paranoid=1"):
        counters.count(lambda: None)
    (root / "sys/bus/event_source/devices/cpu/type").unlink()
    with pytest.raises(MeterUnavailable, match="no PMU"):
        HardwareCounters(root)


def test_memory_controllers_are_counted_in_the_unit_that_sysfs_states(machine, monkeypatch):
    root = machine(CoreEvent("instructions", TASK_CLOCK))
    controller = root / "sys/bus/event_source/devices/uncore_imc_0"
    (controller / "events").mkdir(parents=True)
    (controller / "format").mkdir()
    (controller / "type").write_text(f"{SOFTWARE}\n")
    (controller / "cpumask").write_text("0\n")
    (controller / "format" / "event").write_text("config:0-7\n")
    for name, code in (("cas_count_read", 4), ("cas_count_write", 12)):
        (controller / "events" / name).write_text(f"event={code:#x}\n")
        (controller / "events" / f"{name}.scale").write_text("6.103515625e-5\n")
        (controller / "events" / f"{name}.unit").write_text("MiB\n")
    files = {}

    def controller_counter(pmu_type: int, config: int, cpu: int) -> int:
        assert (pmu_type, cpu) == (SOFTWARE, 0)
        read_end, write_end = os.pipe()
        # 1000 lines before the work; 1500 after for reads, 1100 for writes.
        os.write(write_end, (1000).to_bytes(8, "little") + (1500 if config == 4 else 1100).to_bytes(8, "little"))
        os.close(write_end)
        files[config] = read_end
        return read_end

    monkeypatch.setattr(hardware_counters, "open_counter", controller_counter)
    counts = HardwareCounters(root).count(lambda: None)
    assert counts.counted["dram_read_bytes"] == 500 * 64
    assert counts.counted["dram_write_bytes"] == 100 * 64
    traffic = counts.to_op_counts()
    assert (traffic.traffic_basis, traffic.bytes) == ("hardware", 600 * 64)
    assert Fraction("6.103515625e-5") * (1 << 20) == 64


def described(controller: Path, pmu_type: int, events: tuple[str, ...], unit: str = "MiB") -> None:
    """A memory controller as sysfs shows it."""
    for folder in ("events", "format"):
        (controller / folder).mkdir(parents=True)
    (controller / "type").write_text(f"{pmu_type}\n")
    (controller / "cpumask").write_text("0\n")
    (controller / "format" / "event").write_text("config:0-7\n")
    for number, name in enumerate(events, start=1):
        (controller / "events" / name).write_text(f"event={number:#x}\n")
        (controller / "events" / f"{name}.scale").write_text("6.103515625e-5\n")
        (controller / "events" / f"{name}.unit").write_text(f"{unit}\n")


@pytest.fixture
def opened(monkeypatch):
    """What was asked of uncore PMUs; each counts 100 lines."""
    asked: list[tuple[int, int, int]] = []

    def open_one(*request: int) -> int:
        asked.append((request[0], request[1], request[2]))
        read_end, write_end = os.pipe()
        os.write(write_end, (7).to_bytes(8, "little") + (107).to_bytes(8, "little"))
        os.close(write_end)
        return read_end

    monkeypatch.setattr(hardware_counters, "open_counter", open_one)
    return asked


def test_amd_memory_controllers_tell_reads_from_writes(machine, opened):
    root = machine(CoreEvent("instructions", TASK_CLOCK))
    for number, pmu_type in ((0, 21), (1, 22)):
        controller = root / f"sys/bus/event_source/devices/amd_umc_{number}"
        controller.mkdir()
        (controller / "type").write_text(f"{pmu_type}\n")
        (controller / "cpumask").write_text("0,4\n")
    counted = HardwareCounters(root).count(lambda: None).counted
    # umc_cas_cmd with RdWrMask 1 and 2: two controllers on two CPUs of 100 lines each.
    assert sorted(set(opened)) == [(t, c, cpu) for t in (21, 22) for c in (0x10A, 0x20A) for cpu in (0, 4)]
    assert (counted["dram_read_bytes"], counted["dram_write_bytes"]) == (4 * 6400, 4 * 6400)


@pytest.mark.parametrize("names", [("data_read", "data_write"), ("data_reads", "data_writes")])
def test_memory_of_client_and_hybrid_parts(machine, opened, names):
    root = machine(CoreEvent("flops", ABSENT))
    devices = root / "sys/bus/event_source/devices"
    (devices / "cpu").rename(devices / "cpu_core")
    described(devices / "uncore_imc_free_running_0", 31, names)
    counts = HardwareCounters(root).count(lambda: None)
    assert counts.counted == {"dram_read_bytes": 6400, "dram_write_bytes": 6400}
    assert counts.kind == "simulated"


#: PMU types of the two kinds of core, and the codes of the events below.
CORE, ATOM, INSTRUCTIONS, FLOPS = 4, 10, 0xC0, 0x02C7


@pytest.fixture
def hybrid(machine, monkeypatch):
    """Counters of a hybrid part whose PMUs answer with given (count, ns enabled, ns running)."""
    root = machine(CoreEvent("instructions", INSTRUCTIONS), CoreEvent("fp32_flops", FLOPS, weight=4))
    devices = root / "sys/bus/event_source/devices"
    (devices / "cpu").rename(devices / "cpu_core")
    (devices / "cpu_atom").mkdir()
    for name, pmu_type in (("cpu_core", CORE), ("cpu_atom", ATOM)):
        (devices / name / "type").write_text(f"{pmu_type}\n")
    answers: dict[tuple[int, int], tuple[int, int, int]] = {}

    def counter(pmu_type: int, config: int) -> int:
        read_end, write_end = os.pipe()
        os.write(write_end, b"".join(v.to_bytes(8, "little") for v in answers[pmu_type, config]))
        os.close(write_end)
        return read_end

    monkeypatch.setattr(hardware_counters, "open_task_counter", counter)
    monkeypatch.setattr(hardware_counters, "control_counter", lambda descriptor, *, enable: None)
    return HardwareCounters(root), answers


def test_both_kinds_of_core_of_a_hybrid_part_are_counted(hybrid):
    """A thread that moved between them: each PMU counted its part of the time. FLOPs of the rest nobody counted."""
    counters, answers = hybrid
    answers |= {
        (CORE, INSTRUCTIONS): (600, 10_000_000, 6_000_000),
        (ATOM, INSTRUCTIONS): (300, 9_990_000, 3_995_000),
        (CORE, FLOPS): (50, 10_000_000, 6_000_000),
    }
    counts = counters.count(lambda: None)
    assert counts.counted == {"instructions": 900}
    assert counts.kind == "simulated"


def test_work_that_stayed_on_performance_cores_has_its_flops(hybrid):
    counters, answers = hybrid
    answers |= {
        (CORE, INSTRUCTIONS): (600, 10_000_000, 10_000_000),
        (ATOM, INSTRUCTIONS): (0, 9_990_000, 0),
        (CORE, FLOPS): (50, 10_000_000, 10_000_000),
    }
    assert counters.count(lambda: None).counted == {"instructions": 600, "fp32_flops": 200}


def test_time_that_neither_kind_of_core_counted_is_refused(hybrid):
    counters, answers = hybrid
    answers |= {
        (CORE, INSTRUCTIONS): (600, 10_000_000, 6_000_000),
        (ATOM, INSTRUCTIONS): (100, 10_000_000, 2_000_000),
    }
    with pytest.raises(MeterUnavailable, match="80% of the time"):
        counters.count(lambda: None)


def test_two_sets_of_events_for_one_traffic_are_counted_once(machine, opened):
    root = machine(CoreEvent("instructions", TASK_CLOCK))
    devices = root / "sys/bus/event_source/devices"
    described(devices / "uncore_imc_0", 30, ("cas_count_read", "cas_count_write"))
    described(devices / "uncore_imc_free_running_0", 31, ("data_read", "data_write"))
    assert HardwareCounters(root).count(lambda: None).counted["dram_read_bytes"] == 6400
    assert {request[0] for request in opened} == {30}


def test_what_was_not_counted_has_no_basis_and_no_ratio():
    counts = HardwareCounts("simulated", {"fp32_flops": 400, "fp64_flops": 100})
    with pytest.raises(MeterUnavailable, match="memory traffic"):
        counts.to_op_counts()
    assert counts.flops_ratio(1000) == pytest.approx(0.5)
    assert HardwareCounts("simulated", {"loads": 1}).flops_ratio(10) is None


def test_intel_counts_lanes_and_both_makers_count_an_fma_twice():
    """The table is the makers': single precision is the odd bits of the mask, doubling in width."""
    weights: dict[str, dict[int, int]] = {}
    for event in CORE_EVENTS["GenuineIntel"]:
        weights.setdefault(event.quantity, {})[event.config] = event.weight
    assert weights["fp32_flops"] == {0x02C7: 1, 0x08C7: 4, 0x20C7: 8, 0x80C7: 16}
    assert weights["fp64_flops"] == {0x01C7: 1, 0x04C7: 2, 0x10C7: 4, 0x40C7: 8}
    assert {e.quantity: e.config for e in CORE_EVENTS["AuthenticAMD"]}["flops"] == 0x0F03


def test_this_machine_says_what_it_has() -> None:
    available, observed, remedy = describe()
    found: Any = (available, observed, remedy)
    assert observed
    assert available or remedy, found
