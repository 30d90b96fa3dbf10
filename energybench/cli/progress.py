"""Live progress of a calibration on a terminal, and one line a phase where there is none."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from energybench.cli.console import warn
from energybench.units import format_si

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

    from energybench.protocol.progress import Progress
    from energybench.records.run_record import RunRecord


#: How a run ended (`energybench.protocol.manifest.STATUSES`), for people.
_ENDS: Final = {
    "finished": "finished: every window was taken",
    "budget": "ended: its time is used up",
    "interrupted": "interrupted; --resume goes on with it",
    "refused": "ended: too many windows were invalid",
    "full": "ended: no room on the disk; --resume goes on with it",
    "failed": "failed; --resume goes on with it",
}


class TerminalProgress:
    """A bar with time left, the current workload, its energy with interval and kind; a skipped one gets a line."""

    def __init__(self, bar: Bar) -> None:
        self._bar = bar
        self._task = bar.add_task("calibrating", total=None, start=False)

    def started(self, *, design: str, meter: str, kind: str, rows: int, done: int) -> None:
        """The bar gets its length."""
        self._bar.start_task(self._task)
        self._bar.update(self._task, description=f"{design} with {meter} ({kind})", total=rows, completed=done)

    def row_done(self, record: RunRecord, *, done: int, rows: int, width_rel: float | None) -> None:
        """The bar moves on."""
        width = "" if width_rel is None else f" ± {width_rel:.1%}"
        state = (
            f"{format_si(record.energy_j, 'J')}{width} {record.kind}"
            if record.valid
            else f"invalid: {record.invalid_reason}"
        )
        self._bar.update(self._task, completed=done, total=rows, description=f"{record.workload}: {state}")

    def skipped(self, workload: str, reason: str) -> None:
        """A line above the bar."""
        self._bar.console.print(f"skipped {workload}: {reason}", markup=False)

    def finished(self, status: str) -> None:
        """The bar says how the run ended."""
        self._bar.update(self._task, description=_ENDS[status])


class LineProgress:
    """Two lines and what went wrong: for logs and pipes."""

    def started(self, *, design: str, meter: str, kind: str, rows: int, done: int) -> None:
        """One line."""
        resumed = f", {done} already done" if done else ""
        warn(f"energybench: design {design}, meter {meter} ({kind}), at most {rows} windows{resumed}")

    def row_done(self, record: RunRecord, *, done: int, rows: int, width_rel: float | None) -> None:
        """Nothing unless the window is invalid."""
        if not record.valid:
            warn(f"energybench: invalid window of {record.workload}: {record.invalid_reason}")

    def skipped(self, workload: str, reason: str) -> None:
        """One line."""
        warn(f"energybench: skipped {workload}: {reason}")

    def finished(self, status: str) -> None:
        """One line."""
        warn(f"energybench: calibration {_ENDS[status]}")


@contextmanager
def calibration_progress(*, quiet: bool = False) -> Iterator[Progress | None]:
    """What `calibrate` reports to: a bar on a terminal, lines elsewhere, nothing when `quiet`."""
    if quiet:
        yield None
    elif sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.description}", markup=False),
        )
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            yield TerminalProgress(bar)
    else:
        yield LineProgress()
