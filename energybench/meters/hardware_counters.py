"""`HardwareCounters`: what the CPU itself counts of a piece of work: instructions, FLOPs, loads, DRAM bytes.

Optional, and never while energy is measured: programming counters costs time and power. Where they exist they check
our counts and give traffic of the basis `hardware`; a virtual machine is refused, since what it shows of its host's
counters, if anything, is not known.

The calling thread and the threads that it starts meanwhile are counted in user mode; a pool of threads that was there
before is not, so run native kernels with one thread. A count that the kernel had to
share out in time (more events than registers) is an extrapolation and is refused (pgcolumnar pull request 869 shows
2 % scaled up to everything). Traffic to memory is counted by the memory controllers of a socket, whoever caused it:
run alone.

A hybrid part of Intel has two kinds of core, each with a PMU of its own (``cpu_core``, ``cpu_atom``), which counts only
while the thread runs on that kind: an event is counted on both. What the efficient cores do not have (FLOPs) is there
only for work that stayed on the others.

Events: Intel SDM vol. 3B and perfmon (FP_ARITH_INST_RETIRED 0xC7, MEM_INST_RETIRED 0xD0); AMD PPR of family 19h
(fp_ret_sse_avx_ops 0x03, ls_dispatch 0x29); kernel tools/perf/pmu-events (of hybrid parts: x86/alderlake). An FMA
counts twice in both makers' events, so what they count are FLOPs: 2·MACs + others.
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import Final

from energybench.errors import MeterPermissionError, MeterUnavailable, UsageError
from energybench.meters.cpu_info import cpu_info
from energybench.meters.perf_event import control_counter, open_counter, open_task_counter, parse_cpu_list, read_pmu
from energybench.meters.sysfs import is_real_sysfs
from energybench.records.op_counts import OpCounts
from energybench.records.vocabulary import Kind

#: PERF_TYPE_RAW of linux/perf_event.h, the type of the CPU's own PMU on x86.
_RAW: Final = 4
#: Value, time enabled, time running: PERF_FORMAT_TOTAL_TIME_ENABLED | _RUNNING.
_VALUE: Final = struct.Struct("=QQQ")
#: The memory controllers count bursts of a cache line; their scale files say what one is in this unit.
_UNIT_BYTES: Final[Mapping[str, int]] = MappingProxyType({"MiB": 1 << 20})

#: Names of the events of Intel's memory controllers, servers' first, then those of client and hybrid parts, whose
#: counters run freely (kernel: arch/x86/events/intel/uncore_snb.c).
_INTEL_MEMORY: Final[tuple[Mapping[str, str], ...]] = (
    MappingProxyType({"cas_count_read": "dram_read_bytes", "cas_count_write": "dram_write_bytes"}),
    MappingProxyType({"data_read": "dram_read_bytes", "data_write": "dram_write_bytes"}),
    MappingProxyType({"data_reads": "dram_read_bytes", "data_writes": "dram_write_bytes"}),
)
#: AMD's unified memory controllers (Zen 4 and later): umc_cas_cmd, event 0x0a, with RdWrMask in bits 8 and 9 (kernel:
#: tools/perf/pmu-events/arch/x86/amdzen4/memory-controller.json, arch/x86/events/amd/uncore.c). sysfs lists no events
#: there. A command moves a line.
_AMD_MEMORY: Final[Mapping[str, int]] = MappingProxyType(
    {"dram_read_bytes": 0x0A | 0x1 << 8, "dram_write_bytes": 0x0A | 0x2 << 8}
)
_LINE_BYTES: Final = 64
#: Registers that any of these CPUs has for events: four at least.
_REGISTERS: Final = 4

_REMEDY_PERMISSION: Final = "run `sudo sysctl kernel.perf_event_paranoid=1` (until reboot)"
_REMEDY_ABSENT: Final = "measure without hardware counters: our counts need none"


@dataclass(frozen=True, slots=True)
class CoreEvent:
    """One event of the core: what it counts here, its code (event | umask << 8), and how much one count adds."""

    quantity: str
    config: int
    weight: int = 1


def _intel_flops() -> tuple[CoreEvent, ...]:
    """FP_ARITH_INST_RETIRED: one umask bit per width and precision, in lanes per instruction."""
    lanes = {"fp64_flops": {0x01: 1, 0x04: 2, 0x10: 4, 0x40: 8}, "fp32_flops": {0x02: 1, 0x08: 4, 0x20: 8, 0x80: 16}}
    return tuple(
        CoreEvent(quantity, 0xC7 | umask << 8, weight)
        for quantity, widths in lanes.items()
        for umask, weight in widths.items()
    )


#: Vendor of /proc/cpuinfo → its events. 0xC0 counts retired instructions on both.
CORE_EVENTS: Final[Mapping[str, tuple[CoreEvent, ...]]] = MappingProxyType(
    {
        "GenuineIntel": (
            CoreEvent("instructions", 0xC0),
            *_intel_flops(),
            CoreEvent("loads", 0xD0 | 0x81 << 8),
            CoreEvent("stores", 0xD0 | 0x82 << 8),
        ),
        "AuthenticAMD": (
            CoreEvent("instructions", 0xC0),
            CoreEvent("flops", 0x03 | 0x0F << 8),
            CoreEvent("loads", 0x29 | 0x01 << 8),
            CoreEvent("stores", 0x29 | 0x02 << 8),
        ),
    }
)

#: PMUs of the cores by the name of their directory. A part has ``cpu``, or the other two (kernel: arch/x86/events).
_CORE_PMUS: Final = (("cpu",), ("cpu_core", "cpu_atom"))
#: What efficient cores count: the same codes, MEM_UOPS_RETIRED for MEM_INST_RETIRED, and no FP_ARITH_INST_RETIRED
#: (kernel: tools/perf/pmu-events/arch/x86/alderlake/cache.json and floating-point.json, unit cpu_atom).
_EFFICIENT: Final = frozenset({"instructions", "loads", "stores"})
#: Counters of two PMUs are enabled one after the other: so much of the time may be neither's.
_UNSEEN_SHARE: Final = 1e-3


@dataclass(frozen=True, slots=True)
class _CorePmu:
    """One kind of core: where its PMU is described, the PMU's type, and the events that it has."""

    directory: Path
    type: int
    events: tuple[CoreEvent, ...]


