"""How large the caches are that a cold call must not find its operands in."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from energybench.units import Byte

_UNITS: Final = {"K": 2**10, "M": 2**20, "G": 2**30}


def last_level_cache_bytes(sys_root: Path = Path("/sys")) -> Byte | None:
    """All data caches of the highest level that the processors share, together; None where the kernel does not say.

    From ``devices/system/cpu/cpu*/cache/index*`` (sysfs-devices-system-cpu of the kernel's ABI documents). Each cache
    is counted once, whichever processors share it. A virtual machine shows what its host tells it, which may be more
    than the machine gets.
    """
    caches: dict[tuple[int, str], Byte] = {}
    for index in sorted(sys_root.glob("devices/system/cpu/cpu[0-9]*/cache/index[0-9]*")):
        level, size, kind, shared = (_text(index / name) for name in ("level", "size", "type", "shared_cpu_list"))
        if kind == "Instruction" or not level.isdecimal() or (size_bytes := _bytes(size)) is None:
            continue
        caches[int(level), shared or str(index)] = size_bytes
    if not caches:
        return None
    highest = max(level for level, _ in caches)
    return sum(size_bytes for (level, _), size_bytes in caches.items() if level == highest)


def _bytes(text: str) -> Byte | None:
    number, unit = text[:-1], text[-1:]
    return int(number) * _UNITS[unit] if number.isdecimal() and unit in _UNITS else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
