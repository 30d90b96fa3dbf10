"""Join records files to a fit and a device profile."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from energybench.app.pooling import join_units, refuse_unlike
from energybench.errors import RecordError
from energybench.fitting import FitResult, fit_records
from energybench.fitting.unit_gains import UnitGain
from energybench.model.features import FeatureTable, timed_table
from energybench.model.observations import Target
from energybench.profiles import DeviceProfile
from energybench.records.environment import Environment
from energybench.records.frame import load_records, read_environments, records_files
from energybench.records.run_directory import RunDirectory, write_json_atomic
from energybench.records.timed_network import TIMED_NETWORKS_NAME, TimedNetwork, read_timed_networks
from energybench.records.timed_operator import TIMINGS_NAME, read_timed_operators
from energybench.records.window_readings import WindowReadings


@dataclass(frozen=True)
class FitOutcome:
    """A fit and the profile made from it."""

    fit: FitResult
    profile: DeviceProfile


def profile_name(text: str) -> str:
    """A file name from a device's own name: ``NVIDIA H100 80GB HBM3`` → ``nvidia-h100-80gb-hbm3``."""
    return re.sub(r"[^a-z0-9._]+", "-", re.sub(r"\(r\)|\(tm\)", "", text.lower())).strip("-.") or "device"


def _environment_of(frame: pd.DataFrame, environments: Mapping[str, Environment]) -> Environment | None:
    """The environment of the first row that has one."""
    return next((environments[h] for h in frame["environment_sha256"] if h in environments), None)


def meter_gain_rel(paths: Sequence[Path]) -> float | None:
    """Relative uncertainty of the meter's scale, from the domains behind the records; None where none is kept.

    Gains of one sensor type err together, so the largest among the summed domains stands for their total. A domain's 0
    is a gain that its meter does not state, not a perfect one.
    """
    gains = [
        domain.gain_rel
        for path in records_files(paths)
        for readings in _readings(path)
        for domain in readings.domains
        if domain.parent is None and domain.in_total
    ]
    return max(gains, default=0.0) or None


def _readings(path: Path) -> list[WindowReadings]:
    run = RunDirectory(path.parent)
    return list(run.read_readings().values()) if run.readings_path.exists() else []


def fit_files(
    paths: Sequence[Path | str],
    *,
    equation: str = "physical",
    target: Target = "gross",
    name: str | None = None,
    out: Path | None = None,
    pool_units: bool = False,
    residual_learner: bool = False,
) -> FitOutcome:
    """Load records, fit, make the profile, and write it to `out` when given.

    With `pool_units` runs of other units of the same model join, each by a gain of its own over the units' mean, which
    the fit's notes give. `residual_learner` as in `fit_records`.

    Raises RecordError (also where the runs differ in device, driver, clock policy, element types or meter kind),
    FitError, ProfileError.
    """
    given = [Path(p) for p in paths]
    frame = load_records(*given)
    environments = read_environments(records_files(given))
    refuse_unlike(frame, environments, other_units=pool_units)
    frame, gains = join_units(frame, environments) if pool_units else (frame, {})
    device = str(frame["device"].iloc[0])
    fit = fit_records(
        frame,
        equation=equation,
        target=target,
        timings=_timings(given, device),
        timed_networks=_timed_networks(given, device),
        meter_gain_rel=meter_gain_rel(given),
        residual_learner=residual_learner,
    )
    fit = replace(fit, notes=(*fit.notes, *(_gain_note(unit, gain) for unit, gain in gains.items())))
    environment = _environment_of(frame, environments)
    device_name = environment.device_name if environment else str(frame["device"].iloc[0])
    profile = DeviceProfile.from_fit(
        fit,
        name=name or profile_name(device_name),
        environment=environment.to_dict() if environment else None,
        records=records_files(given),
        meter_gain_rel=fit.scale_rel,
    )
    if out is not None:
        profile.save(out)
    return FitOutcome(fit, profile)


def _gain_note(unit: str, found: UnitGain) -> str:
    return (
        f"unit {unit} joined with a gain of {found.gain:.4f} ± {found.gain_se:.4f} from {found.pairs} workloads "
        f"of both; one factor leaves {found.scatter_rel:.1%} between them; coefficients are of the units' mean"
    )


def _timings(paths: Sequence[Path], device: str) -> FeatureTable | None:
    """Operators timed beside the runs; None where there are none. Raises RecordError on those of another device."""
    files = [path / TIMINGS_NAME for path in paths if (path / TIMINGS_NAME).exists()]
    timed = [one for file in files for one in read_timed_operators(file)]
    _refuse_other_devices({one.device for one in timed}, device)
    return timed_table(timed) if timed else None


def _timed_networks(paths: Sequence[Path], device: str) -> list[TimedNetwork]:
    """Networks timed beside the runs. Raises RecordError on those of another device."""
    timed = [one for path in paths if (path / TIMED_NETWORKS_NAME).exists() for one in read_timed_networks(path)]
    _refuse_other_devices({one.device for one in timed}, device)
    return timed


def _refuse_other_devices(found: set[str], device: str) -> None:
    if others := sorted(found - {device}):
        raise RecordError(f"timings are of {', '.join(others)} and the records of {device}; time operators on {device}")


def fit_run(run: RunDirectory, *, equation: str = "physical") -> FitOutcome:
    """Fit one run and keep ``fit.json`` and ``profile.json`` in it. Raises RecordError when it has no records."""
    outcome = fit_files([run.path], equation=equation, out=run.profile_path)
    write_json_atomic(run.fit_path, outcome.fit.to_dict())
    return outcome
