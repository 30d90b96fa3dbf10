"""``energybench profile export``: tables that read back to the profile's numbers, and an SPDX statement."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def profile(simulated_run: Path) -> Path:
    return simulated_run / "profile.json"


def test_csv_gives_every_number_back_and_its_kind(cli: Any, profile: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(cli("profile", "export", profile, "--format", "csv").out)))
    saved = json.loads(profile.read_text())["coefficients"]
    assert [r["name"] for r in rows] == list(saved)
    for row in rows:
        assert row["kind"] == "simulated"
        assert row["unit"] == saved[row["name"]]["unit"]
        for key in ("value", "bse", "low", "high", "dof"):
            expected = saved[row["name"]][key]
            assert row[key] == "" if expected is None else float(row[key]) == expected


def test_latex_is_a_table_with_a_line_per_coefficient(cli: Any, profile: Path, tmp_path: Path) -> None:
    out = tmp_path / "table.tex"
    assert cli("profile", "export", profile, "--format", "latex", "--out", out).code == 0
    text = out.read_text()
    saved = json.loads(profile.read_text())["coefficients"]
    assert text.count(r"\\") == len(saved) + 2
    assert r"\texttt{mac\_fp32\_j}" in text
    assert "simulated energy" in text
    assert text.count("{") == text.count("}")


def test_spdx_states_kilowatt_hours_and_where_they_come_from(cli: Any, profile: Path) -> None:
    data = cli("profile", "export", profile, "--format", "spdx", "--energy-j", 7.2e6).json
    package = data["@graph"][-1]
    (described,) = package["ai_energyConsumption"]["ai_inferenceEnergyConsumption"]
    assert described["ai_energyQuantity"] == "2"
    tiny = cli("profile", "export", profile, "--format", "spdx", "--energy-j", 1e-6).json["@graph"][-1]
    quantity = tiny["ai_energyConsumption"]["ai_inferenceEnergyConsumption"][0]["ai_energyQuantity"]
    assert "e" not in quantity.lower()
    assert float(quantity) == pytest.approx(1e-6 / 3.6e6, rel=1e-6)
    assert described["ai_energyUnit"] == "kilowattHour"
    assert "simulated" in package["comment"]
    assert "not measured" in package["comment"]
    made = {node.get("@id", node.get("spdxId")) for node in data["@graph"]}
    assert {node["creationInfo"] for node in data["@graph"] if "creationInfo" in node} <= made


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(("--format", "spdx"), "--energy-j"), (("--format", "spdx", "--energy-j", "-1"), "--energy-j")],
)
def test_an_energy_that_is_not_there_is_asked_for(cli: Any, profile: Path, arguments: Any, words: str) -> None:
    outcome = cli("profile", "export", profile, *arguments)
    assert outcome.code == 2
    assert words in outcome.err


def test_a_folder_that_is_absent_is_one_line(cli: Any, profile: Path, tmp_path: Path) -> None:
    outcome = cli("profile", "export", profile, "--out", tmp_path / "no" / "table.csv")
    assert outcome.code == 2
    assert "cannot be written" in outcome.err
    assert cli("profile", "export", "--help").out.count("Example") == 1
