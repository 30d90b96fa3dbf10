"""`RaplMsrMeter`: package energy from the model-specific registers of Intel and AMD CPUs, where they may be read.

The last resort, for kernels without a RAPL driver. The unit comes from the unit register, never from a table. DRAM is
left out: on servers its unit stands in no register (15.3 µJ on some generations, the package's on others), so a
number could be wrong by four. AMD's core registers are left out too; they have been seen to show nonsense on servers
(alumet, plugins/rapl). Registers and fields: Intel SDM vol. 3B "RAPL Interfaces"; AMD PPR, MSRC001_0299 and _029B;
kernel asm/msr-index.h.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from energybench.errors import MeterPermissionError, MeterUnavailable
from energybench.meters.base import MeterInfo
from energybench.meters.clock import Clock, MonotonicClock
from energybench.meters.cpu_info import cpu_info
from energybench.meters.cpu_topology import package_and_die, package_suffixes
from energybench.meters.rapl_powercap import GAIN_REL, INTEGRATES_WHOLE_PERIOD, MAX_POWER_W, NOMINAL_UPDATE_PERIOD_S
from energybench.records.reading import Domain, Reading
from energybench.records.vocabulary import Kind
from energybench.units import NJ_PER_J, Second

#: Vendor of /proc/cpuinfo → unit register, and the energy registers by domain and its parent.
_REGISTERS: Final[Mapping[str, tuple[int, Mapping[str, int]]]] = MappingProxyType(
    {
        "GenuineIntel": (0x606, MappingProxyType({"package": 0x611, "core": 0x639})),
        "AuthenticAMD": (0xC0010299, MappingProxyType({"package": 0xC001029B})),
    }
)
#: Atom cores (Silvermont, Airmont) whose unit field means something else (kernel: intel_rapl_common.c).
_ODD_UNITS: Final = frozenset({0x37, 0x4A, 0x4C, 0x5A, 0x5D})
#: Energy status: the lower 32 bits, counting 2^-ESU J; ESU is bits 12…8 of the unit register.
_COUNTER_BITS: Final = 32
_COUNTER_MASK: Final = (1 << _COUNTER_BITS) - 1
#: Major number of the kernel's /dev/cpu/N/msr devices: Documentation/admin-guide/devices.txt.
_MSR_MAJOR: Final = 202

ANNOUNCEMENT: Final = "DRAM is not in this total: through registers its unit is not known"
_REMEDY_ABSENT: Final = "run `sudo modprobe msr`, or use another --meter"
_REMEDY_PERMISSION: Final = (
    'run as root, or give Python the capability and the files: `sudo setcap cap_sys_rawio=ep "$(readlink -f "$(command '
    '-v python3)")"` and `sudo chmod a+r /dev/cpu/*/msr`; a kernel in lockdown refuses even root: use rapl:powercap'
)


class RaplMsrMeter:
    """Package (and on Intel core) energy of every package, one register each.

    Args:
        root: Where ``dev``, ``proc`` and ``sys`` are; anything but ``/`` makes the meter `simulated`.

    Raises:
        MeterUnavailable: no such registers (another vendor, a virtual machine), or a unit that is not understood.
        MeterPermissionError: the registers may not be read.
    """

    name = "rapl:msr"
    announcement = ANNOUNCEMENT

    def __init__(self, root: Path | str = "/") -> None:
        root = Path(root)
        unit_register, registers = _registers(root)
        self.clock: Clock = MonotonicClock()
        self.nominal_update_period_s: Second | None = NOMINAL_UPDATE_PERIOD_S
        self.integrates_whole_period = INTEGRATES_WHOLE_PERIOD
        cpus = _one_cpu_per_die(root)
        #: Name, file, register, and bits of the unit: one count is 2^-bits J.
        self._counters: list[tuple[str, int, int, int]] = []
        self._files: list[int] = []
        domains: list[Domain] = []
        real = os.path.realpath(root) == "/"
        try:
            for cpu, suffix in zip(cpus, package_suffixes(cpus, root / "sys"), strict=True):
                path = root / "dev" / "cpu" / str(cpu) / "msr"
                file = _open(path)
                self._files.append(file)
                status = os.fstat(file)
                real = real and stat.S_ISCHR(status.st_mode) and os.major(status.st_rdev) == _MSR_MAJOR
                bits = (_read(file, unit_register, path) >> 8) & 0x1F
                if not 0 < bits < _COUNTER_BITS:
                    raise MeterUnavailable(f"the RAPL unit register of {path} holds no unit; {_REMEDY_ABSENT}")
                for zone, register in registers.items():
                    domain = Domain(
                        name=f"{zone}-{suffix}",
                        parent=None if zone == "package" else f"package-{suffix}",
                        resolution_nj=-(-NJ_PER_J >> bits),
                        # 2^32 counts of 2^-bits J are whole joules.
                        wrap_nj=NJ_PER_J << (_COUNTER_BITS - bits),
                        max_power_w=MAX_POWER_W,
                        gain_rel=GAIN_REL,
                    )
                    self._counters.append((domain.name, file, register, bits))
                    domains.append(domain)
            self.domains: tuple[Domain, ...] = tuple(domains)
            self.kind: Kind = "measured" if real else "simulated"
            if not any(self.read().energy_nj.values()):
                raise MeterUnavailable(
                    "the RAPL registers are all 0, as in a virtual machine that hides them; measure on its host"
                )
        except BaseException:
            self.close()
            raise

    def read(self) -> Reading:
        """Poll every register once. Raises MeterUnavailable."""
        if not self._files:
            raise MeterUnavailable("the RAPL meter was closed; open it again")
        time_ns = self.clock.now_ns()
        return Reading(
            time_ns,
            {
                name: (_read(file, register, "the msr device") & _COUNTER_MASK) * NJ_PER_J >> bits
                for name, file, register, bits in self._counters
            },
        )

    def close(self) -> None:
        """Close the files; a second call does nothing."""
        while self._files:
            os.close(self._files.pop())


def discover(root: Path | str = "/") -> list[MeterInfo]:
    """What ``doctor`` says of RAPL through registers. Raises what opening the meter raises."""
    meter = RaplMsrMeter(root)
    try:
        observed = f"{len(meter.domains)} registers: {', '.join(d.name for d in meter.domains)}; {ANNOUNCEMENT}"
        return [MeterInfo(meter.name, True, meter.kind, observed, domains=meter.domains)]
    finally:
        meter.close()


def _registers(root: Path) -> tuple[int, Mapping[str, int]]:
    """Unit register and energy registers of this CPU. Raises MeterUnavailable."""
    facts = cpu_info(root)
    vendor = facts.get("vendor_id", "unknown")
    if vendor not in _REGISTERS:
        raise MeterUnavailable(
            f"RAPL registers are those of Intel and AMD, this CPU is of {vendor}; use another --meter"
        )
    if vendor == "GenuineIntel" and facts.get("cpu family") == "6" and int(facts.get("model", 0)) in _ODD_UNITS:
        raise MeterUnavailable("this Atom counts RAPL in a unit of its own; use --meter rapl:powercap")
    return _REGISTERS[vendor]


def _one_cpu_per_die(root: Path) -> list[int]:
    base = root / "dev" / "cpu"
    cpus = sorted(int(name) for name in (os.listdir(base) if base.exists() else ()) if re.fullmatch(r"\d+", name))
    if not cpus:
        raise MeterUnavailable(f"no {base}/N/msr on this machine; {_REMEDY_ABSENT}")
    first: dict[tuple[int, int], int] = {}
    for cpu in cpus:
        first.setdefault(package_and_die(cpu, root / "sys"), cpu)
    return list(first.values())


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM):
            raise MeterPermissionError(f"{path} may not be read by this user; {_REMEDY_PERMISSION}") from None
        raise MeterUnavailable(f"{path} cannot be opened ({error.strerror}); {_REMEDY_ABSENT}") from None


def _read(file: int, register: int, where: Path | str) -> int:
    """The 64 bits of a register: the device takes its number as the offset."""
    try:
        data = os.pread(file, 8, register)
    except OSError as error:
        # EIO: the CPU refused the register, as most virtual machines do.
        raise MeterUnavailable(
            f"register {register:#x} of {where} cannot be read ({error.strerror}), as in a virtual machine; measure on "
            "its host"
        ) from None
    if len(data) < 8:
        raise MeterUnavailable(f"register {register:#x} of {where} gave {len(data)} bytes of 8; {_REMEDY_ABSENT}")
    return int.from_bytes(data, "little")
