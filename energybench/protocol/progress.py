"""`Progress`: what a long run tells whoever watches it."""

from __future__ import annotations

from typing import Protocol

from energybench.records.run_record import RunRecord


class Progress(Protocol):
    """Callbacks of a run, called outside the windows. None of them may raise."""

    def started(self, *, design: str, meter: str, kind: str, rows: int, done: int) -> None:
        """The run begins: planned rows at most, and how many a resumed run has already."""
        ...

    def row_done(self, record: RunRecord, *, done: int, rows: int, width_rel: float | None) -> None:
        """A window was recorded; `record.valid` and `record.invalid_reason` say whether it counts.

        `rows` are expected in all; `width_rel` is the relative half-width of its workload's 95 % interval so far.
        """
        ...

    def skipped(self, workload: str, reason: str) -> None:
        """A workload cannot run here and is left out."""
        ...

    def finished(self, status: str) -> None:
        """The run ended: ``finished``, ``budget``, ``interrupted``, ``refused``, ``full`` or ``failed``."""
        ...


class SilentProgress:
    """Says nothing."""

    def started(self, *, design: str, meter: str, kind: str, rows: int, done: int) -> None:
        """Nothing."""

    def row_done(self, record: RunRecord, *, done: int, rows: int, width_rel: float | None) -> None:
        """Nothing."""

    def skipped(self, workload: str, reason: str) -> None:
        """Nothing."""

    def finished(self, status: str) -> None:
        """Nothing."""
