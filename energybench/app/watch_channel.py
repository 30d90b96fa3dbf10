"""What a watched program tells its watcher: steps done and the energy estimated for them, over a local socket.

`energybench watch` names the socket in the environment; the callbacks of a training loop that runs under it send a
datagram now and then. A watcher that has gone, or is busy, costs the program nothing: what cannot be sent is dropped.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from energybench.records.vocabulary import KINDS
from energybench.units import Joule

#: Where the watched program finds the socket.
VARIABLE: Final = "ENERGYBENCH_WATCH"
_LONGEST: Final = 4096


@dataclass(frozen=True, slots=True)
class StepReport:
    """Steps since the program began to count, how many there will be, and the energy estimated for those done.

    None where the program does not know, or has no profile.
    """

    steps: int
    estimated_energy_j: Joule | None = None
    estimated_kind: str | None = None
    profile: str | None = None
    total_steps: int | None = None


class WatchChannel:
    """The watcher's end. A thread waits for reports, so that each is known when it comes.

    Args:
        on_report: Called from that thread with every report.
    """

    def __init__(self, on_report: Callable[[StepReport], object] | None = None) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="energybench-watch-")
        self.path = Path(self._folder.name) / "steps"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self.path))
        self._on_report = on_report
        self._newest: StepReport | None = None
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="energybench-steps", daemon=True)
        self._thread.start()

    def newest(self) -> StepReport | None:
        """The last report so far; None before the first."""
        return self._newest

    def _run(self) -> None:
        while True:
            text = self._socket.recv(_LONGEST)
            if not text and self._closing:
                return
            # Anything that is no report is passed over.
            if (report := parse_report(text)) is not None:
                self._newest = report
                if self._on_report is not None:
                    self._on_report(report)

    def close(self) -> None:
        """Take what has come already, then remove the socket."""
        self._closing = True
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            # An empty datagram, after all others, ends the thread.
            sender.sendto(b"", str(self.path))
        self._thread.join()
        self._socket.close()
        self._folder.cleanup()


@contextlib.contextmanager
def watching(on_report: Callable[[StepReport], object] | None = None) -> Iterator[WatchChannel]:
    """A channel whose name programs find that are started while it lasts."""
    channel = WatchChannel(on_report)
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = str(channel.path)
    try:
        yield channel
    finally:
        if before is None:
            os.environ.pop(VARIABLE, None)
        else:
            os.environ[VARIABLE] = before
        channel.close()


def parse_report(text: bytes) -> StepReport | None:
    """A datagram as a report; None where it is none: the program is not ours to trust."""
    try:
        report = StepReport(**json.loads(text))
    except (ValueError, TypeError):
        return None
    steps: object = report.steps
    energy_j: object = report.estimated_energy_j
    sound = (
        type(steps) is int
        and steps >= 0
        and (report.total_steps is None or (type(report.total_steps) is int and report.total_steps > 0))
        and (energy_j is None or (isinstance(energy_j, int | float) and math.isfinite(energy_j)))
        and (report.estimated_kind is None or report.estimated_kind in KINDS)
        and len(str(report.profile)) <= _LONGEST
    )
    return report if sound else None


def send_report(report: StepReport, path: str | None = None) -> None:
    """Tell the watcher, if there is one."""
    target = path or os.environ.get(VARIABLE)
    if not target:
        return
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)
        sender.sendto(json.dumps(asdict(report)).encode(), target)


def against_estimate(energy_j: Joule, kind: str, report: StepReport) -> str:
    """``120 steps, estimated 1.2 kJ (measured +3.4 %)``; no comparison between energies of different kinds."""
    text = f"{report.steps:,} steps"
    if report.estimated_energy_j is None:
        return text
    from energybench.units import format_si

    text += f", estimated {format_si(report.estimated_energy_j, 'J')}"
    if report.estimated_kind != kind:
        return f"{text} from {report.estimated_kind} energy (not comparable with {kind})"
    if report.estimated_energy_j > 0:
        text += f" ({kind} {100 * (energy_j / report.estimated_energy_j - 1):+.1f} %)"
    return text
