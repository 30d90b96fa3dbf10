"""`ReportData`: everything a report is made from, checked to be of one kind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from energybench.errors import RecordError
from energybench.records.environment import Environment
from energybench.records.vocabulary import KINDS
from energybench.records.window_readings import WindowReadings

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class ReportData:
    """One run and what analysis made of it.

    `records`       the table of `energybench.load_records`, invalid windows included
    `fit`           `FitResult.to_dict()`
    `profile`       `DeviceProfile.to_dict()`
    `comparison`    `Comparison.to_dict()`
    `environments`  by hash, as records refer to them
    `manifest`      the run's ``run.json``
    `readings`      the meter's readings at the edges of each window, by row; empty where none were kept
    `created_utc`   when the report was made, ISO 8601; left out of the page where None

    Raises RecordError when records, fit and comparison do not share one kind of energy: a modelled or simulated
    joule would then stand under the name of a measured one.
    """

    records: pd.DataFrame
    fit: Mapping[str, Any]
    profile: Mapping[str, Any]
    comparison: Mapping[str, Any]
    environments: Mapping[str, Environment] = field(default_factory=dict)
    manifest: Mapping[str, Any] = field(default_factory=dict)
    readings: Mapping[str, WindowReadings] = field(default_factory=dict)
    title: str = "energybench run"
    created_utc: str | None = None

    def __post_init__(self) -> None:
        if len(self.records) == 0:
            raise RecordError("there are no records to report; calibrate first: energybench calibrate --design quick")
        kinds = {str(kind) for kind in self.records["kind"]}
        if len(kinds) > 1:
            raise RecordError(f"records mix the kinds {', '.join(sorted(kinds))}; report each kind by itself")
        kind = kinds.pop()
        if kind not in KINDS:
            raise RecordError(f"records are of the unknown kind {kind!r}; use one of {', '.join(KINDS)}")
        for name, part in (("fit", self.fit), ("comparison", self.comparison)):
            if part.get("kind", kind) != kind:
                raise RecordError(
                    f"the {name} is of kind {part['kind']!r} and the records are {kind}; make both from the same run"
                )

    @property
    def kind(self) -> str:
        """Where every joule of the page comes from."""
        return str(self.records["kind"].iloc[0])
