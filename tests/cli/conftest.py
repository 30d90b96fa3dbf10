from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from energybench.cli.main import run

#: The virtual device of the README, all of whose keys are the design's.
SCENARIO = Path(__file__).resolve().parents[2] / "experiments/example_device.toml"


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Cli = Callable[..., Outcome]


@pytest.fixture
def cli(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Cli:
    """Run a command line in this process, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ENERGYBENCH_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("ENERGYBENCH_DEBUG", raising=False)

    def call(*argv: object) -> Outcome:
        capfd.readouterr()
        code = run([str(a) for a in argv])
        captured = capfd.readouterr()
        return Outcome(code, captured.out, captured.err)

    return call


@pytest.fixture(scope="session")
def scenario_path() -> Path:
    return SCENARIO


@pytest.fixture(scope="session")
def simulated_run(scenario_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A quick calibration of the virtual device, fitted, with its profile beside it."""
    path = tmp_path_factory.mktemp("runs") / "planted"
    assert run(["calibrate", "--meter", f"simulated:{scenario_path}", "--out", str(path), "--seed", "3"]) == 0
    assert run(["fit", str(path), "--out", str(path / "profile.json")]) == 0
    return path


@pytest.fixture
def model_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A user's own module in the working directory, with a factory `cnn`."""
    name = f"user_models_{abs(hash(tmp_path))}"
    (tmp_path / f"{name}.py").write_text(
        "from torch import nn\n"
        "def cnn():\n"
        "    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),"
        " nn.Linear(8, 10))\n",
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    return name
