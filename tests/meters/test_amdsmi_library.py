"""The real package amdsmi on a libamd_smi.so of ours, in a process of its own: `make test-amdsmi`."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SOURCE = Path(__file__).parent / "fakes" / "amdsmi.c"
FLAGS = ("-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-O1", "-shared", "-fPIC")
PREAMBLE = """
import json, time
import amdsmi
from energybench.errors import EnergybenchError
from energybench.meters.amdsmi import AmdSmiMeter, discover

def refusal(call):
    try:
        call()
    except EnergybenchError as error:
        return [type(error).__name__, str(error)]
    return None
"""
Run = Callable[[str, str], Any]


@pytest.fixture(scope="module")
def rocm(tmp_path_factory):
    """A folder that looks like /opt/rocm: the package resolves every symbol of the library when it is imported."""
    spec = importlib.util.find_spec("amdsmi")
    compiler = shutil.which("gcc") or shutil.which("cc")
    if spec is None or spec.origin is None or compiler is None:
        pytest.skip("the package amdsmi or a C compiler is not installed")
    directory = tmp_path_factory.mktemp("rocm")
    (directory / "lib").mkdir()
    wrapper = Path(spec.origin).with_name("amdsmi_wrapper.py").read_text()
    asked = set(re.findall(r"_libraries\['libamd_smi.so'\]\.(\w+)", wrapper))
    made = set(re.findall(r"^int (amdsmi_\w+)\(", SOURCE.read_text(), re.MULTILINE))
    stubs = directory / "stubs.c"
    stubs.write_text("".join(f"int {name}(void);\nint {name}(void) {{ return 2; }}\n" for name in sorted(asked - made)))
    library = directory / "lib" / "libamd_smi.so"
    subprocess.run([compiler, *FLAGS, "-o", str(library), str(SOURCE), str(stubs)], check=True)
    return directory


@pytest.fixture
def run(rocm, tmp_path) -> Run:
    """Run code on a scenario; what it prints last is JSON."""

    def run_one(scenario: str, code: str) -> Any:
        path = tmp_path / "scenario"
        path.write_text(scenario)
        environment = {**os.environ, "ROCM_PATH": str(rocm), "FAKE_AMDSMI": str(path)}
        for variable in ("HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES"):
            environment.pop(variable, None)
        done = subprocess.run(
            [sys.executable, "-c", PREAMBLE + code], env=environment, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return run_one


WINDOW = """
meter = AmdSmiMeter(INDEX, library=amdsmi)
begin = meter.read(); time.sleep(0.3); end = meter.read()
name = meter.domains[0].name
seconds = (end.time_ns - begin.time_ns) / 1e9
print(json.dumps([(end.energy_nj[name] - begin.energy_nj[name]) / 1e9 / seconds, name, meter.kind, meter.uuid,
                  meter.domains[0].resolution_nj, meter.read_power_w()]))
"""


@pytest.mark.parametrize(("index", "resolution_uj"), [(0, 15.3), (1, 15.3), (0, 1.0)])
def test_the_accumulator_against_the_truth(run, index, resolution_uj):
    """One count is what the library says it is worth, for each GPU apart."""
    found = run(f"gpus 2\npower_w 250\nresolution_uj {resolution_uj}\n", WINDOW.replace("INDEX", str(index)))
    assert found[0] == pytest.approx(250 * (index + 1), rel=0.02)
    assert found[1:4] == [f"gpu-{index}", "simulated", f"GPU-FAKE-{index + 1}"]
    assert found[4] == pytest.approx(1000 * resolution_uj, rel=0.01)
    assert found[5] == 250 * (index + 1)


@pytest.mark.parametrize(
    ("scenario", "error", "message"),
    [
        ("frozen 1", "MeterUnavailable", "accumulator is not usable"),
        ("gain 0.065", "MeterUnavailable", "accumulator is not usable"),  # 15.3 µJ a count, not applied
        ("refuse 2", "MeterUnavailable", "use another --meter"),
        ("refuse 10", "MeterPermissionError", "render,video"),
        ("no_power 1\nfrozen 1", "MeterUnavailable", "second die"),
    ],
)
def test_what_is_no_energy_is_refused(run, scenario, error, message):
    found = run(f"power_w 250\n{scenario}\n", "print(json.dumps(refusal(lambda: AmdSmiMeter(0, library=amdsmi))))")
    assert found[0] == error
    assert message in found[1]


def test_a_fake_library_in_the_drivers_place_is_never_measured(run):
    found = run("power_w 250\n", "print(json.dumps(refusal(lambda: AmdSmiMeter(0))))")
    assert found[0] == "MeterUnavailable"
    assert "do not agree on being real" in found[1]


def test_a_gpu_that_is_not_there_and_all_that_are(run):
    assert "only 2" in run("gpus 2\n", "print(json.dumps(refusal(lambda: AmdSmiMeter(2, library=amdsmi))))")[1]
    found = run("gpus 2\n", "print(json.dumps([[i.name, i.available, i.kind] for i in discover(amdsmi)]))")
    assert found == [["amdsmi:0", True, "simulated"], ["amdsmi:1", True, "simulated"]]


def test_an_unknown_power_is_none(run):
    code = "print(json.dumps(AmdSmiMeter(0, library=amdsmi).read_power_w()))"
    assert run("current_w 4294967295\n", code) is None
    assert run("current_w 65535\n", code) is None
    assert run("current_w 200\n", code) == 200
