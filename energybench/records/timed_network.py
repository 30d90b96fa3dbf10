"""`TimedNetwork`: how long one call of a network took, without any energy, beside the counts of its operators.

No law is learnt from networks: they say how far a law that was learnt from operators misses (`time_intervals`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

from energybench.records.model_counts import ModelCounts
from energybench.records.timing import Timing, read_timings

TIMED_NETWORKS_NAME: Final = "timed_networks.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedNetwork(Timing):
    """One network at one size: `counts` of one call. `network` names all its sizes."""

    network: str
    counts: ModelCounts

    what: ClassVar[str] = "network"
    # Format history. A reader refuses a version it does not know and says so.
    #   1   first version
    schema_version: ClassVar[int] = 1
    file_name: ClassVar[str] = TIMED_NETWORKS_NAME

    def parts(self) -> dict[str, Any]:
        """Its name and counts."""
        return {"network": self.network, "counts": self.counts.to_dict()}

    @classmethod
    def read_parts(cls, data: Mapping[str, Any]) -> dict[str, Any]:
        """The inverse of `parts`."""
        return {"network": str(data["network"]), "counts": ModelCounts.from_dict(data["counts"])}


def read_timed_networks(path: Path) -> list[TimedNetwork]:
    """The networks of a file, or of the one in a directory. Raises RecordError with the line of what cannot be one."""
    return read_timings(TimedNetwork, path)
