"""One coefficient of a profile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Coefficient:
    """Value, unit, standard error, interval and verdict, as the fit gave them; None is what the fit did not have.

    `dof`  degrees of freedom of `bse`
    """

    value: float
    unit: str
    bse: float | None
    low: float | None
    high: float | None
    dof: float | None
    verdict: str
    advice: str

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready mapping."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Coefficient:
        """The inverse of `to_dict`, for data that was validated."""
        return cls(**data)
