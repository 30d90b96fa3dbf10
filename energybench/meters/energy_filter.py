"""`energy_filter`: does this CPU blur what RAPL shows?

Intel CPUs add noise to the energy registers where SGX is enabled in the firmware or a switch is set, against attacks
that read secrets off them (Intel, "Running Average Power Limit Energy Reporting", CVE-2020-8694/8695): single values
may be far off, sums over long windows less. The switch is bit 0 of MSR_MISC_PACKAGE_CTRL, 0xBC (the same article; Xen
calls it PGK_CTRL_ENERGY_FILTER_EN). It is read where this user may.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, Literal

from energybench.meters.cpu_info import cpu_info

#: MSR_MISC_PACKAGE_CTRL, and its bit that filters energies.
_REGISTER: Final = 0xBC
_FILTER_BIT: Final = 1

FilterState = Literal["on", "sgx", "off", "unknown"]


def energy_filter(root: Path | str = "/") -> FilterState:
    """Whether energies are blurred.

    Returns:
        ``on`` where the switch says so; ``sgx`` where it cannot be read and SGX is enabled, which has the same effect;
        ``off`` on other makers' CPUs and where nothing speaks for it; ``unknown`` where the CPU says nothing of itself.
    """
    cpu = cpu_info(root)
    if "vendor_id" not in cpu:
        return "unknown"
    if cpu["vendor_id"] != "GenuineIntel":
        return "off"
    if _switch(Path(root)):
        return "on"
    return "sgx" if "sgx" in cpu.get("flags", "").split() else "off"


def _switch(root: Path) -> bool:
    """The register's bit; False where there is no such register or it may not be read."""
    try:
        file = os.open(root / "dev" / "cpu" / "0" / "msr", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return bool(int.from_bytes(os.pread(file, 8, _REGISTER), "little") & _FILTER_BIT)
    except OSError:
        return False
    finally:
        os.close(file)
