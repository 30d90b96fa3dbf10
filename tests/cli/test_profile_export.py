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


def read_spdx(text: str) -> Any:
    """The graph through the bindings generated from the published SPDX 3.0.1 model, which check every property."""
    from spdx_python_model import v3_0_1

    objects = v3_0_1.SHACLObjectSet()
    v3_0_1.JSONLDDeserializer().read(io.BytesIO(text.encode()), objects)
    return objects


def test_spdx_is_valid_by_the_published_model(cli: Any, profile: Path) -> None:
    text = cli("profile", "export", profile, "--format", "spdx", "--energy-j", 1.8).out
    objects = read_spdx(text)
    assert objects.missing_ids == set()
    names = sorted(type(thing).__name__ for thing in objects.foreach())
    assert names == [
        "CreationInfo",
        "SoftwareAgent",
        "SpdxDocument",
        "ai_AIPackage",
        "ai_EnergyConsumption",
        "ai_EnergyConsumptionDescription",
    ]
    (package,) = (thing for thing in objects.foreach() if type(thing).__name__ == "ai_AIPackage")
    (stated,) = package.ai_energyConsumption.ai_inferenceEnergyConsumption
    assert float(stated.ai_energyQuantity) == pytest.approx(1.8 / 3.6e6, rel=1e-12)


@pytest.mark.parametrize(
    ("what", "instead"),
    [
        ('"ai_energyUnit": "kilowattHour"', '"ai_energyUnit": "joule"'),
        ('"ai_energyQuantity"', '"ai_energyAmount"'),
        ('"created": "2', '"created": "x'),
    ],
)
def test_the_published_model_refuses_what_is_not_spdx(cli: Any, profile: Path, what: str, instead: str) -> None:
    text = cli("profile", "export", profile, "--format", "spdx", "--energy-j", 1.8).out
    assert what in text
    with pytest.raises((ValueError, KeyError)):
        read_spdx(text.replace(what, instead))
