"""`RaplPerfMeter`: RAPL through perf_event, 64 bits wide: the kernel extends the hardware's 32, so nothing wraps.

A count is worth what the PMU's ``.scale`` file says (2⁻³² J on every part so far, but read, never assumed) and is
converted exactly. Domains carry the names that powercap gives them, so either interface can replace the other.
"""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from energybench.errors import MeterPermissionError, MeterUnavailable
from energybench.meters.base import MeterInfo, RawReading
from energybench.meters.clock import Clock, MonotonicClock
from energybench.meters.cpu_topology import package_suffixes
from energybench.meters.perf_event import FIRST_DYNAMIC_TYPE, Pmu, open_counter, read_pmu
from energybench.meters.rapl_powercap import (
    GAIN_REL,
    INTEGRATES_WHOLE_PERIOD,
    MAX_POWER_W,
    NOMINAL_UPDATE_PERIOD_S,
    REMEDY_ABSENT,
)
from energybench.meters.sysfs import is_real_sysfs
from energybench.records.reading import Domain, Reading
from energybench.records.vocabulary import Kind
from energybench.units import NJ_PER_J, Nanojoule, Second

#: The PMU's events and the powercap zones they are (kernel: arch/x86/events/rapl.c, intel_rapl_common.c). An event of
#: another name is left out: what it covers is not known.
_EVENTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "energy-pkg": "package",
        "energy-ram": "dram",
        "energy-cores": "core",
        "energy-gpu": "uncore",
        "energy-psys": "psys",
    }
)
#: 2⁻¹⁴ J, the coarsest step of the energy status MSRs of Intel and AMD parts (Intel SDM vol. 3B: ESU 14; AMD 2⁻¹⁶ J).
#: perf does not tell the step; a bound for the rounding term, and characterising finds the step itself.
RESOLUTION_NJ: Final[Nanojoule] = 61_036
#: How long a counter may stand still at the start: a hundred updates of 1 ms.
PROBE_S: Final[Second] = 0.1
#: A counter without a read format is one 64-bit word.
_COUNT_BYTES: Final = 8
_PROBE_POLL_S: Final[Second] = 1e-3

REMEDY_PERMISSION: Final = (
    "run `sudo sysctl kernel.perf_event_paranoid=0` (until reboot), or give Python the capability: "
    '`sudo setcap cap_perfmon=ep "$(readlink -f "$(command -v python3)")"`'
)
REMEDY_NO_PMU: Final = f"run `sudo modprobe rapl`, or use powercap: {REMEDY_ABSENT}"
_REMEDY_FILES: Final = "raise the limit of open files, `ulimit -n 4096`"
_REMEDY_STUCK: Final = "measure on the host of this virtual machine, or check the pipeline with `--meter modelled`"


class RaplPerfMeter:
    """RAPL through the PMU ``power``, one counter per domain and package.

    Args:
        root: Where sysfs is; anything but the machine's own ``/sys``, or a PMU that is the kernel's software, makes
            the meter `simulated`.

    Raises:
        MeterUnavailable: no such PMU, no package among its events, or counters that stand still, as in virtual
            machines that show the PMU without the hardware.
        MeterPermissionError: perf_event_open refuses this user.
    """

    name = "rapl:perf"

    def __init__(self, root: Path | str = "/sys") -> None:
        root = Path(root)
        self.clock: Clock = MonotonicClock()
        self.nominal_update_period_s: Second | None = NOMINAL_UPDATE_PERIOD_S
        self.integrates_whole_period = INTEGRATES_WHOLE_PERIOD
        pmu = _find_pmu(root)
        real = os.path.realpath(root) == "/sys" and is_real_sysfs(pmu.directory / "type")
        self.kind: Kind = "measured" if real and pmu.type >= FIRST_DYNAMIC_TYPE else "simulated"
        domains: list[Domain] = []
        #: Name, descriptor, and one count in nanojoules as numerator and denominator: whole numbers from end to end.
        self._counters: list[tuple[str, int, int, int]] = []
        try:
            for domain, config, cpu, numerator, denominator in _plan(pmu, root):
                self._counters.append((domain.name, _open(pmu, config, cpu), numerator, denominator))
                domains.append(domain)
            self.domains: tuple[Domain, ...] = tuple(domains)
            self._worth = [(name, numerator, denominator) for name, _, numerator, denominator in self._counters]
            if not any(d.parent is None and d.in_total for d in domains):
                names = ", ".join(d.name for d in domains) or "no energy event"
                raise MeterUnavailable(f"the PMU power shows {names} and no package; {REMEDY_NO_PMU}")
            self._refuse_stuck()
        except BaseException:
            self.close()
            raise

    def read(self) -> Reading:
        """Poll every counter once. Raises MeterUnavailable."""
        return self.parse(self.read_raw())

    def read_raw(self) -> RawReading:
        """Poll every counter once, for `parse` later. Raises MeterUnavailable."""
        counters = self._counters
        counts: list[bytes] = []
        time_ns = time.monotonic_ns()
        try:
            for _, descriptor, _, _ in counters:
                counts.append(os.read(descriptor, _COUNT_BYTES))  # their number says which one failed
        except OSError as error:
            name = counters[len(counts)][0]
            raise MeterUnavailable(
                f"the perf counter of {name} cannot be read ({error.strerror}); {_REMEDY_STUCK}"
            ) from None
        if not counts:
            raise MeterUnavailable("the RAPL meter was closed; open it again")
        return time_ns, counts

    def parse(self, raw: RawReading) -> Reading:
        """What `read_raw` gave, in nanojoules. Raises MeterUnavailable where a counter has ended."""
        time_ns, counts = raw
        energy_nj: dict[str, Nanojoule] = {}
        for (name, numerator, denominator), count in zip(self._worth, counts, strict=True):
            if not count:
                # The kernel's answer where a counter is in error state, as after its CPU was switched off.
                raise MeterUnavailable(f"the perf counter of {name} has ended (CPU offline?); open the meter again")
            energy_nj[name] = int.from_bytes(count, sys.byteorder) * numerator // denominator
        return Reading(time_ns, energy_nj)

    def close(self) -> None:
        """Close the counters; a second call does nothing."""
        counters, self._counters = self._counters, []
        for _, descriptor, _, _ in counters:
            os.close(descriptor)

    def _refuse_stuck(self) -> None:
        first = self.read()
        deadline_ns = first.time_ns + round(PROBE_S * 1e9)
        names = [d.name for d in self.domains if d.parent is None and d.in_total]
        while True:
            time.sleep(_PROBE_POLL_S)
            reading = self.read()
            if any(reading.energy_nj[name] != first.energy_nj[name] for name in names):
                return
            if reading.time_ns >= deadline_ns:
                raise MeterUnavailable(
                    f"the PMU power is there and its counters stood still for {PROBE_S:g} s; {_REMEDY_STUCK}"
                )


