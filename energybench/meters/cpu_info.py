"""What /proc/cpuinfo says of the first CPU."""

from __future__ import annotations

from pathlib import Path


def cpu_info(root: Path | str = "/") -> dict[str, str]:
    """Its lines by their keys, as ``vendor_id`` or ``flags``; empty where there is no such file."""
    facts: dict[str, str] = {}
    try:
        lines = (Path(root) / "proc" / "cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return facts
    for line in lines:
        key, _, value = line.partition(":")
        facts.setdefault(key.strip(), value.strip())
    return facts
