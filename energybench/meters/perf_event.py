"""`open_counter`: one counter of the kernel's performance events on one CPU, and the files that describe a PMU.

Only what free-running counters of a whole CPU need: no sampling, no grouping, no event of a process.
"""

from __future__ import annotations

import ctypes
import errno
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
    number = _SYSCALL.get(platform.machine())
    if number is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    libc = ctypes.CDLL(None, use_errno=True)
    attributes = ctypes.create_string_buffer(_ATTR.pack(pmu_type, _ATTR.size, config, 0, 0, 0, 0, 0, 0, 0), _ATTR.size)
    # pid −1 with a CPU: all processes on it. No group: counters of such PMUs stand alone.
    descriptor = int(libc.syscall(ctypes.c_long(number), attributes, -1, cpu, -1, ctypes.c_ulong(_FLAG_FD_CLOEXEC)))
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
