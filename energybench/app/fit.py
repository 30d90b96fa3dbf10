"""Join records files to a fit and a device profile."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from energybench.errors import RecordError
from energybench.fitting import FitResult, fit_records
from energybench.profiles import DeviceProfile
from energybench.records.environment import Environment
from energybench.records.frame import load_records, records_files
from energybench.records.run_directory import RunDirectory, write_json_atomic


@dataclass(frozen=True)
class FitOutcome:
    """A fit and the profile made from it."""

    fit: FitResult
    profile: DeviceProfile


def records_sha256(paths: Sequence[Path]) -> dict[str, str]:
    """Hash of every records file by its path as given: the evidence a profile names."""
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in records_files(paths)}


def read_environments(paths: Sequence[Path]) -> Mapping[str, Environment]:
    """Environments of all runs by hash; a records file on its own brings none."""
    found: dict[str, Environment] = {}
    for path in records_files(paths):
        run = RunDirectory(path.parent)
        if run.environment_path.exists():
            found.update(run.read_environments())
    return found


def fit_files(
    paths: Sequence[Path | str],
    *,
    equation: str = "physical",
    target: Literal["gross", "net"] = "gross",
    name: str | None = None,
    out: Path | None = None,
) -> FitOutcome:
    """Load records, fit, make the profile, and write it to `out` when given.

    Raises RecordError, FitError, ProfileError.
    """
    given = [Path(p) for p in paths]
    frame = load_records(*given)
    fit = fit_records(frame, equation=equation, target=target)
    environments = read_environments(given)
    environment = next((environments[h] for h in frame["environment_sha256"] if h in environments), None)
    profile = DeviceProfile.from_fit(
        fit,
        name=name or (environment.device_name if environment else f"{frame['device'].iloc[0]}"),
        environment=environment.to_dict() if environment else {},
        records_sha256=records_sha256(given),
    )
    if out is not None:
        profile.save(out)
    return FitOutcome(fit, profile)


def fit_run(run: RunDirectory, *, equation: str = "physical") -> FitOutcome:
    """Fit one run and keep ``fit.json`` and ``profile.json`` in it. Raises RecordError when it has no records."""
    if not run.records_path.exists():
        raise RecordError(f"{run.path} holds no records.jsonl; calibrate first: energybench calibrate --out {run.path}")
    outcome = fit_files([run.path], equation=equation, out=run.profile_path)
    write_json_atomic(run.fit_path, outcome.fit.to_dict())
    return outcome
