"""Which package and die a CPU belongs to, from sysfs; domains of RAPL are named by it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from energybench.errors import MeterUnavailable


def package_suffixes(cpus: Sequence[int], sysfs: Path) -> list[str]:
    """``0`` per package, ``0-die-1`` where several of the CPUs lie in one package, as powercap names such zones.

    Raises:
        MeterUnavailable: sysfs does not say where a CPU belongs.
    """
    places = [package_and_die(cpu, sysfs) for cpu in cpus]
    packages = [package for package, _ in places]
    return [f"{p}-die-{d}" if packages.count(p) > 1 else str(p) for p, d in places]


def package_and_die(cpu: int, sysfs: Path) -> tuple[int, int]:
    """The package and the die of a CPU; die 0 where the kernel does not tell dies. Raises MeterUnavailable."""
    topology = sysfs / "devices" / "system" / "cpu" / f"cpu{cpu}" / "topology"
    try:
        package = int((topology / "physical_package_id").read_text(encoding="ascii"))
        die_file = topology / "die_id"
        return package, int(die_file.read_text(encoding="ascii")) if die_file.exists() else 0
    except (OSError, ValueError):
        raise MeterUnavailable(
            f"{topology} does not say which package CPU {cpu} belongs to; use --meter rapl:powercap"
        ) from None
