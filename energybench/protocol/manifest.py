"""`Manifest`: what a run set out to do and how it ended; the file ``run.json``."""

from __future__ import annotations

import uuid
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from energybench.errors import RecordError
from energybench.records.run_directory import RunDirectory, read_json, write_json_atomic
from energybench.units import Second, Watt

# Format history.
#   1   first version
#   2   + device_uuid row_plan
MANIFEST_VERSION: Final = 2
_READABLE: Final = (1, 2)

#: running: not over (or killed); finished: all rows; budget: out of time; interrupted: Ctrl-C; refused: too many
#: windows were invalid; full: no room on the disk, or the run's own cap; failed: the meter went away or a file could
#: not be written. Records are usable in each.
STATUSES: Final = ("running", "finished", "budget", "interrupted", "refused", "full", "failed")

#: What a resumed run must share with the run it goes on with.
_SAME: Final = ("design", "seed", "device", "device_name", "device_uuid", "meter", "kind", "threads")


def utc_now() -> str:
    """The time of day in UTC, ISO 8601, to the second. For people; windows use monotonic time."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass
class Manifest:
    """A run. `skipped` maps a workload that could not run to the reason."""

    design: str
    seed: int
    device: str
    device_name: str
    meter: str
    kind: str
    energybench_version: str
    threads: int | None = None
    device_uuid: str | None = None
    budget_s: Second | None = None
    tdp_w: Watt | None = None
    window_s: Second | None = None
    row_plan: dict[str, Any] | None = None
    workloads: int = 0
    rows: int = 0
    valid_rows: int = 0
    skipped: dict[str, str] = field(default_factory=dict)
    warm_up: dict[str, Any] | None = None
    status: str = "running"
    message: str | None = None
    resumed: int = 0
    run_id: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    started_utc: str = field(default_factory=utc_now)
    ended_utc: str | None = None
    manifest_version: int = MANIFEST_VERSION

    def save(self, run: RunDirectory) -> None:
        """Write ``run.json`` whole. Raises RecordError."""
        write_json_atomic(run.manifest_path, asdict(self))

    @classmethod
    def load(cls, run: RunDirectory) -> Manifest:
        """Read ``run.json``. Raises RecordError on a damaged file or an unknown version."""
        data = read_json(run.manifest_path)
        version = data.get("manifest_version")
        if version not in _READABLE:
            raise RecordError(
                f"{run.manifest_path} has version {version!r}, this energybench reads {_READABLE}; "
                "use the version that wrote it"
            )
        try:
            return cls(**data)
        except TypeError as error:
            raise RecordError(f"{run.manifest_path} is malformed ({error}); restore the file") from error

    def refuse_other(self, other: Manifest) -> None:
        """Raise RecordError unless `other` continues this run."""
        for name in _SAME:
            if name == "device_uuid" and self.manifest_version == 1:
                continue  # not written then
            was, now = getattr(self, name), getattr(other, name)
            if was != now:
                raise RecordError(
                    f"the run was made with {name} {was!r} and cannot go on with {now!r}; "
                    f"use the same {name} or choose another --out"
                )
