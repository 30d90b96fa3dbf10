"""`Iterations`: counts a program's iterations while it runs, by lines of its output or by what it tells, with energy.

A line of the program's output that matches a pattern ends one iteration; what it writes is passed on as it comes. A
program that uses `energybench.callbacks` tells its steps, and how many there will be, without any pattern.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from typing import IO, Final

from energybench.app.extrapolation import Extrapolation, Mark, extrapolate
from energybench.app.running_energy import RunningEnergy
from energybench.app.watch_channel import StepReport, watching
from energybench.errors import UsageError
from energybench.meters.base import EnergyMeter
from energybench.meters.clock import VirtualClock
from energybench.units import Second

#: Marks are at least this far apart, so that fast iterations do not read the meters each time. A choice: with a
#: counter of 100 ms, closer ones say nothing.
LEAST_APART_S: Final[Second] = 0.1
_CHUNK: Final = 65536
_LINE_END: Final = re.compile(rb"[\r\n]+")
#: A line longer than this is cut: no pattern needs more.
_LONGEST_LINE: Final = 65536


def sees_running_programs(meter: EnergyMeter) -> bool:
    """False for a virtual device, and for the model of CPU time, which knows a program's when it has ended."""
    return not isinstance(meter.clock, VirtualClock) and meter.kind in ("measured", "simulated")


class Iterations:
    """Marks of a running program.

    Args:
        meters: What its energy is read from.
        total: How many iterations the whole run has; None until the program tells.
        pattern: A regular expression; each line of output in which it is found ends an iteration.

    Raises:
        UsageError: the pattern is no regular expression, a total that is not positive, or a meter that does not see a
            program while it runs.
    """

    def __init__(self, meters: Sequence[EnergyMeter], *, total: int | None, pattern: str | None = None) -> None:
        if total is not None and total < 1:
            raise UsageError(f"a run of {total} iterations is none; give --of a positive number")
        try:
            self._pattern = None if pattern is None else re.compile(pattern.encode())
        except re.error as error:
            raise UsageError(f"--iteration {pattern!r} is no regular expression ({error}); mend it") from None
        if not all(sees_running_programs(meter) for meter in meters):
            raise UsageError(
                f"the meter {meters[0].name} does not see a program while it runs, so nothing can be extrapolated; use "
                "a meter that measures, or leave out --of and --iteration"
            )
        self._running = RunningEnergy(meters, 1.0, lambda _totals: None)
        self._kind = meters[0].kind
        self._lock = threading.Lock()
        self._newest_s = -LEAST_APART_S
        self._pending = 0
        self._threads: list[threading.Thread] = []
        self.total = total
        self.done = 0
        self.marks: list[Mark] = []

    @property
    def watches_output(self) -> bool:
        """Whether the program's output must go through this process."""
        return self._pattern is not None

    def advance(self, done: int) -> None:
        """So many iterations are done."""
        with self._lock:
            if done <= self.done:
                return
            self.done = done
            now_s = time.monotonic()
            if now_s - self._newest_s < LEAST_APART_S:
                return
            totals = self._running.totals()
            if totals is not None:
                self._newest_s = now_s
                self.marks.append(Mark(done, totals.energy_j, totals.time_s))

    def told(self, report: StepReport) -> None:
        """A program under the callbacks told its steps."""
        if self.total is None:
            self.total = report.total_steps
        if not self.watches_output:
            self.advance(report.steps)

    @contextlib.contextmanager
    def told_by_callbacks(self) -> Iterator[None]:
        """While this lasts, a program that is started and uses the callbacks tells its steps here."""
        with watching(self.told):
            yield

    def whole_run(self) -> Extrapolation | None:
        """What the whole run will take; None where too little was seen or nobody said how long it is."""
        with self._lock:
            marks = list(self.marks)
        return None if self.total is None else extrapolate(marks, self.total, kind=self._kind)

    def start_program(self, argv: Sequence[str]) -> subprocess.Popen[bytes]:
        """Start a program; with a pattern, what it writes is passed on and counted. Raises as `subprocess.Popen`."""
        if not self.watches_output:
            return subprocess.Popen(list(argv))
        # Python keeps what it writes to a pipe in a buffer, and its lines would come late.
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        child = subprocess.Popen(list(argv), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
        assert child.stdout is not None
        assert child.stderr is not None
        self._threads = [
            threading.Thread(target=self._read_out, args=(pipe, descriptor), daemon=True)
            for pipe, descriptor in ((child.stdout, 1), (child.stderr, 2))
        ]
        for thread in self._threads:
            thread.start()
        return child

    def finish_output(self, timeout_s: Second = 5.0) -> None:
        """Wait until all that the ended program wrote was passed on; what its own children still write is not."""
        for thread in self._threads:
            thread.join(timeout_s)

    def _read_out(self, pipe: IO[bytes], target: int) -> None:
        with pipe:
            self._pass_on(pipe.fileno(), target)

    def _pass_on(self, source: int, target: int) -> None:
        rest = b""
        while chunk := os.read(source, _CHUNK):
            view = memoryview(chunk)
            while view:
                view = view[os.write(target, view) :]
            *lines, rest = _LINE_END.split(rest + chunk)
            rest = rest[-_LONGEST_LINE:]
            for line in lines:
                self._count(line)
        self._count(rest)

    def _count(self, line: bytes) -> None:
        if self._pattern is not None and self._pattern.search(line):
            with self._lock:
                self._pending += 1
                done = self._pending
            self.advance(done)