@dataclass(frozen=True, slots=True)
class HardwareCounts:
    """What was counted; a quantity that this CPU does not expose is not in `counted`.

    Keys of `counted`: ``instructions fp32_flops fp64_flops flops loads stores dram_read_bytes dram_write_bytes``.
    """

    kind: Kind
    counted: Mapping[str, int] = field(default_factory=dict)

    def to_op_counts(self) -> OpCounts:
        """DRAM traffic as counts of the basis `hardware`. Raises MeterUnavailable where it was not counted."""
        if "dram_read_bytes" not in self.counted or "dram_write_bytes" not in self.counted:
            raise MeterUnavailable(f"this CPU shows no counter of its memory traffic; {_REMEDY_ABSENT}")
        return OpCounts.single(
            "float32",
            traffic_basis="hardware",
            load_bytes=self.counted["dram_read_bytes"],
            store_bytes=self.counted["dram_write_bytes"],
        )

    def flops_ratio(self, flops: int) -> float | None:
        """FLOPs by hardware over FLOPs by count; None where neither is there. 1 is agreement."""
        parts = [self.counted[key] for key in ("flops", "fp32_flops", "fp64_flops") if key in self.counted]
        return sum(parts) / flops if parts and flops else None


class HardwareCounters:
    """The counters of this CPU.

    Args:
        root: Where ``proc`` and ``sys`` are; anything but ``/`` makes the counts `simulated`.

    Raises:
        MeterUnavailable: a virtual machine, another maker's CPU, or no PMU.
        MeterPermissionError: perf_event_open refuses this user.
    """

    def __init__(self, root: Path | str = "/") -> None:
        root = Path(root)
        facts = cpu_info(root)
        vendor = facts.get("vendor_id", "unknown")
        if "hypervisor" in facts.get("flags", "").split():
            raise MeterUnavailable(f"this is a virtual machine, whose hardware counters mean nothing; {_REMEDY_ABSENT}")
        if vendor not in CORE_EVENTS:
            raise MeterUnavailable(f"no events are known for a CPU of {vendor}; {_REMEDY_ABSENT}")
        devices = root / "sys" / "bus" / "event_source" / "devices"
        self._uncore = _memory_controllers(devices)
        self._cores = _core_pmus(devices, CORE_EVENTS[vendor])
        real = os.path.realpath(root) == "/" and all(is_real_sysfs(c.directory / "type") for c in self._cores)
        # Not the kernel's software clock in its place; the PMU of efficient cores has a number of its own.
        real = real and self._cores[0].type == _RAW
        self.kind: Kind = "measured" if real else "simulated"

    def count(self, work: Callable[[], object]) -> HardwareCounts:
        """Run `work` once per group of events that fits into the registers; it must do the same every time.

        Raises:
            MeterUnavailable: no event could be counted, or only by sharing a register in time.
            MeterPermissionError: perf_event_open refuses this user.
        """
        counted: dict[str, int] = {}
        for quantity in dict.fromkeys(event.quantity for event in self._cores[0].events):
            value = self._count_quantity(quantity, work)
            if value is not None:
                counted[quantity] = value
        counted |= self._count_memory(work)
        if not counted:
            raise MeterUnavailable(f"this CPU exposes none of the events that are known for it; {_REMEDY_ABSENT}")
        return HardwareCounts(self.kind, MappingProxyType(counted))

    def _count_quantity(self, quantity: str, work: Callable[[], object]) -> int | None:
        """The weighted sum of a quantity's events, four registers at a time; None where one is not exposed.

        None too where the work ran, for a while, on a kind of core that has no such event.
        """
        of_cores = [(core.type, [e for e in core.events if e.quantity == quantity]) for core in self._cores]
        total = 0
        for first in range(0, len(of_cores[0][1]), _REGISTERS):
            values = 0
            shares: list[list[float]] = [[] for _ in of_cores]
            opened: list[tuple[int, int, int]] = []
            try:
                for number, (pmu_type, events) in enumerate(of_cores):
                    for event in events[first : first + _REGISTERS]:
                        try:
                            descriptor = _translated(open_task_counter, pmu_type, event.config)
                        except FileNotFoundError:
                            return None
                        opened.append((number, descriptor, event.weight))
                for _, descriptor, _ in opened:
                    control_counter(descriptor, enable=True)
                work()
                for _, descriptor, _ in opened:
                    control_counter(descriptor, enable=False)
                for number, descriptor, weight in opened:
                    value, enabled_ns, running_ns = _VALUE.unpack(os.read(descriptor, _VALUE.size))
                    shares[number].append(running_ns / enabled_ns if enabled_ns else 1.0)
                    values += weight * value
            finally:
                for _, descriptor, _ in opened:
                    os.close(descriptor)
            # Of the events of one kind of core the one that ran least; of all kinds together, all of the time.
            seen = sum(min(of_core, default=0.0) for of_core in shares)
            if seen < (1.0 if len(of_cores) == 1 else 1.0 - _UNSEEN_SHARE):
                if not all(events for _, events in of_cores):
                    return None
                raise MeterUnavailable(
                    f"a hardware counter ran for {seen:.0%} of the time only, since another program uses the "
                    "registers; stop other perf sessions, and the NMI watchdog: `sudo sysctl kernel.nmi_watchdog=0`"
                )
            total += values
        return total

    def _count_memory(self, work: Callable[[], object]) -> dict[str, int]:
        if not self._uncore:
            return {}
        opened: list[tuple[str, int, Fraction]] = []
        try:
            for quantity, pmu_type, config, cpu, worth in self._uncore:
                opened.append((quantity, _translated(open_counter, pmu_type, config, cpu), worth))
            before = [int.from_bytes(os.read(file, 8), "little") for _, file, _ in opened]
            work()
            after = [int.from_bytes(os.read(file, 8), "little") for _, file, _ in opened]
        except FileNotFoundError:
            return {}
        finally:
            for _, file, _ in opened:
                os.close(file)
        total: dict[str, Fraction] = {}
        for (quantity, _, worth), b, a in zip(opened, before, after, strict=True):
            total[quantity] = total.get(quantity, Fraction(0)) + (a - b) * worth
        return {quantity: round(value) for quantity, value in total.items()}