def discover(root: Path | str = "/sys") -> list[MeterInfo]:
    """What `energybench doctor` says of RAPL through perf_event. Raises what opening the meter raises."""
    meter = RaplPerfMeter(root)
    try:
        observed = f"{len(meter.domains)} counters: {', '.join(d.name for d in meter.domains)}"
        return [MeterInfo(meter.name, available=True, kind=meter.kind, observed=observed, domains=meter.domains)]
    finally:
        meter.close()


def _find_pmu(root: Path) -> Pmu:
    directory = root / "bus" / "event_source" / "devices" / "power"
    try:
        return read_pmu(directory)
    except PermissionError as error:
        raise MeterPermissionError(f"{error.filename} may not be read by this user; {REMEDY_PERMISSION}") from None
    except FileNotFoundError as error:
        what = f"no {directory}" if not directory.exists() else f"the PMU power lacks {error.filename}"
        raise MeterUnavailable(f"{what} on this machine; {REMEDY_NO_PMU}") from None
    except (OSError, ValueError) as error:
        raise MeterUnavailable(
            f"the PMU power is described in a way not understood ({error}); {REMEDY_NO_PMU}"
        ) from None


def _plan(pmu: Pmu, root: Path) -> list[tuple[Domain, int, int, int, int]]:
    """Domain, config, CPU and the worth of a count, for every event on every package."""
    packages = package_suffixes(pmu.cpus, root)
    plan: list[tuple[Domain, int, int, int, int]] = []
    psys_seen = 0
    for event in pmu.events:
        zone = _EVENTS.get(event.name)
        if zone is None:
            continue
        if event.unit != "Joules":
            raise MeterUnavailable(f"{event.name} counts {event.unit!r}, not Joules; {REMEDY_NO_PMU}")
        worth_nj = event.scale * NJ_PER_J
        if worth_nj <= 0:
            raise MeterUnavailable(f"{event.name} has the scale {event.scale}; update the kernel")
        for cpu, suffix in zip(pmu.cpus, packages, strict=True):
            name = f"{zone}-{suffix}"
            if zone == "psys":
                # One board has one; a machine whose packages each show one gets them numbered.
                name = "psys" if psys_seen == 0 else f"psys-{psys_seen}"
                psys_seen += 1
            domain = Domain(
                name=name,
                parent=f"package-{suffix}" if zone in ("core", "uncore") else None,
                resolution_nj=max(RESOLUTION_NJ, -(-worth_nj.numerator // worth_nj.denominator)),
                # No bound for psys: it covers whole machines, and a counter that cannot wrap needs none.
                max_power_w=None if zone == "psys" else MAX_POWER_W,
                gain_rel=GAIN_REL,
                in_total=zone != "psys",
            )
            plan.append((domain, event.config, cpu, worth_nj.numerator, worth_nj.denominator))
    return plan


def _open(pmu: Pmu, config: int, cpu: int) -> int:
    try:
        return open_counter(pmu.type, config, cpu)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM):
            raise MeterPermissionError(
                f"perf_event_open refuses this user (kernel.perf_event_paranoid is {_paranoid()}); {REMEDY_PERMISSION}"
            ) from None
        remedy = _REMEDY_FILES if error.errno == errno.EMFILE else REMEDY_NO_PMU
        raise MeterUnavailable(f"perf_event_open fails on the PMU power ({error.strerror}); {remedy}") from None


def _paranoid() -> str:
    try:
        return Path("/proc/sys/kernel/perf_event_paranoid").read_text(encoding="ascii").strip()
    except OSError:
        return "unknown"
