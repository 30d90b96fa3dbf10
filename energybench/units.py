"""Units: the aliases that signatures use, and the only place where a conversion factor is written.

Numbers inside energybench are SI: joules, watts, seconds, hertz, bytes. Readings carry integer nanojoules, so that a
counter difference stays exact (a float64 joule loses the nanojoule above 9 MJ). Vendor units (RAPL microjoules, NVML
millijoules and milliwatts) are converted where a meter reads them and never travel further.
"""

from __future__ import annotations

from typing import Final, TypeAlias

Joule: TypeAlias = float
Watt: TypeAlias = float
Second: TypeAlias = float
Hertz: TypeAlias = float
Byte: TypeAlias = int
Nanojoule: TypeAlias = int
Nanosecond: TypeAlias = int

NS_PER_S: Final = 1_000_000_000
NJ_PER_J: Final = 1_000_000_000
NJ_PER_UJ: Final = 1_000
NJ_PER_MJ: Final = 1_000_000  # millijoule, NVML's unit of energy
BYTES_PER_MB: Final = 1_000_000


def nj_to_j(energy_nj: Nanojoule) -> Joule:
    """Nanojoules to joules."""
    return energy_nj / NJ_PER_J


def j_to_nj(energy_j: Joule) -> Nanojoule:
    """Joules to the nearest whole nanojoule."""
    return round(energy_j * NJ_PER_J)


def uj_to_nj(energy_uj: int) -> Nanojoule:
    """Microjoules (RAPL powercap) to nanojoules, exactly."""
    return energy_uj * NJ_PER_UJ


def mj_to_nj(energy_mj: int) -> Nanojoule:
    """Millijoules (NVML total-energy counter) to nanojoules, exactly."""
    return energy_mj * NJ_PER_MJ


def mw_to_w(power_mw: float) -> Watt:
    """Milliwatts (NVML power fields) to watts."""
    return power_mw / 1_000


def uw_to_w(power_uw: float) -> Watt:
    """Microwatts (RAPL power limits) to watts."""
    return power_uw / 1_000_000


def ns_to_s(duration_ns: Nanosecond) -> Second:
    """Nanoseconds to seconds."""
    return duration_ns / NS_PER_S


def s_to_ns(duration_s: Second) -> Nanosecond:
    """Seconds to the nearest whole nanosecond."""
    return round(duration_s * NS_PER_S)


def mhz_to_hz(clock_mhz: float) -> Hertz:
    """Megahertz (NVML clocks) to hertz."""
    return clock_mhz * 1e6


#: SI prefixes, largest first, for printing.
_PREFIXES: Final = (
    (1e12, "T"),
    (1e9, "G"),
    (1e6, "M"),
    (1e3, "k"),
    (1.0, ""),
    (1e-3, "m"),
    (1e-6, "µ"),
    (1e-9, "n"),
    (1e-12, "p"),
    (1e-15, "f"),
)


def format_si(value: float, unit: str, *, digits: int = 4) -> str:
    """A number with an SI prefix: ``format_si(1.3e-5, "J") == "13 µJ"``; never ``0.000`` for a small value."""
    if value == 0 or value != value or value in (float("inf"), float("-inf")):
        return f"{value:g} {unit}".rstrip()
    magnitude = float(f"{abs(value):.{digits}g}")  # rounded first, so that 999.99 mJ becomes 1 J and not 1000 mJ
    scale, prefix = next(((s, p) for s, p in _PREFIXES if magnitude >= s), _PREFIXES[-1])
    return f"{value / scale:.{digits}g} {prefix}{unit}".rstrip()
