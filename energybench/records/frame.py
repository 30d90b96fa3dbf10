"""Records as one pandas table, the form that analysis reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from energybench.errors import RecordError
from energybench.records.environment import Environment
from energybench.records.hardware_facts import HARDWARE_COLUMNS, hardware_columns
from energybench.records.run_directory import RECORDS_NAME, RunDirectory, iter_records
from energybench.records.run_record import RunRecord
from energybench.records.vocabulary import COMPONENTS

if TYPE_CHECKING:
    import pandas as pd

#: Columns that pass from a record to the table as they are.
_PLAIN = (
    "run_id row_id workload kernel_id network family split kernel_class implementation direction dtype device threads "
    "meter kind calls repeat order begin_ns energy_j energy_uncertainty_j time_s idle_power_w tdp_w temp_c clock_mhz "
    "parameters operators counts_source input_distribution caches valid invalid_reason environment_sha256"
).split()

#: Of a record's shape: units busy, summed over waves, and the waves; only kernels whose grid is known have them.
_GRID = ("tiles", "waves")


def record_row(record: RunRecord) -> dict[str, Any]:
    """One record as flat columns: counts as totals and MACs per element type, work per component [D18]."""
    row: dict[str, Any] = {name: getattr(record, name) for name in _PLAIN}
    row["traffic_basis"] = record.counts.traffic_basis
    row.update(record.counts.totals())
    row.update({f"macs_{dtype}": counts.macs for dtype, counts in record.counts.by_dtype.items()})
    row.update({f"flops_{name}": record.components.get(name, 0) for name in COMPONENTS})
    row.update({name: record.shape.get(name) for name in _GRID})
    return row


def records_frame(records: Iterable[RunRecord], environments: Mapping[str, Environment] | None = None) -> pd.DataFrame:
    """A table with a row per record; counts are int64, a missing float is NaN, a missing text is None.

    What the device says of itself (`HARDWARE_COLUMNS`) comes from the environments, by hash.
    """
    import pandas as pd

    rows = [record_row(record) for record in records]
    if not rows:
        raise RecordError("there are no records; calibrate first: energybench calibrate --design quick")
    frame = pd.DataFrame(rows)
    mac_columns = [name for name in frame.columns if name.startswith("macs_")]
    frame[mac_columns] = frame[mac_columns].fillna(0).astype("int64")
    told = {sha256: hardware_columns(environment.facts) for sha256, environment in (environments or {}).items()}
    for name in HARDWARE_COLUMNS:
        frame[name] = frame["environment_sha256"].map({sha256: of[name] for sha256, of in told.items()})
    for name in ("idle_power_w", "tdp_w", "temp_c", "clock_mhz", *_GRID, *HARDWARE_COLUMNS):
        frame[name] = frame[name].astype("float64")
    for name in ("network", "invalid_reason"):
        frame[name] = frame[name].astype(object).where(frame[name].notna(), None)
    return frame


def records_files(paths: Sequence[Path | str]) -> list[Path]:
    """The records files that `paths` name: a file itself, or the one inside a run's directory. Raises RecordError."""
    if not paths:
        raise RecordError("no records were given; give the path of a run or of its records.jsonl")
    return [path / RECORDS_NAME if path.is_dir() else path for path in map(Path, paths)]


def load_records(*paths: Path | str) -> pd.DataFrame:
    """Load the records of runs or files into one table, with what the environments beside them say of the device.

    Raises RecordError with file and line when one is absent, damaged, of another version, or holds NaN.
    """
    files = records_files(paths)
    return records_frame((record for path in files for record in iter_records(path)), read_environments(files))


def read_environments(files: Sequence[Path]) -> dict[str, Environment]:
    """Environments of all runs by hash; a records file on its own brings none. Raises RecordError."""
    found: dict[str, Environment] = {}
    for path in files:
        run = RunDirectory(path.parent)
        if run.environment_path.exists():
            found.update(run.read_environments())
    return found
