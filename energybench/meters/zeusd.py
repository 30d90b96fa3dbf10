"""`ZeusdMeter`: package and DRAM energy from the Zeus daemon, which reads RAPL for users who may not.

The daemon (zeusd, part of Zeus) answers HTTP over a Unix socket; this asks ``/discover`` once and
``/cpu/get_cumulative_energy`` at each read (docs/zeusd/api.md of Zeus 0.16). It corrects wraps when it is asked, so it
must be asked more often than a counter wraps: `keep_alive_s`. CPUs only: GPUs need no daemon to be read.

The numbers are `measured` only where the other end of the socket is a process of root that is called zeusd.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import struct
import time
from pathlib import Path
from typing import Any, Final

from energybench.errors import MeterPermissionError, MeterUnavailable
from energybench.meters.base import MeterInfo
from energybench.meters.clock import Clock, MonotonicClock
from energybench.meters.rapl_powercap import GAIN_REL, MAX_POWER_W, NOMINAL_UPDATE_PERIOD_S
from energybench.records.reading import Domain, Reading
from energybench.records.vocabulary import Kind
from energybench.units import NJ_PER_UJ, Second, uj_to_nj

#: Default of the daemon (zeusd/src/config.rs) and the variable that Zeus's own clients read.
SOCKET_PATH: Final = "/run/zeusd/zeusd.sock"
SOCKET_VARIABLE: Final = "ZEUSD_SOCK_PATH"
TIMEOUT_S: Final[Second] = 2.0
#: Half the time in which the smallest RAPL range (65.5 kJ, 2^32 counts of 15.3 µJ) wraps at the power bound.
KEEP_ALIVE_S: Final[Second] = 32.0
#: pid, uid, gid of SO_PEERCRED.
_CREDENTIALS: Final = struct.Struct("3i")
_REMEDY_ABSENT: Final = (
    "start it with `sudo zeusd serve --socket-path /run/zeusd/zeusd.sock` (pip does not install it; `cargo install "
    "zeusd`), or use --meter rapl"
)
_REMEDY_PERMISSION: Final = "start zeusd with `--socket-permissions 666`, or join the group of its socket"


class _Connection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


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
        self._path = socket_path or os.environ.get(SOCKET_VARIABLE) or SOCKET_PATH
        self.clock: Clock = MonotonicClock()
        self.nominal_update_period_s: Second | None = NOMINAL_UPDATE_PERIOD_S
        self._connection: _Connection | None = _Connection(self._path)
        try:
            found = self._get("/discover")
            if "cpu-read" not in found.get("enabled_api_groups", ()):
                raise MeterUnavailable(f"the Zeus daemon at {self._path} does not serve CPUs; {_REMEDY_ABSENT}")
            names: list[str] = []
            for cpu in found.get("cpus", ()):
                names.append(f"package-{int(cpu['id'])}")
                if cpu.get("dram_available"):
                    names.append(f"dram-{int(cpu['id'])}")
            if not names:
                raise MeterUnavailable(f"the Zeus daemon at {self._path} has no CPU to read; use --meter rapl")
            self.domains: tuple[Domain, ...] = tuple(
                Domain(name=n, resolution_nj=NJ_PER_UJ, max_power_w=MAX_POWER_W, gain_rel=GAIN_REL) for n in names
            )
            self.kind: Kind = "measured" if self._is_daemon() else "simulated"
            self.read()
        except (KeyError, TypeError, ValueError, AttributeError):
            self.close()
            raise self._not_understood() from None
        except BaseException:
            self.close()
            raise

    def read(self) -> Reading:
        """Ask once. Raises MeterUnavailable, MeterPermissionError."""
        time_ns = time.monotonic_ns()
        answer = self._get("/cpu/get_cumulative_energy?cpu=true&dram=true")
        energy_nj: dict[str, int] = {}
        try:
            for domain in self.domains:
                zone, _, number = domain.name.partition("-")
                energy_uj = answer[number]["cpu_energy_uj" if zone == "package" else "dram_energy_uj"]
                if type(energy_uj) is not int:
                    raise TypeError
                energy_nj[domain.name] = uj_to_nj(energy_uj)
        except (KeyError, TypeError):
            raise self._not_understood() from None
        return Reading(time_ns, energy_nj)

    def close(self) -> None:
        """Close the connection; a second call does nothing."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _get(self, path: str) -> Any:
        if self._connection is None:
            raise MeterUnavailable("the Zeus daemon's meter was closed; open it again")
        token = os.environ.get("ZEUSD_TOKEN")
        try:
            self._connection.request("GET", path, headers={"Authorization": f"Bearer {token}"} if token else {})
            response = self._connection.getresponse()
            body = response.read()
        except PermissionError:
            raise MeterPermissionError(f"{self._path} may not be used by this user; {_REMEDY_PERMISSION}") from None
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            reason = getattr(error, "strerror", None) or type(error).__name__
            raise MeterUnavailable(f"no Zeus daemon answers at {self._path} ({reason}); {_REMEDY_ABSENT}") from None
        if response.status in (401, 403):
            raise MeterPermissionError("the Zeus daemon wants a token; set ZEUSD_TOKEN as its keeper gave it")
        if response.status != 200:
            text = " ".join(body.decode(errors="replace").split())[:120]
            raise MeterUnavailable(f"the Zeus daemon answers {response.status} to {path} ({text}); see its log")
        try:
            return json.loads(body)
        except ValueError:
            raise self._not_understood() from None

    def _not_understood(self) -> MeterUnavailable:
        return MeterUnavailable(
            f"the answer of the Zeus daemon at {self._path} is not that of zeusd 0.5; use --meter rapl"
        )

    def _is_daemon(self) -> bool:
        """Whether a process of root that is called zeusd holds the other end."""
        connection = self._connection
        if connection is None or connection.sock is None:
            return False
        data = connection.sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        pid, uid, _ = _CREDENTIALS.unpack(data)
        try:
            command = Path(f"/proc/{pid}/comm").read_text(encoding="ascii", errors="replace").strip()
        except OSError:
            return False
        return uid == 0 and command == "zeusd"


def discover() -> list[MeterInfo]:
    """What ``doctor`` says of the Zeus daemon. Raises what opening the meter raises."""
    meter = ZeusdMeter()
    try:
        observed = f"a Zeus daemon with {', '.join(d.name for d in meter.domains)}"
        return [MeterInfo(meter.name, True, meter.kind, observed, domains=meter.domains)]
    finally:
        meter.close()
