"""`DeviceState`: temperature, clock, slowdown and other load at one edge of a window."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from energybench.protocol.cache_size import last_level_cache_bytes
from energybench.units import Byte, Second, Watt, uw_to_w

#: Slowdowns that spoil a window, as NVML names them. A software power cap is not among them: it is the normal state
#: of large GEMMs, and is recorded through the clock.
SLOWDOWNS: Final = ("sw_thermal_slowdown", "hw_slowdown", "hw_thermal_slowdown", "hw_power_brake_slowdown")


@dataclass(frozen=True, slots=True)
class DeviceState:
    """What the device says of itself at one moment. What is not known is None.

    `slowdowns`       thermal or hardware slowdowns in force
    `other_processes` compute processes on the device that are not this one
    `busy_s own_s`    CPU time of the whole machine and of this process so far, to tell foreign load; CPU devices only
    """

    temp_c: float | None = None
    clock_mhz: float | None = None
    slowdowns: tuple[str, ...] = ()
    other_processes: tuple[int, ...] = ()
    busy_s: Second | None = None
    own_s: Second | None = None


def gpu_state(facts: Mapping[str, Any], *, own_pid: int | None = None) -> DeviceState:
    """The state from what `energybench.meters.nvml` reads of a GPU."""
    reasons: Sequence[str] = facts.get("throttle_reasons") or ()
    return DeviceState(
        temp_c=facts.get("temp_c"),
        clock_mhz=facts.get("clock_sm_mhz"),
        slowdowns=tuple(name for name in reasons if name in SLOWDOWNS),
        other_processes=_others(facts.get("process_ids") or (), os.getpid() if own_pid is None else own_pid),
    )


def _others(process_ids: Sequence[int], own_pid: int) -> tuple[int, ...]:
    """The processes that are not this one.

    In a container NVML lists processes by their numbers outside it, where this one has another: if it is not listed
    by its own number, one of those listed is taken to be it, the latest.
    """
    if own_pid in process_ids:
        return tuple(pid for pid in process_ids if pid != own_pid)
    return tuple(sorted(process_ids)[:-1])


class CpuProbe:
    """Reads the CPU's state from the kernel's files, whose root a test may set.

    Raises nothing: what cannot be read is None.
    """

    def __init__(self, proc: Path = Path("/proc"), sys: Path = Path("/sys")) -> None:
        self._proc, self._sys = proc, sys
        self._tick_hz = os.sysconf("SC_CLK_TCK")

    def state(self) -> DeviceState:
        """The state now."""
        return DeviceState(
            temp_c=self._temp_c(), clock_mhz=self._clock_mhz(), busy_s=self._busy_s(), own_s=time.process_time()
        )

    def _busy_s(self) -> Second | None:
        """CPU time of the machine that was not idle, from the first line of ``/proc/stat`` (proc(5))."""
        try:
            fields = (self._proc / "stat").read_text(encoding="ascii").split("\n", 1)[0].split()
            user, nice, system, _idle, _iowait, irq, softirq = (int(v) for v in fields[1:8])
        except (OSError, ValueError):
            return None
        return (user + nice + system + irq + softirq) / self._tick_hz

    def _clock_mhz(self) -> float | None:
        try:
            lines = (self._proc / "cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
            clocks = [float(line.partition(":")[2]) for line in lines if line.startswith("cpu MHz")]
        except (OSError, ValueError):
            return None
        return sum(clocks) / len(clocks) if clocks else None

    def last_cache_bytes(self) -> Byte | None:
        """Size of all caches of the highest level."""
        return last_level_cache_bytes(self._sys)

    def highest_clock_mhz(self) -> float | None:
        """The highest clock that the governor may choose, from cpufreq, in kHz there."""
        try:
            return (
                int((self._sys / "devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq").read_text(encoding="ascii")) / 1e3
            )
        except (OSError, ValueError):
            return None

    def power_limit_w(self) -> Watt | None:
        """The long-term limits of all CPU packages together, from powercap; None where one is not told."""
        limits = []
        for zone in sorted(self._sys.glob("class/powercap/intel-rapl:[0-9]*")):
            try:
                if (zone / "name").read_text(encoding="ascii").startswith("package-"):
                    limits.append(uw_to_w(int((zone / "constraint_0_power_limit_uw").read_text(encoding="ascii"))))
            except (OSError, ValueError):
                return None
        return sum(limits) if limits else None

    def _temp_c(self) -> float | None:
        """The package's thermal zone, named ``x86_pkg_temp`` by the kernel; in millikelvin steps of degrees Celsius."""
        for zone in sorted(self._sys.glob("class/thermal/thermal_zone*")):
            try:
                if (zone / "type").read_text(encoding="ascii").strip() == "x86_pkg_temp":
                    return int((zone / "temp").read_text(encoding="ascii")) / 1000
            except (OSError, ValueError):
                continue
        return None


def foreign_cores(before: DeviceState, after: DeviceState, time_s: Second) -> float | None:
    """Mean number of cores that other processes kept busy between two states; None where it cannot be known."""
    if before.busy_s is None or after.busy_s is None or before.own_s is None or after.own_s is None or time_s <= 0:
        return None
    return max(0.0, (after.busy_s - before.busy_s) - (after.own_s - before.own_s)) / time_s
