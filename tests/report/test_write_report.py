"""A run's directory to its report: what is missing is made, what is stale is made again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from energybench.app.fit import fit_run
from energybench.app.report import write_report
from energybench.errors import RecordError
from energybench.records.run_directory import RunDirectory


def page_data(path: Path) -> dict[str, object]:
    text = path.read_text(encoding="utf-8")
    data: dict[str, object] = json.loads(text.split('id="report-data">', 1)[1].split("</script>", 1)[0])
    return data


def test_missing_files_are_made(run_path: Path) -> None:
    path = write_report(run_path)
    assert path == run_path / "report.html"
    run = RunDirectory(run_path)
    data = page_data(path)
    assert data["fit"] == json.loads(run.fit_path.read_text(encoding="utf-8"))
    assert run.profile_path.exists()
    assert run.comparison_path.exists()
    assert data["title"] == "Example Accelerator 80GB"
    assert data["kind"] == "simulated"


def test_own_path(run_path: Path, tmp_path: Path) -> None:
    assert write_report(run_path, tmp_path / "page.html") == tmp_path / "page.html"
    assert (tmp_path / "page.html").exists()
    assert not (run_path / "report.html").exists()


def test_a_fit_that_is_there_is_used(run_path: Path) -> None:
    fit_run(RunDirectory(run_path), equation="macs-only")
    data = page_data(write_report(run_path))
    assert data["fit"]["equation"] == "macs-only"  # type: ignore[index]


def test_a_stale_fit_is_made_again_with_its_equation(run_path: Path) -> None:
    run = RunDirectory(run_path)
    fit_run(run, equation="macs-only")
    write_report(run_path)
    lines = run.records_path.read_text(encoding="utf-8").splitlines()
    run.records_path.write_text("\n".join(lines[3:]) + "\n", encoding="utf-8")
    data = page_data(write_report(run_path))
    assert data["fit"]["equation"] == "macs-only"  # type: ignore[index]
    assert data["fit"]["nobs"] < len(lines)  # type: ignore[index]
    assert not any(row["row_id"] == json.loads(lines[0])["row_id"] for row in data["rows"])  # type: ignore[attr-defined]


def test_no_run_is_an_error_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(RecordError) as caught:
        write_report(tmp_path / "absent")
    assert "\n" not in str(caught.value)
