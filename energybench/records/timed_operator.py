"""`TimedOperator`: how long one operator took, without any energy: a thousand take less than a dozen meter windows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from energybench.errors import RecordError
from energybench.records.jsonl import iter_jsonl
from energybench.records.op_counts import OpCounts
from energybench.records.vocabulary import KERNEL_CLASSES, KernelClass
from energybench.units import Second

TIMINGS_NAME: Final = "timings.jsonl"

# Format history. A reader refuses a version it does not know and says so.
#   1   first version
SCHEMA_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class TimedOperator:
    """One operator, run over and over by itself: `counts` of one call and the duration of one call, wall time."""

    workload: str
    kernel_class: KernelClass
    device: str
    counts: OpCounts
    time_s: Second

    def __post_init__(self) -> None:
        if self.kernel_class not in KERNEL_CLASSES:
            raise RecordError(f"kernel_class={self.kernel_class!r} is not one of {', '.join(KERNEL_CLASSES)}")
        if not 0 < self.time_s < float("inf"):
            raise RecordError(f"time_s={self.time_s!r} is no duration; time the operator again")

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready mapping."""
        return {
            "schema_version": SCHEMA_VERSION,
            "workload": self.workload,
            "kernel_class": self.kernel_class,
            "device": self.device,
            "counts": self.counts.to_dict(),
            "time_s": self.time_s,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TimedOperator:
        """The inverse of `to_dict`. Raises RecordError."""
        if data.get("schema_version") != SCHEMA_VERSION:
            raise RecordError(
                f"timing has schema version {data.get('schema_version')!r}, this energybench reads {SCHEMA_VERSION}"
                "; read it with the version that wrote it"
            )
        try:
            return cls(
                workload=str(data["workload"]),
                kernel_class=cast(KernelClass, data["kernel_class"]),
                device=str(data["device"]),
                counts=OpCounts.from_dict(data["counts"]),
                time_s=float(data["time_s"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise RecordError(f"timing is malformed ({error}); write it with TimedOperator.to_dict") from error


def read_timed_operators(path: Path) -> list[TimedOperator]:
    """The timings of a file, or of the one in a directory. Raises RecordError with the line of what cannot be one."""
    file = path / TIMINGS_NAME if path.is_dir() else path
    timed = []
    for number, row in iter_jsonl(file):
        try:
            timed.append(TimedOperator.from_dict(row))
        except RecordError as error:
            raise RecordError(f"{file}:{number}: {error}") from None
    return timed
