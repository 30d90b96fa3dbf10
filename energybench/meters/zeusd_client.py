"""`ZeusdClient`: questions to the Zeus daemon over its Unix socket, and who it is that answers.

The daemon (zeusd, part of Zeus) speaks HTTP (docs/zeusd/api.md of Zeus 0.16). What it says is `measured` only where the
other end of the socket is a process of root that is called zeusd.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import struct
import threading
from pathlib import Path
from typing import Any, Final

from energybench.errors import MeterPermissionError, MeterUnavailable
from energybench.records.vocabulary import Kind
from energybench.units import Second

#: Default of the daemon (zeusd/src/config.rs) and the variable that Zeus's own clients read.
SOCKET_PATH: Final = "/run/zeusd/zeusd.sock"
SOCKET_VARIABLE: Final = "ZEUSD_SOCK_PATH"
TIMEOUT_S: Final[Second] = 2.0
#: pid, uid, gid of SO_PEERCRED.
_CREDENTIALS: Final = struct.Struct("3i")
REMEDY_ABSENT: Final = (
    "start it with `sudo zeusd serve --socket-path /run/zeusd/zeusd.sock` (pip does not install it; `cargo install "
    "zeusd`), or use --meter {other}"
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


class ZeusdClient:
    """An open connection.

    Args:
        socket_path: The daemon's socket; ``ZEUSD_SOCK_PATH`` or the daemon's default when None.
        other: The meter to use where there is no daemon, for the messages.
    """

    def __init__(self, socket_path: str | None = None, *, other: str) -> None:
        self.path = socket_path or os.environ.get(SOCKET_VARIABLE) or SOCKET_PATH
        self.other = other
        self.remedy_absent = REMEDY_ABSENT.format(other=other)
        self._connection: _Connection | None = _Connection(self.path)
        self._asking = threading.Lock()

    def close(self) -> None:
        """Close the connection; a second call does nothing."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def get(self, path: str) -> Any:
        """The answer to one question; threads ask one after another. Raises MeterUnavailable, MeterPermissionError."""
        connection, token = self._connection, os.environ.get("ZEUSD_TOKEN")
        if connection is None:
            raise MeterUnavailable("the Zeus daemon's meter was closed; open it again")
        try:
            with self._asking:
                connection.request("GET", path, headers={"Authorization": f"Bearer {token}"} if token else {})
                response = connection.getresponse()
                body = response.read()
        except PermissionError:
            raise MeterPermissionError(f"{self.path} may not be used by this user; {_REMEDY_PERMISSION}") from None
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            reason = getattr(error, "strerror", None) or type(error).__name__
            raise MeterUnavailable(f"no Zeus daemon answers at {self.path} ({reason}); {self.remedy_absent}") from None
        if response.status in (401, 403):
            raise MeterPermissionError("the Zeus daemon wants a token; set ZEUSD_TOKEN as its keeper gave it")
        if response.status != 200:
            text = " ".join(body.decode(errors="replace").split())[:120]
            raise MeterUnavailable(f"the Zeus daemon answers {response.status} to {path} ({text}); see its log")
        try:
            return json.loads(body)
        except ValueError:
            raise self.not_understood() from None

    def not_understood(self) -> MeterUnavailable:
        """The error for an answer of another shape than the documented one."""
        return MeterUnavailable(
            f"the answer of the Zeus daemon at {self.path} is not that of zeusd 0.5; use --meter {self.other}"
        )

    def kind(self) -> Kind:
        """`measured` where a process of root that is called zeusd holds the other end, else `simulated`."""
        return "measured" if self._is_daemon() else "simulated"

    def _is_daemon(self) -> bool:
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
