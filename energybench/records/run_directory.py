"""`RunDirectory`: where the files of one run lie, and how they are written."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from energybench.errors import RecordError
from energybench.records.atomic_file import remove_leftovers, write_text_atomic
from energybench.records.environment import Environment, environment_sha256
from energybench.records.jsonl import iter_jsonl, loads_strict
from energybench.records.run_record import RunRecord
from energybench.records.window_readings import WindowReadings

RECORDS_NAME: Final = "records.jsonl"


def write_json_atomic(path: Path, data: Mapping[str, Any]) -> None:
    """Write JSON so that a reader sees the old file or the new one, never half of it. Raises RecordError."""
    try:
        write_text_atomic(path, json.dumps(data, indent=2, allow_nan=False) + "\n")
    except ValueError as error:
        raise RecordError(
            f"{path.name} would hold a number that is not finite ({error}); nothing was written"
        ) from error
    except OSError as error:
        raise RecordError(f"{path} cannot be written ({error.strerror}); choose another --out") from error


def read_json(path: Path) -> dict[str, Any]:
    """Read one JSON object. Raises RecordError when it is absent or damaged."""
    try:
        data = loads_strict(path.read_bytes())
    except FileNotFoundError:
        raise RecordError(f"{path} does not exist; give the directory of a run") from None
    except OSError as error:
        raise RecordError(f"{path} cannot be read ({error.strerror}); check the path and its permissions") from error
    except ValueError as error:
        raise RecordError(f"{path} is not valid JSON ({error}); restore the file") from None
    if not isinstance(data, dict):
        raise RecordError(f"{path} holds no JSON object; restore the file")
    return data


class RunDirectory:
    """Paths and files of a run: ``records.jsonl readings.jsonl environment.json run.json`` and what analysis adds."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)

    @property
    def records_path(self) -> Path:
        return self.path / RECORDS_NAME

    @property
    def readings_path(self) -> Path:
        return self.path / "readings.jsonl"

    @property
    def environment_path(self) -> Path:
        return self.path / "environment.json"

    @property
    def manifest_path(self) -> Path:
        return self.path / "run.json"

    @property
    def profile_path(self) -> Path:
        return self.path / "profile.json"

    @property
    def fit_path(self) -> Path:
        return self.path / "fit.json"

    @property
    def comparison_path(self) -> Path:
        return self.path / "comparison.json"

    @property
    def report_path(self) -> Path:
        return self.path / "report.html"

    def create(self) -> None:
        """Make the directory. Raises RecordError when it cannot be made."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RecordError(f"{self.path} cannot be created ({error.strerror}); choose another --out") from error

    def remove_leftovers(self) -> None:
        """Remove the half-written files of a process that was killed; for the one process that may write the run."""
        for path in (self.environment_path, self.manifest_path):
            remove_leftovers(path)

    def write_environment(self, environment: Environment) -> None:
        """Add `environment` under its hash; a resumed run on a changed machine keeps both."""
        known = read_json(self.environment_path) if self.environment_path.exists() else {}
        write_json_atomic(self.environment_path, {**known, environment.sha256: environment.to_dict()})

    def read_environments(self) -> dict[str, Environment]:
        """Environments by hash. Raises RecordError when a hash does not match its content."""
        environments: dict[str, Environment] = {}
        for sha256, data in read_json(self.environment_path).items():
            # the text is hashed, not what is read from it: fields that came later must not change it
            if environment_sha256(data) != sha256:
                raise RecordError(f"{self.environment_path}: entry {sha256[:12]} was changed after the run; restore it")
            environments[sha256] = Environment.from_dict(data)
        return environments

    def read_records(self) -> list[RunRecord]:
        """All records, in the order they were written."""
        return read_records(self.records_path)

    @property
    def files(self) -> tuple[Path, ...]:
        """What a run itself writes, without what analysis adds."""
        return self.records_path, self.readings_path, self.environment_path, self.manifest_path

    def reading_ids(self) -> set[str]:
        """Names of the raw readings, for which none of them is kept in memory."""
        return {str(row.get("row_id")) for _, row in iter_jsonl(self.readings_path)}

    def read_readings(self) -> dict[str, WindowReadings]:
        """Raw readings by row_id."""
        rows = (WindowReadings.from_dict(row) for _, row in iter_jsonl(self.readings_path))
        return {row.row_id: row for row in rows}


def read_records(path: Path) -> list[RunRecord]:
    """The records of one file. Raises RecordError with the line number of anything that cannot be one."""
    return list(iter_records(path))


def iter_records(path: Path) -> Iterator[RunRecord]:
    """The same one by one, so that a long file never stands in memory as objects."""
    seen: dict[tuple[str, str], int] = {}
    for number, row in iter_jsonl(path):
        try:
            record = RunRecord.from_dict(row)
        except RecordError as error:
            raise RecordError(f"{path}:{number}: {error}") from None
        key = (record.run_id, record.row_id)
        if key in seen:
            raise RecordError(f"{path}:{number}: row {record.row_id} repeats line {seen[key]}; remove one of them")
        seen[key] = number
        yield record
