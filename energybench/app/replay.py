"""`replay`: derive every value of a run again from its raw readings, and compare."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from energybench.errors import EnergybenchError, RecordError
from energybench.records.run_directory import RunDirectory
from energybench.records.run_record import RunRecord
from energybench.records.window_readings import WindowReadings


@dataclass(frozen=True, slots=True)
class Difference:
    """A value that the readings do not give again."""

    row_id: str
    name: str
    recorded: Any
    derived: Any

    def __str__(self) -> str:
        return f"{self.row_id}: {self.name} is recorded as {self.recorded!r}, the readings give {self.derived!r}"


@dataclass(frozen=True)
class ReplayResult:
    """How many rows were derived again, and what differs. The energies are `replayed`."""

    rows: int
    differences: tuple[Difference, ...]

    @property
    def agrees(self) -> bool:
        return not self.differences

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready mapping."""
        return {
            "kind": "replayed",
            "rows": self.rows,
            "agrees": self.agrees,
            "differences": [asdict(d) for d in self.differences],
        }


def replay(run: RunDirectory | Path | str) -> ReplayResult:
    """Derive energy, uncertainty, time, domains and idle power of every record from ``readings.jsonl``.

    Nothing is tolerated: the same function made the records, so any difference means that a file was changed or that
    the two belong to different versions.

    Raises:
        RecordError: the run is absent or damaged, or holds no records.
    """
    directory = run if isinstance(run, RunDirectory) else RunDirectory(run)
    records = directory.read_records()
    if not records:
        raise RecordError(f"{directory.path} holds no records; calibrate first: energybench calibrate")
    readings = directory.read_readings()
    differences: list[Difference] = []
    for record in records:
        differences += _differences(record, readings)
    return ReplayResult(len(records), tuple(differences))


def _differences(record: RunRecord, readings: dict[str, WindowReadings]) -> list[Difference]:
    from energybench.protocol.idle import IDLE_SUFFIX
    from energybench.protocol.measure_window import idle_power_w, window_values

    recorded = readings.get(record.row_id)
    if recorded is None:
        return [Difference(record.row_id, "readings", "present", None)]
    # Readings before format 3 name no idle window: there it is the row's own.
    idle_row_id = recorded.idle_row_id or record.row_id + IDLE_SUFFIX
    idle = readings.get(idle_row_id)
    if idle is None and recorded.idle_row_id is not None:
        return [Difference(record.row_id, "idle readings", recorded.idle_row_id, None)]
    try:
        beside_w = None if idle is None else idle_power_w(idle, kind=record.kind)
        values = window_values(
            recorded,
            kind=record.kind,
            begin_ns=record.begin_ns,
            end_ns=record.end_ns,
            calls=record.calls,
            idle_power_w=beside_w,
        )
    except EnergybenchError as error:
        return [Difference(record.row_id, "window", record.energy_j, str(error))]
    pairs = (
        ("idle_power_w", record.idle_power_w, beside_w),
        ("energy_j", record.energy_j, values.energy_j),
        ("energy_uncertainty_j", record.energy_uncertainty_j, values.energy_uncertainty_j),
        ("time_s", record.time_s, values.time_s),
        ("domains", dict(record.domains), dict(values.domains)),
    )
    return [Difference(record.row_id, name, was, now) for name, was, now in pairs if was != now]
