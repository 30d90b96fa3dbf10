"""Counters of the kernel's performance events: of a whole CPU, of a thread; and the files that describe a PMU.

Only what counting needs: no sampling, no grouping.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import platform
import struct
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final

#: Number of the system call perf_event_open, from the kernel's tables (syscall_64.tbl, asm-generic/unistd.h).
_SYSCALL: Final = {"x86_64": 298, "aarch64": 241, "riscv64": 241}
#: PERF_ATTR_SIZE_VER0 of linux/perf_event.h: type, size, config, period, sample_type, read_format, flags, wakeup,
#: breakpoint type and address.
_ATTR: Final = struct.Struct("=IIQQQQQIIQ")
_FLAG_FD_CLOEXEC: Final = 8
#: Bits of the flags word, of read_format, and the requests of linux/perf_event.h.
_DISABLED: Final = 1 << 0
_INHERIT: Final = 1 << 1
_EXCLUDE_KERNEL: Final = 1 << 5
_EXCLUDE_HV: Final = 1 << 6
_READ_TIMES: Final = 0b11
_IOC_ENABLE: Final = 0x2400
_IOC_DISABLE: Final = 0x2401
#: PERF_TYPE_MAX of linux/perf_event.h: types below it are the kernel's own events, never a PMU of the hardware.
FIRST_DYNAMIC_TYPE: Final = 6


@dataclass(frozen=True, slots=True)
class PmuEvent:
    """One event of a PMU as sysfs describes it: what to ask for, and what one count is worth in `unit`."""

    name: str
    config: int
    scale: Fraction
    unit: str


@dataclass(frozen=True, slots=True)
class Pmu:
    """A PMU: its type number, the CPUs that its counters are opened on (one per package or die), its events."""

    directory: Path
    type: int
    cpus: tuple[int, ...]
    events: tuple[PmuEvent, ...]


def read_pmu(directory: Path) -> Pmu:
    """The PMU described below ``/sys/bus/event_source/devices/NAME``. Events without a scale are left out.

    Raises:
        OSError: a file is missing or may not be read.
        ValueError: a file does not hold what it should.
    """
    events: list[PmuEvent] = []
    names = sorted(os.listdir(directory / "events"))
    for name in names:
        if f"{name}.scale" not in names or f"{name}.unit" not in names:
            continue
        events.append(
            PmuEvent(
                name=name,
                config=_config(directory, _text(directory / "events" / name)),
                scale=Fraction(_text(directory / "events" / f"{name}.scale")),
                unit=_text(directory / "events" / f"{name}.unit"),
            )
        )
    return Pmu(directory, int(_text(directory / "type")), parse_cpu_list(_text(directory / "cpumask")), tuple(events))


def parse_cpu_list(text: str) -> tuple[int, ...]:
    """``0,28-30`` as numbers. Raises ValueError."""
    cpus: list[int] = []
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        cpus.extend(range(int(first), int(last or first) + 1))
    return tuple(cpus)


def open_counter(pmu_type: int, config: int, cpu: int) -> int:
    """A file descriptor whose 8 bytes are the counter since now, on a whole CPU.

    Raises:
        OSError: what perf_event_open says; ENOSYS where this machine has no such call.
    """
    # pid −1 with a CPU: all processes on it. No group: counters of such PMUs stand alone.
    return _open(_ATTR.pack(pmu_type, _ATTR.size, config, 0, 0, 0, 0, 0, 0, 0), pid=-1, cpu=cpu)


def open_task_counter(pmu_type: int, config: int) -> int:
    """A counter of the calling thread and those it starts, in user mode, not running yet.

    Its 24 bytes are the count, the nanoseconds it was enabled, and those in which it had a register.

    Raises:
        OSError: as `open_counter`.
    """
    flags = _DISABLED | _INHERIT | _EXCLUDE_KERNEL | _EXCLUDE_HV
    return _open(_ATTR.pack(pmu_type, _ATTR.size, config, 0, 0, _READ_TIMES, flags, 0, 0, 0), pid=0, cpu=-1)


def control_counter(descriptor: int, *, enable: bool) -> None:
    """Let a counter run, or stop it. Raises OSError."""
    fcntl.ioctl(descriptor, _IOC_ENABLE if enable else _IOC_DISABLE, 0)


def _open(attributes: bytes, *, pid: int, cpu: int) -> int:
    number = _SYSCALL.get(platform.machine())
    if number is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(attributes, _ATTR.size)
    descriptor = int(libc.syscall(ctypes.c_long(number), buffer, pid, cpu, -1, ctypes.c_ulong(_FLAG_FD_CLOEXEC)))
    if descriptor < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return descriptor


def _config(directory: Path, terms: str) -> int:
    """``event=0x02,umask=0x1`` placed into the config word as the ``format`` files say (``config:0-7``)."""
    config = 0
    for term in terms.split(","):
        key, _, value = term.partition("=")
        register, _, bits = _text(directory / "format" / key).partition(":")
        if register != "config":
            raise ValueError(f"{key} lies in {register!r}, not in config")
        config |= int(value or "1", 0) << int(bits.partition("-")[0])
    return config


def _text(path: Path) -> str:
    return path.read_text(encoding="ascii").strip()
