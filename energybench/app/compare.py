"""Join records and a profile to a comparison of measured with estimated energy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from energybench.estimation import Comparison, compare_records
from energybench.estimation.explanation import RowExplanation, TermOff, explain_comparison
from energybench.profiles import DeviceProfile
from energybench.records.frame import load_records, read_environments, records_files
from energybench.records.run_directory import RunDirectory, write_json_atomic

if TYPE_CHECKING:
    import pandas as pd


def compare_files(
    paths: Sequence[Path | str], profile: DeviceProfile | str | Path, *, other_device: bool = False
) -> Comparison:
    """Compare every valid row with its estimate.

    Two machines' CPUs are both called "cpu" in their records: the environments behind them tell which they are.

    Args:
        paths: runs, or records files.
        profile: a profile, its path or its name.
        other_device: allow another device or clock policy than the profile's; a note then says so.

    Raises RecordError, ProfileError, ProfileMismatch.
    """
    loaded = profile if isinstance(profile, DeviceProfile) else DeviceProfile.load(profile)
    return _compare(load_records(*paths), paths, loaded, other_device)


def compare_and_explain(
    paths: Sequence[Path | str], profile: DeviceProfile | str | Path, *, worst: int, other_device: bool = False
) -> tuple[Comparison, TermOff | None, tuple[RowExplanation, ...]]:
    """`compare_files`, with the term that is off, if one is, and the `worst` rows explained, largest miss first."""
    loaded = profile if isinstance(profile, DeviceProfile) else DeviceProfile.load(profile)
    frame = load_records(*paths)
    comparison = _compare(frame, paths, loaded, other_device)
    return comparison, *explain_comparison(frame, loaded, comparison, worst)


def _compare(
    frame: pd.DataFrame, paths: Sequence[Path | str], profile: DeviceProfile, other_device: bool
) -> Comparison:
    environments = read_environments(records_files(paths))
    of_rows = [environments[h].to_dict() for h in dict.fromkeys(frame["environment_sha256"]) if h in environments]
    return compare_records(frame, profile, environments=of_rows, other_device=other_device)


def compare_run(run: RunDirectory, profile: DeviceProfile) -> Comparison:
    """Compare one run with a profile and keep ``comparison.json`` in it."""
    comparison = compare_files([run.path], profile)
    write_json_atomic(run.comparison_path, comparison.to_dict())
    return comparison
