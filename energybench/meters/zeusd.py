"""`ZeusdMeter`: package and DRAM energy from the Zeus daemon, which reads RAPL for users who may not.

This asks ``/discover`` once and ``/cpu/get_cumulative_energy`` at each read. The daemon corrects wraps when it is
asked, so it must be asked more often than a counter wraps: `keep_alive_s`. GPUs are `ZeusdGpuMeter`'s.
"""

from __future__ import annotations

import time
from typing import Final

from energybench.errors import MeterUnavailable
from energybench.meters.base import MeterInfo
from energybench.meters.clock import Clock, MonotonicClock
from energybench.meters.rapl_powercap import GAIN_REL, MAX_POWER_W, NOMINAL_UPDATE_PERIOD_S
from energybench.meters.zeusd_client import ZeusdClient
from energybench.meters.zeusd_gpu import discover_gpus
from energybench.records.reading import Domain, Reading
from energybench.records.vocabulary import Kind
from energybench.units import NJ_PER_UJ, Second, uj_to_nj

#: Half the time in which the smallest RAPL range (65.5 kJ, 2^32 counts of 15.3 µJ) wraps at the power bound.
KEEP_ALIVE_S: Final[Second] = 32.0


class ZeusdMeter:
    """CPU packages and DRAM through the daemon's socket.

    Args:
        socket_path: The daemon's socket; ``ZEUSD_SOCK_PATH`` or the daemon's default when None.

    Raises:
        MeterUnavailable: no daemon, no CPUs behind it, or an answer that is not understood.
        MeterPermissionError: its socket may not be used, or it wants a token.
    """

    name = "zeusd"
    keep_alive_s: Second = KEEP_ALIVE_S

    def __init__(self, socket_path: str | None = None) -> None:
        self._client = ZeusdClient(socket_path, other="rapl")
        self.clock: Clock = MonotonicClock()
        self.nominal_update_period_s: Second | None = NOMINAL_UPDATE_PERIOD_S
        try:
            found = self._client.get("/discover")
            if "cpu-read" not in found.get("enabled_api_groups", ()):
                raise MeterUnavailable(
                    f"the Zeus daemon at {self._client.path} does not serve CPUs; {self._client.remedy_absent}"
                )
            names: list[str] = []
            for cpu in found.get("cpus", ()):
                names.append(f"package-{int(cpu['id'])}")
                if cpu.get("dram_available"):
                    names.append(f"dram-{int(cpu['id'])}")
            if not names:
                raise MeterUnavailable(f"the Zeus daemon at {self._client.path} has no CPU to read; use --meter rapl")
            self.domains: tuple[Domain, ...] = tuple(
                Domain(name=n, resolution_nj=NJ_PER_UJ, max_power_w=MAX_POWER_W, gain_rel=GAIN_REL) for n in names
            )
            self.kind: Kind = self._client.kind()
            self.read()
        except (KeyError, TypeError, ValueError, AttributeError):
            self.close()
            raise self._client.not_understood() from None
        except BaseException:
            self.close()
            raise

    def read(self) -> Reading:
        """Ask once. Raises MeterUnavailable, MeterPermissionError."""
        time_ns = time.monotonic_ns()
        answer = self._client.get("/cpu/get_cumulative_energy?cpu=true&dram=true")
        energy_nj: dict[str, int] = {}
        try:
            for domain in self.domains:
                zone, _, number = domain.name.partition("-")
                energy_uj = answer[number]["cpu_energy_uj" if zone == "package" else "dram_energy_uj"]
                if type(energy_uj) is not int:
                    raise TypeError
                energy_nj[domain.name] = uj_to_nj(energy_uj)
        except (KeyError, TypeError):
            raise self._client.not_understood() from None
        return Reading(time_ns, energy_nj)

    def close(self) -> None:
        """Close the connection; a second call does nothing."""
        self._client.close()


def discover() -> list[MeterInfo]:
    """What ``doctor`` says of the Zeus daemon: its CPUs, and its GPUs where it has some. Raises as opening does."""
    gpus = discover_gpus()
    try:
        meter = ZeusdMeter()
    except MeterUnavailable:
        if gpus:
            return gpus
        raise
    try:
        observed = f"a Zeus daemon with {', '.join(d.name for d in meter.domains)}"
        return [MeterInfo(meter.name, True, meter.kind, observed, domains=meter.domains), *gpus]
    finally:
        meter.close()
