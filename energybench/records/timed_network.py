"""`TimedNetwork`: how long one call of a network took, without any energy, beside the counts of its operators.

No law is learnt from networks: they say how far a law that was learnt from operators misses (`time_intervals`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from energybench.errors import RecordError
from energybench.records.jsonl import iter_jsonl
from energybench.records.model_counts import ModelCounts
from energybench.units import Second

TIMED_NETWORKS_NAME: Final = "timed_networks.jsonl"

# Format history. A reader refuses a version it does not know and says so.
#   1   first version
SCHEMA_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class TimedNetwork:
    """One network at one size, run over and over: `counts` and wall time of one call. `network` names all its sizes."""

    network: str
    workload: str
    device: str
    counts: ModelCounts
    time_s: Second

    def __post_init__(self) -> None:
        if not 0 < self.time_s < float("inf"):
            raise RecordError(f"time_s={self.time_s!r} is no duration; time the network again")

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready mapping."""
        return {
            "schema_version": SCHEMA_VERSION,
            "network": self.network,
            "workload": self.workload,
            "device": self.device,
            "counts": self.counts.to_dict(),
            "time_s": self.time_s,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TimedNetwork:
        """The inverse of `to_dict`. Raises RecordError."""
        if data.get("schema_version") != SCHEMA_VERSION:
            raise RecordError(
                f"timed network has schema version {data.get('schema_version')!r}, this energybench reads "
                f"{SCHEMA_VERSION}; read it with the version that wrote it"
            )
        try:
            return cls(
                network=str(data["network"]),
                workload=str(data["workload"]),
                device=str(data["device"]),
                counts=ModelCounts.from_dict(data["counts"]),
                time_s=float(data["time_s"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise RecordError(f"timed network is malformed ({error}); write it with TimedNetwork.to_dict") from error


def read_timed_networks(path: Path) -> list[TimedNetwork]:
    """The networks of a file, or of the one in a directory. Raises RecordError with the line of what cannot be one."""
    file = path / TIMED_NETWORKS_NAME if path.is_dir() else path
    timed = []
    for number, row in iter_jsonl(file):
        try:
            timed.append(TimedNetwork.from_dict(row))
        except RecordError as error:
            raise RecordError(f"{file}:{number}: {error}") from None
    return timed
