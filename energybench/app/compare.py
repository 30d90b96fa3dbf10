"""Join records and a profile to a comparison of measured with estimated energy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from energybench.estimation import Comparison, compare_records
from energybench.profiles import DeviceProfile
from energybench.records.frame import load_records
from energybench.records.run_directory import RunDirectory, write_json_atomic


def compare_files(paths: Sequence[Path | str], profile: DeviceProfile | str | Path) -> Comparison:
    """Compare every valid row with its estimate. Raises RecordError, ProfileError, ProfileMismatch."""
    loaded = profile if isinstance(profile, DeviceProfile) else DeviceProfile.load(profile)
    return compare_records(load_records(*paths), loaded)


def compare_run(run: RunDirectory, profile: DeviceProfile) -> Comparison:
    """Compare one run with a profile and keep ``comparison.json`` in it."""
    comparison = compare_files([run.path], profile)
    write_json_atomic(run.comparison_path, comparison.to_dict())
    return comparison
