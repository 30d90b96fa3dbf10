"""`WindowReadings`: the raw counter pair behind one record, kept so that any value can be derived again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from energybench.errors import RecordError
from energybench.records.reading import Domain, Reading
from energybench.units import Second


@dataclass(frozen=True, slots=True)
class WindowReadings:
    """Begin and end of one window as the meter gave them; a line of ``readings.jsonl``.

    `update_period_s` is the meter's characterised period, which the window's uncertainty depends on, and `aligned`
    says whether both edges were aligned to counter updates.
    """

    row_id: str
    domains: tuple[Domain, ...]
    begin: Reading
    end: Reading
    update_period_s: Second | None = None
    aligned: bool = False

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready mapping."""
        return {
            "row_id": self.row_id,
            "domains": [d.to_dict() for d in self.domains],
            "begin": self.begin.to_dict(),
            "end": self.end.to_dict(),
            "update_period_s": self.update_period_s,
            "aligned": self.aligned,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> WindowReadings:
        """The inverse of `to_dict`. Raises RecordError."""
        try:
            return cls(
                row_id=data["row_id"],
                domains=tuple(Domain.from_dict(d) for d in data["domains"]),
                begin=Reading.from_dict(data["begin"]),
                end=Reading.from_dict(data["end"]),
                update_period_s=data["update_period_s"],
                aligned=data["aligned"],
            )
        except (KeyError, TypeError) as error:
            raise RecordError(f"window readings are malformed ({error}); write them with to_dict") from error
