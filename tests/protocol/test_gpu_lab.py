"""The lab script's dry runs: in virtual time, and on a stand-in for NVML under the real nvidia-ml-py."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from energybench.app.replay import replay
from energybench.records.run_directory import RunDirectory

ROOT = Path(__file__).resolve().parents[2]
LAB = ROOT / "experiments" / "gpu_lab"


def run(out: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", str(LAB / "run.sh"), str(out), *arguments],
        env={**os.environ, "PYTHON": sys.executable, **environment},
        capture_output=True,
        text=True,
        timeout=250,
    )


def unit_of(out: Path) -> Path:
    latest = json.loads((out / "latest.json").read_text())
    assert latest["kind"] == "simulated"
    return out / str(latest["unit"])


def test_in_virtual_time_every_step_is_done_and_a_second_call_does_none_again(tmp_path: Path) -> None:
    environment = {"ENERGYBENCH_LAB_METER": f"simulated:{LAB / 'dry_run.toml'}", "ENERGYBENCH_LAB_SMALLEST": "6"}
    done = run(tmp_path, "500", "operators", "sealed", "timings", "table", **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    unit = unit_of(tmp_path)
    assert unit.name == "simulated"
    for name in ("operators", "sealed"):
        records = RunDirectory(unit / name).read_records()
        assert {r.kind for r in records} == {"simulated"}
        assert len({r.workload for r in records if r.split != "idle"}) == 6
        assert (unit / name / "complete").exists()
        assert replay(unit / name).agrees
    assert len((unit / "timings.jsonl").read_text().splitlines()) == 6
    assert "(simulated)" in done.stdout
    assert all(path.stat().st_size < 16 * 2**20 for path in tmp_path.rglob("*") if path.is_file())
    again = run(tmp_path, "500", "operators", **environment)
    assert again.returncode == 0
    assert "calibration" not in again.stdout + again.stderr


def test_kernels_are_checked_against_torch_before_they_are_measured() -> None:
    """The script itself, on the CPU's rungs; a GPU's are checked by the first call on one."""
    command = [sys.executable, str(LAB / "check_kernels.py"), "--device", "cpu"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=250, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all agree" in done.stdout
    assert "check_kernels.py" in (LAB / "run.sh").read_text()


def test_on_a_stand_in_for_nvml_the_whole_path_is_simulated(tmp_path: Path) -> None:
    """Real time, real work on the CPU, the real nvidia-ml-py: nothing that it writes says `measured`."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler to build the fake libnvidia-ml with")
    source = ROOT / "tests" / "meters" / "fakes" / "nvml.c"
    flags = ("-std=c11", "-D_GNU_SOURCE", "-O1", "-shared", "-fPIC")
    library = tmp_path / "library"
    library.mkdir()
    subprocess.run([compiler, *flags, "-o", str(library / "libnvidia-ml.so.1"), str(source), "-lm"], check=True)
    scenario = tmp_path / "scenario"
    scenario.write_text("power_w 300\ntick_s 0.01\nwindow_s 0.01\n")
    out = tmp_path / "out"
    out.mkdir()
    (out / "checked").touch()  # doctor and the counts of the kernels have tests of their own
    environment = {
        "ENERGYBENCH_LAB_DEVICE": "cpu",
        "ENERGYBENCH_LAB_SMALLEST": "3",
        "LD_LIBRARY_PATH": str(library),
        "FAKE_NVML_SCENARIO": str(scenario),
    }
    done = run(out, "200", "probe", "operators", "table", **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    unit = unit_of(out)
    assert unit.name.startswith("GPU-FAKE")
    records = RunDirectory(unit / "operators").read_records()
    assert {r.kind for r in records} == {"simulated"}
    assert len({r.workload for r in records}) == 3 + 4
    # 300 W, whatever ran
    valid = [r for r in records if r.valid]
    assert len(valid) >= 5
    assert all(abs(r.energy_j / r.time_s / 300 - 1) < 0.1 for r in valid)
    manifest = json.loads((unit / "operators" / "run.json").read_text())
    assert manifest["device_uuid"] == unit.name
    probe = json.loads((unit / "probe.json").read_text())[0]
    assert probe["characteristics"]["update_period_s"] == pytest.approx(0.01, rel=0.3)
    assert '"measured"' not in "".join(p.read_text() for p in out.rglob("*") if p.is_file())
