"""A slice of ``make study-protocol``: the stated intervals hold where a sensor or the surroundings make it hard."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
WINDOWS = 80


@pytest.fixture(scope="module")
def study() -> ModuleType:
    spec = importlib.util.spec_from_file_location("study_protocol", ROOT / "benchmarks" / "study_protocol.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["tick 100 ms", "short of time", "averaging 25 of 100 ms", "neighbour on the CPU"])
def test_intervals_hold(study: ModuleType, name: str) -> None:
    case = next(case for case in study.CASES if case.name == name)
    outcome = study.study(case, WINDOWS)
    # 95 % of 80 less three standard deviations
    assert outcome.coverage >= 0.95 - 3 * (0.95 * 0.05 / WINDOWS) ** 0.5
    assert abs(outcome.bias_rel) < 0.003
    assert (outcome.invalid > 0) == (case.disturbed is not None)


def test_the_study_sees_an_interval_that_does_not_hold(study: ModuleType) -> None:
    """A disturbance that the device does not report."""
    case = next(case for case in study.CASES if case.name == "neighbour on the CPU")

    class Silent(study.Disturbance):  # type: ignore[name-defined, misc]
        def state(self):
            return study.DeviceState()

    silent = study.Case(
        "silent", "", disturbed=lambda device, seed: Silent(device, seed, on_s=3.0, off_s=27.0, power_w=20.0)
    )
    assert case.disturbed is not None
    assert study.study(silent, WINDOWS).coverage < 0.93


def test_the_committed_table_covers_every_scenario(study: ModuleType) -> None:
    """Each of 1,000 windows, at least 930 of them held: the figures of the page are from the command that it names."""
    lines = (ROOT / "docs" / "study-protocol.md").read_text(encoding="utf-8").splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")]
    found = {row[0]: row[2] for row in rows if row[0] != "scenario"}
    assert set(found) == {case.name for case in study.CASES}
    for name, text in found.items():
        covered, valid = map(int, text.split(" of "))
        assert valid == 1000, name
        assert covered >= 930, name
