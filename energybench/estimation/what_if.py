"""What-if tables: the same models on other devices, batch sizes and element types, ranked by energy per sample."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from energybench.errors import ProfileMismatch, UsageError
from energybench.estimation.amounts import Amounts
from energybench.estimation.estimate import LEVEL, EnergyEstimate, estimate_counts
from energybench.notebook import html_lines, html_table
from energybench.profiles.profile import DeviceProfile
from energybench.records.model_counts import ModelCounts
from energybench.units import Joule, Second, format_si

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class CountedCase:
    """One model at one batch size in one element type, counted.

    `refused`  why it could not be counted; `counts` is None then
    """

    model: str
    batch: int | None
    dtype: str | None
    counts: ModelCounts | None
    amounts: Amounts
    refused: str | None = None


@dataclass(frozen=True)
class WhatIfRow:
    """One case on one device. `refused` says why there is no estimate.

    `rank`   1 is the least energy per sample among rows of the same kind of energy; None without an estimate
    `close`  its interval reaches the best row's interval: the order of the two is not shown
    """

    model: str
    device: str
    profile: str
    kind: str
    batch: int | None
    dtype: str | None
    estimate: EnergyEstimate | None
    refused: str | None = None
    rank: int | None = None
    close: bool = False

    @property
    def energy_per_sample_j(self) -> Joule | None:
        """Per sample where the batch is known, per call otherwise; None without an estimate."""
        if self.estimate is None:
            return None
        per = self.estimate.per()
        return per.get("sample", per["batch"])

    @property
    def time_s(self) -> Second | None:
        """Of one call."""
        return None if self.estimate is None else self.estimate.time_s

    def interval_per_sample_j(self) -> tuple[Joule, Joule] | None:
        """Interval at 90 %, per sample like the energy."""
        if self.estimate is None or (interval := self.estimate.interval(LEVEL)) is None:
            return None
        samples = self.estimate.amounts.samples or 1
        return interval.low_j / samples, interval.high_j / samples

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready mapping."""
        interval = self.interval_per_sample_j()
        return {
            "model": self.model,
            "device": self.device,
            "profile": self.profile,
            "kind": self.kind,
            "batch": self.batch,
            "dtype": self.dtype,
            "rank": self.rank,
            "close_to_best": self.close,
            "energy_j": None if self.estimate is None else self.estimate.energy_j,
            "energy_per_sample_j": self.energy_per_sample_j,
            "low_per_sample_j": None if interval is None else interval[0],
            "high_per_sample_j": None if interval is None else interval[1],
            "time_s": self.time_s,
            "time_kind": None if self.estimate is None else self.estimate.time_kind,
            "extrapolated": None if self.estimate is None else self.estimate.extrapolated,
            "coverage": None if self.estimate is None else self.estimate.coverage,
            "refused": self.refused,
        }


@dataclass(frozen=True)
class WhatIf:
    """All rows, in the order of models, devices, batch sizes and element types that were asked for."""

    rows: tuple[WhatIfRow, ...]

    def ranked(self) -> tuple[WhatIfRow, ...]:
        """By kind of energy, least energy per sample first; rows without an estimate last."""
        return tuple(sorted(self.rows, key=lambda r: (r.kind, r.rank is None, r.rank or 0)))

    def cheapest(self, latency_s: Second | None = None) -> dict[str, WhatIfRow | None]:
        """Model -> its row of least energy per sample whose call takes at most `latency_s`; None where none does.

        Only models that have an estimate at all are named. Where profiles of several kinds were asked for, the kind
        that comes first in the rows decides: joules of different kinds are not compared.
        """
        if latency_s is not None and not latency_s > 0:
            raise UsageError(f"latency bound {latency_s!r} s is not positive; write it as 50ms or 0.05s")
        result: dict[str, WhatIfRow | None] = {}
        for model in dict.fromkeys(row.model for row in self.rows):
            found = [row for row in self.rows if row.model == model and row.rank is not None]
            found = [row for row in found if row.kind == found[0].kind]
            if not found:
                continue
            within = [row for row in found if latency_s is None or (row.time_s is not None and row.time_s <= latency_s)]
            result[model] = min(within, key=lambda row: row.rank or 0, default=None)
        return result

    def fastest(self, model: str) -> WhatIfRow | None:
        """The row of a model whose call takes the least time."""
        timed = [row for row in self.rows if row.model == model and row.time_s is not None]
        return min(timed, key=lambda row: row.time_s or 0.0, default=None)

    def to_frame(self) -> pd.DataFrame:
        """One row each, columns as in `WhatIfRow.to_dict`."""
        import pandas as pd

        return pd.DataFrame([row.to_dict() for row in self.rows])

    def to_dict(self, latency_s: Second | None = None) -> dict[str, Any]:
        """A JSON-ready mapping."""
        return {
            "rows": [row.to_dict() for row in self.rows],
            "latency_bound_s": latency_s,
            "cheapest": {
                model: None if row is None else self.rows.index(row) for model, row in self.cheapest(latency_s).items()
            },
        }

    def _repr_html_(self) -> str:
        rows = [
            (
                row.model,
                row.device,
                row.kind,
                row.batch or "–",
                row.dtype or "–",
                "–" if row.energy_per_sample_j is None else format_si(row.energy_per_sample_j, "J"),
                "–" if row.time_s is None else format_si(row.time_s, "s"),
                row.rank or "–",
            )
            for row in self.ranked()
        ]
        columns = ("model", "device", "kind", "batch", "element type", "per sample", "time of a call", "rank")
        return html_table(columns, rows) + html_lines(sorted({row.refused for row in self.rows if row.refused}))


def what_if(cases: Iterable[CountedCase], profiles: Iterable[DeviceProfile]) -> WhatIf:
    """Price every case with every profile. A case that a profile cannot price is a row that says why."""
    listed = list(profiles)
    rows = [_row(case, profile) for case in cases for profile in listed]
    ranks = _ranks(rows)
    return WhatIf(
        tuple(replace(row, rank=ranks[i][0], close=ranks[i][1]) if i in ranks else row for i, row in enumerate(rows))
    )


def _row(case: CountedCase, profile: DeviceProfile) -> WhatIfRow:
    estimate, refused = None, case.refused
    if case.counts is not None:
        try:
            estimate = estimate_counts(case.counts, profile, amounts=case.amounts)
        except ProfileMismatch as error:
            refused = str(error)
    device = str(profile.environment.get("device_name") or profile.device)
    return WhatIfRow(case.model, device, profile.name, profile.kind, case.batch, case.dtype, estimate, refused)


def _ranks(rows: list[WhatIfRow]) -> Mapping[int, tuple[int, bool]]:
    """Row number -> its rank among rows of its kind, and whether it cannot be told from the best of its model."""
    result: dict[int, tuple[int, bool]] = {}
    for kind in {row.kind for row in rows}:
        there = [i for i, row in enumerate(rows) if row.kind == kind and row.energy_per_sample_j is not None]
        there.sort(key=lambda i: rows[i].energy_per_sample_j or 0.0)
        best: dict[str, tuple[Joule, Joule] | None] = {}
        for rank, i in enumerate(there, start=1):
            interval = rows[i].interval_per_sample_j()
            first = rows[i].model not in best
            top = best.setdefault(rows[i].model, interval)
            close = not first and interval is not None and top is not None and interval[0] <= top[1]
            result[i] = (rank, close)
    return result
