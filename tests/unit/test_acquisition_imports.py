"""A measuring node needs numpy, pandas, torch, nvidia-ml-py, rich and typer, and none of what analysis uses."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import sys

class Absent:
    names = {"scipy", "plotly", "jinja2", "pyRAPL", "transformers", "sklearn", "jsonschema"}

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.names:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return None

sys.meta_path.insert(0, Absent())
from energybench.cli.main import run
sys.exit(run(["calibrate", "--meter", "simulated:" + sys.argv[1], "--budget", "60s", "--out", sys.argv[2]]))
"""


def test_calibration_needs_no_analysis_package(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[2]
    scenario = root / "experiments/gpu_lab/dry_run.toml"
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(scenario), str(tmp_path / "run")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert len((tmp_path / "run/records.jsonl").read_text(encoding="utf-8").splitlines()) >= 5


def test_the_blocker_blocks(tmp_path: Path) -> None:
    program = PROGRAM.replace('["calibrate"', 'exec("import scipy.stats") or ["calibrate"')
    result = subprocess.run([sys.executable, "-c", program, "x", "y"], capture_output=True, text=True, check=False)
    assert "No module named 'scipy" in result.stderr
