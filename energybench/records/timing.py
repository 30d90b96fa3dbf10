"""`Timing`: how long one call of something took, run over and over, without any energy; read from and kept in lines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

from energybench.errors import RecordError
from energybench.records.jsonl import iter_jsonl
from energybench.units import Second


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Wall time of one call of `workload` on `device`. Raises RecordError on a time that is no duration.

    A kind of timing names what it is of (`what`), its format's version and its file, and adds its own parts.
    """

    workload: str
    device: str
    time_s: Second

    what: ClassVar[str]
    schema_version: ClassVar[int]
    file_name: ClassVar[str]

    def __post_init__(self) -> None:
        if not 0 < self.time_s < float("inf"):
            raise RecordError(f"time_s={self.time_s!r} is no duration; time the {self.what} again")

    def parts(self) -> dict[str, Any]:
        """What this kind adds, JSON-ready."""
        raise NotImplementedError

    @classmethod
    def read_parts(cls, data: Mapping[str, Any]) -> dict[str, Any]:
        """The inverse of `parts`."""
        raise NotImplementedError

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready mapping."""
        own = {"workload": self.workload, "device": self.device, "time_s": self.time_s}
        return {"schema_version": self.schema_version, **own, **self.parts()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`. Raises RecordError."""
        if data.get("schema_version") != cls.schema_version:
            raise RecordError(
                f"timed {cls.what} has schema version {data.get('schema_version')!r}, this energybench reads "
                f"{cls.schema_version}; read it with the version that wrote it"
            )
        try:
            return cls(
                workload=str(data["workload"]),
                device=str(data["device"]),
                time_s=float(data["time_s"]),
                **cls.read_parts(data),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise RecordError(f"timed {cls.what} is malformed ({error}); time it again") from error


T = TypeVar("T", bound=Timing)


def read_timings(kind: type[T], path: Path) -> list[T]:
    """The timings of a file, or of the one in a directory. Raises RecordError with the line of what cannot be one."""
    file = path / kind.file_name if path.is_dir() else path
    timed = []
    for number, row in iter_jsonl(file):
        try:
            timed.append(kind.from_dict(row))
        except RecordError as error:
            raise RecordError(f"{file}:{number}: {error}") from None
    return timed
