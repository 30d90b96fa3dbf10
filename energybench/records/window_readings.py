"""`WindowReadings`: the raw counter pair behind one record, kept so that any value can be derived again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from energybench.errors import RecordError
from energybench.records.reading import Domain, Reading
from energybench.units import Second

# Format history of a line of ``readings.jsonl``. A key that is absent has its default, so older lines stay readable.
#   1   row_id domains begin end update_period_s aligned
#   2   + poll_interval_s update_noise_rel, written where they are known
#   3   + idle_row_id, written where an idle window stands beside a row


@dataclass(frozen=True, slots=True)
class WindowReadings:
    """Begin and end of one window as the meter gave them; a line of ``readings.jsonl``.

    `update_period_s` is the meter's characterised period, which the window's uncertainty depends on, and `aligned`
    says whether both edges were aligned to counter updates.

    `poll_interval_s`   the longer of the two times between the polls around an aligned edge, where each update of the
                        counter carries the energy of its whole period; None otherwise: the whole period is then charged
    `update_noise_rel`  relative standard deviation of one counter update, None where it is not known
    `idle_row_id`       the readings of the idle window beside it, which rows of a run short of time share
    """

    row_id: str
    domains: tuple[Domain, ...]
    begin: Reading
    end: Reading
    update_period_s: Second | None = None
    aligned: bool = False
    poll_interval_s: Second | None = None
    update_noise_rel: float | None = None
    idle_row_id: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready mapping; what is not known beyond the first format is left out."""
        optional = {
            "poll_interval_s": self.poll_interval_s,
            "update_noise_rel": self.update_noise_rel,
            "idle_row_id": self.idle_row_id,
        }
        return {
            "row_id": self.row_id,
            "domains": [d.to_dict() for d in self.domains],
            "begin": self.begin.to_dict(),
            "end": self.end.to_dict(),
            "update_period_s": self.update_period_s,
            "aligned": self.aligned,
            **{name: value for name, value in optional.items() if value is not None},
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
                poll_interval_s=data.get("poll_interval_s"),
                update_noise_rel=data.get("update_noise_rel"),
                idle_row_id=data.get("idle_row_id"),
            )
        except (KeyError, TypeError) as error:
            raise RecordError(f"window readings are malformed ({error}); write them with to_dict") from error
