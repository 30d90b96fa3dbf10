"""How much memory a process may still take, so that what would not fit is refused before it is allocated.

Linux promises memory that it does not have and kills a process when the promise is called in; no exception tells of it.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Final

from energybench.units import Byte

_KIB: Final = 1024
#: A limit of cgroup v1 that is no limit is written as the largest multiple of a page below 2^63.
_NO_LIMIT: Final = 2**62


def available_bytes(proc: Path = Path("/proc"), cgroup: Path = Path("/sys/fs/cgroup")) -> Byte | None:
    """The least of what the machine and each control group around this process have left; None where nothing tells.

    The machine: ``MemAvailable`` of ``/proc/meminfo`` (proc(5)), without swap. A group: its limit less what it uses,
    where page cache that can be dropped (``inactive_file``) counts as free, as the kernel itself does before it kills.
    """
    known = [left for left in (_of_machine(proc), *_of_groups(proc, cgroup)) if left is not None]
    return max(0, min(known)) if known else None


def _of_machine(proc: Path) -> Byte | None:
    for line in _text(proc / "meminfo").splitlines():
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            return int(value.split()[0]) * _KIB
    return None


def _of_groups(proc: Path, root: Path) -> list[Byte | None]:
    """Of the group of this process and all above it; of both versions of control groups."""
    found: list[Byte | None] = []
    for line in _text(proc / "self" / "cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            base, names = root, ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            base = root / "memory"
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        inside = PurePosixPath(path.lstrip("/"))
        # In a container the path may be one of the host's that is not there: its own group is then the root.
        found += [_of_group(base / part, *names) for part in (inside, *inside.parents)]
    return found


def _of_group(folder: Path, limit_name: str, usage_name: str, reclaimable_name: str) -> Byte | None:
    limit, usage = _text(folder / limit_name).strip(), _text(folder / usage_name).strip()
    if not limit.isdigit() or not usage.isdigit() or int(limit) >= _NO_LIMIT:
        return None
    reclaimable = 0
    for line in _text(folder / "memory.stat").splitlines():
        name, _, value = line.partition(" ")
        if name == reclaimable_name:
            reclaimable = int(value)
    return int(limit) - int(usage) + reclaimable


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
