"""`TimedOperator`: how long one operator took, without any energy: a thousand take less than a dozen meter windows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

from energybench.errors import RecordError
from energybench.records.op_counts import OpCounts
from energybench.records.timing import Timing, read_timings
from energybench.records.vocabulary import KERNEL_CLASSES, KernelClass

TIMINGS_NAME: Final = "timings.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedOperator(Timing):
    """One operator, run by itself: `counts` of one call."""

    kernel_class: KernelClass
    counts: OpCounts

    what: ClassVar[str] = "operator"
    # Format history. A reader refuses a version it does not know and says so.
    #   1   first version
    schema_version: ClassVar[int] = 1
    file_name: ClassVar[str] = TIMINGS_NAME

    def __post_init__(self) -> None:
        if self.kernel_class not in KERNEL_CLASSES:
            raise RecordError(f"kernel_class={self.kernel_class!r} is not one of {', '.join(KERNEL_CLASSES)}")
        Timing.__post_init__(self)

    def parts(self) -> dict[str, Any]:
        """Its class and counts."""
        return {"kernel_class": self.kernel_class, "counts": self.counts.to_dict()}

    @classmethod
    def read_parts(cls, data: Mapping[str, Any]) -> dict[str, Any]:
        """The inverse of `parts`."""
        return {"kernel_class": data["kernel_class"], "counts": OpCounts.from_dict(data["counts"])}


def read_timed_operators(path: Path) -> list[TimedOperator]:
    """The timings of a file, or of the one in a directory. Raises RecordError with the line of what cannot be one."""
    return read_timings(TimedOperator, path)