def describe(root: Path | str = "/") -> tuple[bool, str, str]:
    """For ``doctor``: whether there are hardware counters, what was found, and what would enable them."""
    try:
        counters = HardwareCounters(root)
        found = counters.count(lambda: None)
    except (MeterUnavailable, UsageError) as error:
        observed, _, remedy = str(error).partition("; ")
        return False, observed, remedy
    return True, f"{', '.join(found.counted)} ({found.kind})", ""


def _core_pmus(devices: Path, events: tuple[CoreEvent, ...]) -> tuple[_CorePmu, ...]:
    """The PMUs of the cores, those of performance cores first. Raises MeterUnavailable where there is none."""
    for names in _CORE_PMUS:
        found: list[_CorePmu] = []
        for name in names:
            try:
                pmu_type = int((devices / name / "type").read_text(encoding="ascii"))
            except (OSError, ValueError):
                continue
            efficient = name == "cpu_atom"
            has = tuple(e for e in events if e.quantity in _EFFICIENT) if efficient else events
            found.append(_CorePmu(devices / name, pmu_type, has))
        if found:
            return tuple(found)
    raise MeterUnavailable(f"no PMU {devices / 'cpu'} on this machine; {_REMEDY_ABSENT}")


def _memory_controllers(devices: Path) -> list[tuple[str, int, int, int, Fraction]]:
    """Quantity, type, config, CPU and bytes per count, for every memory controller whose events sysfs describes."""
    found: list[tuple[str, int, int, int, Fraction]] = []
    for names in _INTEL_MEMORY:
        for directory in sorted(devices.glob("uncore_imc*")):
            try:
                pmu = read_pmu(directory)
            except (OSError, ValueError):
                continue
            for event in pmu.events:
                if event.name in names and event.unit in _UNIT_BYTES:
                    worth = event.scale * _UNIT_BYTES[event.unit]
                    found += [(names[event.name], pmu.type, event.config, cpu, worth) for cpu in pmu.cpus]
        if found:
            # Two sets of events count the same traffic.
            return found
    for directory in sorted(devices.glob("amd_umc_*")):
        try:
            pmu_type = int((directory / "type").read_text(encoding="ascii"))
            cpus = parse_cpu_list((directory / "cpumask").read_text(encoding="ascii"))
        except (OSError, ValueError):
            continue
        found += [
            (quantity, pmu_type, config, cpu, Fraction(_LINE_BYTES))
            for quantity, config in _AMD_MEMORY.items()
            for cpu in cpus
        ]
    return found


def _translated(call: Callable[..., int], *args: int) -> int:
    """Open a counter. FileNotFoundError where the CPU has no such event; our errors otherwise."""
    try:
        return call(*args)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM):
            raise MeterPermissionError(f"perf_event_open refuses this user; {_REMEDY_PERMISSION}") from None
        if error.errno in (errno.ENOENT, errno.EINVAL, errno.EOPNOTSUPP, errno.ENODEV):
            raise FileNotFoundError from None
        raise MeterUnavailable(f"perf_event_open fails ({error.strerror}); {_REMEDY_ABSENT}") from None
