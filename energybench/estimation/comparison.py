"""`compare_records`: what was recorded beside what the profile says, row by row, and beside the null models."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from energybench.errors import ProfileMismatch, RecordError
from energybench.estimation.applicability import refuse_basis, refuse_dtypes
from energybench.estimation.cluster_share import cluster_share_interval
from energybench.estimation.interval import half_widths_j, interval_method
from energybench.model.features import FloatArray
from energybench.model.null_models import NULL_MODELS
from energybench.model.null_table import NullTable
from energybench.model.observations import Observations
from energybench.model.power_cap import capped_time_s
from energybench.model.pricing import PricedRows
from energybench.model.scores import Score, score
from energybench.profiles.profile import DeviceProfile
from energybench.records.device_identity import device_identity, differences
from energybench.records.vocabulary import Kind

if TYPE_CHECKING:
    import pandas as pd

SQRT_2: Final = 2**0.5
#: Rows named as the worst.
WORST_SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class ComparedRow:
    """One row. Errors are (estimated − recorded) / recorded; a number that does not exist is None.

    `recorded_energy_j`  as recorded, of the comparison's kind, gross or net as the profile
    `hit`                whether the recorded energy lies in the interval
    `predicted_time_*`   the estimate had the time not been measured
    """

    run_id: str
    row_id: str
    workload: str
    network: str | None
    family: str
    split: str
    kernel_class: str
    recorded_energy_j: float
    estimated_energy_j: float
    low_j: float | None
    high_j: float | None
    error_rel: float
    hit: bool | None
    time_s: float
    predicted_time_s: float | None
    predicted_time_energy_j: float | None
    predicted_time_error_rel: float | None

    @property
    def name(self) -> str:
        """Network or workload."""
        return self.network or self.workload


@dataclass(frozen=True)
class Comparison:
    """All rows and what they amount to.

    `kind`, `profile_kind`     of the recorded energies and of those behind the profile
    `score`                    of all rows, time measured
    `predicted_time_score`     of all rows, time predicted
    `by_family`, `by_split`, `by_network`  the first, for parts of the rows
    `null_models`              each null model's score on the same rows, with its coefficient from the profile's fit
    `hits`, `with_interval`    how many intervals at `level` hold the recorded energy, of how many
    `coverage_interval`        95 % interval of that share, the network (or workload) being the unit; None below two
    `interval_methods`         how the intervals came about -> how many; a network never calibrates its own
    `left_out`                 why rows were left out -> how many
    """

    rows: tuple[ComparedRow, ...]
    kind: Kind
    profile_kind: Kind
    profile_name: str
    level: float
    score: Score
    predicted_time_score: Score
    by_family: Mapping[str, Score]
    by_split: Mapping[str, Score]
    by_network: Mapping[str, Score]
    null_models: Mapping[str, Score]
    hits: int
    with_interval: int
    coverage_interval: tuple[float, float] | None
    interval_methods: Mapping[str, int]
    left_out: Mapping[str, int]
    notes: tuple[str, ...]

    @property
    def median_ape(self) -> float | None:
        """Median absolute percentage error over all rows, as a fraction."""
        return self.score.median_ape

    @property
    def worst(self) -> tuple[ComparedRow, ...]:
        """The rows with the largest errors, largest first."""
        return tuple(sorted(self.rows, key=lambda r: -abs(r.error_rel))[:WORST_SHOWN])

    def to_frame(self) -> pd.DataFrame:
        """One row per compared row, columns as in `ComparedRow`."""
        import pandas as pd

        return pd.DataFrame([asdict(r) for r in self.rows])

    def to_dict(self) -> dict[str, Any]:
        """The payload of ``compare --json``."""
        return {
            "kind": self.kind,
            "profile_kind": self.profile_kind,
            "profile": self.profile_name,
            "level": self.level,
            "median_ape": self.median_ape,
            "score": self.score.to_dict(),
            "predicted_time": self.predicted_time_score.to_dict(),
            "by_family": {k: v.to_dict() for k, v in self.by_family.items()},
            "by_split": {k: v.to_dict() for k, v in self.by_split.items()},
            "by_network": {k: v.to_dict() for k, v in self.by_network.items()},
            "null_models": {k: v.to_dict() for k, v in self.null_models.items()},
            "intervals": {
                "hits": self.hits,
                "total": self.with_interval,
                "share_low": None if self.coverage_interval is None else self.coverage_interval[0],
                "share_high": None if self.coverage_interval is None else self.coverage_interval[1],
                "methods": dict(self.interval_methods),
            },
            "worst": [{"row": f"{r.run_id}/{r.row_id}", "name": r.name, "error_rel": r.error_rel} for r in self.worst],
            "left_out": dict(self.left_out),
            "notes": list(self.notes),
            "rows": [asdict(r) for r in self.rows],
        }


def compare_records(
    records: pd.DataFrame,
    profile: DeviceProfile,
    *,
    level: float = 0.9,
    environments: Sequence[Mapping[str, Any]] = (),
    other_device: bool = False,
) -> Comparison:
    """Compare recorded energies with the profile's.

    Args:
        records: one row per window; idle and invalid windows are left out.
        profile: whose coefficients.
        level: of the intervals.
        environments: of the records, as `Environment.to_dict` gives them; they tell two machines' CPUs apart.
        other_device: allow records of another device, clock policy or meter than the profile's; a note then says so.

    Raises:
        RecordError: rows that cannot be measurements, or none to compare.
        FitError: rows of several kinds, devices, meters or traffic bases.
        ProfileMismatch: another kind of energy, device, clock policy, meter, traffic basis or element type.
    """
    everything = Observations.from_frame(records, target=profile.target)
    if everything.kind != profile.kind:
        raise ProfileMismatch(
            f"records hold {everything.kind} energy and profile {profile.name} was fitted to {profile.kind} energy; "
            f"compare with a profile fitted to {everything.kind} energy"
        )
    notes = _other_device_notes(everything, profile, environments, allowed=other_device)
    other_card = bool(notes)
    if other_card and profile.meter_gain_rel is not None:
        notes.append(f"intervals hold both meters' scales, ±{profile.meter_gain_rel:.1%} each")
    unknown = set(everything.input_distributions) - set(profile.domain.input_distributions)
    if unknown and profile.domain.input_distributions:
        notes.append(
            f"inputs drawn from {', '.join(sorted(unknown))}, the profile's from "
            f"{', '.join(profile.domain.input_distributions)}: values alone move the energy of matrix products"
        )
    refuse_basis(profile, everything.traffic_basis)
    rows = everything.take(~everything.idle)
    if len(rows) == 0:
        raise RecordError("there are only idle windows; give records of workloads")
    rows = replace(rows, table=rows.table.with_facts(profile.environment.get("facts") or {}))
    refuse_dtypes(profile, rows.table)
    priced = profile.price(rows.table)
    rows = rows.take(priced.design.kept)
    if len(rows) == 0:
        raise ProfileMismatch(
            f"no row has work that equation {profile.equation_name} of profile {profile.name} prices; "
            "use another profile"
        )
    if profile.kind != "measured":
        notes.append(_KIND_NOTES.get(profile.kind, f"{profile.kind} energy, not measured"))
    left_out = {**everything.left_out, **priced.design.dropped}
    return _compare(rows, profile, priced, level, left_out, tuple(notes), other_card=other_card)


_KIND_NOTES: Final = {"modelled": "pipeline check, not energy: the recorded energy is modelled too"}


def _other_device_notes(
    rows: Observations, profile: DeviceProfile, environments: Sequence[Mapping[str, Any]], *, allowed: bool
) -> list[str]:
    notes = []
    for what, theirs, ours in (("device", rows.device, profile.device), ("meter", rows.meter, profile.meter)):
        if theirs != ours:
            if not allowed:
                raise ProfileMismatch(
                    f"records are of {what} {theirs} and profile {profile.name} is of {ours}; "
                    "use the device's own profile, or allow another device if the transfer is what you test"
                )
            notes.append(f"another {what}: records of {theirs}, profile of {ours}")
    ours_now = device_identity(profile.environment)
    unlike = dict.fromkeys(d for e in environments for d in differences(device_identity(e), ours_now))
    if unlike and not allowed:
        raise ProfileMismatch(
            f"the records' machine is not that of profile {profile.name}: {'; '.join(unlike)} (records / profile); "
            "use the machine's own profile, or allow another device if the transfer is what you test"
        )
    notes += [f"another machine or state (records / profile): {what}" for what in unlike]
    return notes


def _compare(
    rows: Observations,
    profile: DeviceProfile,
    priced: PricedRows,
    level: float,
    left_out: Mapping[str, int],
    notes: tuple[str, ...],
    *,
    other_card: bool,
) -> Comparison:
    recorded = rows.energy_j
    estimated = priced.total_j
    errors = estimated / recorded - 1
    networks = [None if n is None else str(n) for n in rows.labels["network"]]
    # on another card both meters' scales are between the record and the estimate; on the same card neither is
    scale_rel = SQRT_2 * (profile.meter_gain_rel or 0.0) if other_card else 0.0
    half = half_widths_j(profile, priced.design.X, estimated, level, networks=networks, scale_rel=scale_rel)
    timed, timed_energy = _with_predicted_time(rows, profile)
    compared = tuple(
        _row(
            rows,
            i,
            float(estimated[i]),
            None if half is None else float(half[i]),
            None if timed is None or timed_energy is None else (float(timed[i]), float(timed_energy[i])),
        )
        for i in range(len(rows))
    )
    predicted_errors = np.full(len(rows), np.nan) if timed_energy is None else timed_energy / recorded - 1
    nulls = NullTable.of(rows.table, profile.target).errors_rel(profile.null_models, recorded)
    hits = [r.hit for r in compared if r.hit is not None]
    units = [r.name for r in compared if r.hit is not None]
    return Comparison(
        rows=compared,
        kind=rows.kind,
        profile_kind=profile.kind,
        profile_name=profile.name,
        level=level,
        score=score(errors, rows.row_label),
        predicted_time_score=score(predicted_errors, rows.row_label),
        by_family=_parts(errors, rows, "family"),
        by_split=_parts(errors, rows, "split"),
        by_network=_parts(errors, rows, "network"),
        null_models={name: score(nulls[:, j], rows.row_label) for j, name in enumerate(NULL_MODELS)},
        hits=sum(hits),
        with_interval=len(hits),
        coverage_interval=cluster_share_interval(hits, units),
        interval_methods=_methods(profile, networks, level) if hits else {},
        left_out=left_out,
        notes=notes,
    )


def _methods(profile: DeviceProfile, networks: Sequence[str | None], level: float) -> dict[str, int]:
    counted: dict[str, int] = {}
    for name, number in Counter(networks).items():
        method = interval_method(profile, level, network=name)
        counted[method] = counted.get(method, 0) + number
    return counted


def _with_predicted_time(rows: Observations, profile: DeviceProfile) -> tuple[FloatArray | None, FloatArray | None]:
    """Predicted durations and the energies they give.

    A record's totals hide its operators, so the time of a whole network comes out low.
    """
    law = profile.time_law
    if law is None or not law.covers(rows.table.dtypes):
        return None, None
    equation, coef = profile.equation, np.array(list(profile.params.values()))
    table = rows.table.with_column("time_s", law.predict_s(rows.table))
    time_s = capped_time_s(law, equation, coef, table)
    priced = profile.price(table.with_column("time_s", time_s))
    energy = np.full(len(rows), np.nan)
    energy[priced.design.kept] = priced.total_j
    return time_s, energy


def _row(
    rows: Observations, i: int, estimated_j: float, half_j: float | None, timed: tuple[float, float] | None
) -> ComparedRow:
    recorded_j = float(rows.energy_j[i])
    low = None if half_j is None else max(estimated_j - half_j, 0.0)
    high = None if half_j is None else estimated_j + half_j
    network = rows.labels["network"][i]
    return ComparedRow(
        run_id=str(rows.labels["run_id"][i]),
        row_id=str(rows.labels["row_id"][i]),
        workload=str(rows.labels["workload"][i]),
        network=None if network is None else str(network),
        family=str(rows.labels["family"][i]),
        split=str(rows.labels["split"][i]),
        kernel_class=str(rows.labels["kernel_class"][i]),
        recorded_energy_j=recorded_j,
        estimated_energy_j=estimated_j,
        low_j=low,
        high_j=high,
        error_rel=estimated_j / recorded_j - 1,
        hit=None if low is None or high is None else low <= recorded_j <= high,
        time_s=float(rows.time_s[i]),
        predicted_time_s=None if timed is None else timed[0],
        predicted_time_energy_j=None if timed is None else timed[1],
        predicted_time_error_rel=None if timed is None else timed[1] / recorded_j - 1,
    )


def _parts(errors: FloatArray, rows: Observations, by: str) -> dict[str, Score]:
    groups = rows.labels[by]
    result = {}
    for group in sorted({str(g) for g in groups if g is not None}):
        inside = np.flatnonzero(groups == group)
        result[group] = score(errors[inside], rows.labels_at(inside))
    return result
