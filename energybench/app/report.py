"""Join a run's files to its report."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from energybench.app.compare import compare_run
from energybench.app.fit import fit_run
from energybench.profiles import DeviceProfile
from energybench.records.environment import Environment
from energybench.records.frame import load_records
from energybench.records.run_directory import RunDirectory, read_json
from energybench.report import ReportData, save_report
from energybench.report.static_figures import save_figures


class WrittenReport(NamedTuple):
    """The page, what it shows, and the static figures that were asked for."""

    path: Path
    content: dict[str, Any]
    figures: list[Path]


def write_report(run: Path, out: Path | None = None) -> Path:
    """`report_run`, giving the page's path alone."""
    return report_run(run, out).path


def report_run(run: Path, out: Path | None = None, *, figures: Sequence[str] = ()) -> WrittenReport:
    """Write the report of the run in directory `run` to `out`, ``report.html`` beside the records by default.

    Its numbers as JSON and a summary in Markdown go beside it, and the figures in the formats of `figures` (svg, pdf,
    png) into the folder ``figures``. A fit, profile or comparison that is missing, or was made before the records last
    changed, is made first; a fit that is made again keeps its equation.

    Raises RecordError, FitError, ProfileError; UsageError on an unknown format or where matplotlib is absent.
    """
    directory = RunDirectory(run)
    frame = load_records(directory.path)
    profile = _analyse(directory)
    environments: dict[str, Environment] = directory.read_environments() if directory.environment_path.exists() else {}
    manifest: dict[str, Any] = read_json(directory.manifest_path) if directory.manifest_path.exists() else {}
    device = next((environments[h].device_name for h in frame["environment_sha256"] if h in environments), None)
    data = ReportData(
        records=frame,
        fit=read_json(directory.fit_path),
        profile=profile.to_dict(),
        comparison=read_json(directory.comparison_path),
        environments=environments,
        manifest=manifest,
        readings=directory.read_readings() if directory.readings_path.exists() else {},
        title=device or str(frame["device"].iloc[0]),
        created_utc=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    )
    path = directory.report_path if out is None else Path(out)
    content = save_report(data, path)
    drawn = save_figures(content, path.parent / "figures", figures) if figures else []
    return WrittenReport(path, content, drawn)


def _analyse(directory: RunDirectory) -> DeviceProfile:
    """Make what is missing or stale of fit, profile and comparison; the profile that they agree on."""
    if directory.fit_path.exists() and directory.profile_path.exists():
        profile = DeviceProfile.load(directory.profile_path)
        if _is_of(profile, directory):
            if not directory.comparison_path.exists():
                compare_run(directory, profile)
            return profile
        equation = profile.equation_name
    else:
        equation = "physical"
    profile = fit_run(directory, equation=equation).profile
    compare_run(directory, profile)
    return profile


def _is_of(profile: DeviceProfile, directory: RunDirectory) -> bool:
    """Whether the profile was fitted to the records as they are now."""
    now = hashlib.sha256(directory.records_path.read_bytes()).hexdigest()
    return now in {source.sha256 for source in profile.records}
