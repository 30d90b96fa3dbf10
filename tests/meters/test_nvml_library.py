"""The real nvidia-ml-py on a libnvidia-ml.so.1 of ours, in a process of its own: scenarios with known truth."""

import json
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SOURCE = Path(__file__).parent / "fakes" / "nvml.c"

FLAGS = ("-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-O1", "-shared", "-fPIC")

#: What every driver process begins with. `truth_j` repeats the scenario's square wave, independently of the library.
PREAMBLE = """
import json, math, sys, time
import pynvml
from energybench.errors import EnergybenchError
from energybench.meters.nvml import NvmlMeter, discover
from energybench.meters.window import Window

def truth_j(begin_ns, end_ns, power_w, load_w=0.0, period_s=1.0, duty=0.0):
    def until(t):
        whole = math.floor(t / period_s)
        return power_w * t + load_w * (whole * duty * period_s + min(t - whole * period_s, duty * period_s))
    return until(end_ns / 1e9) - until(begin_ns / 1e9)

def refusal(call):
    try:
        call()
    except EnergybenchError as error:
        return [type(error).__name__, str(error)]
    return None
"""

Run = Callable[[str, str], Any]


@pytest.fixture(scope="module")
def library_directory(tmp_path_factory):
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler to build the fake libnvidia-ml with")
    directory = tmp_path_factory.mktemp("nvml")
    subprocess.run(
        [compiler, *FLAGS, "-o", str(directory / "libnvidia-ml.so.1"), str(SOURCE), "-lm"],
        check=True,
    )
    return directory


@pytest.fixture
def run(library_directory, tmp_path) -> Run:
    """Run code on a scenario; what it prints last is JSON."""

    def run_one(scenario: str, code: str) -> Any:
        path = tmp_path / "scenario"
        path.write_text(scenario)
        environment = {
            **os.environ,
            "LD_LIBRARY_PATH": str(library_directory),
            "FAKE_NVML_SCENARIO": str(path),
        }
        environment.pop("CUDA_VISIBLE_DEVICES", None)
        done = subprocess.run(
            [sys.executable, "-c", PREAMBLE + code], env=environment, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run_one


def test_the_counter_against_the_truth(run):
    """Twenty windows on a steady board, the median apart from the truth by nothing, most within two uncertainties.

    Medians, since a busy machine may hold the process up between taking the time and reading the counter.
    """
    errors = run(
        "power_w 300\ntick_s 0.002\nwindow_s 0.002\nnoise 0.02\nseed 3\n",
        """
meter = NvmlMeter(0, library=pynvml)
out = []
for i in range(20):
    begin = meter.read(); time.sleep(0.03); end = meter.read()
    w = Window.from_readings(begin, end, meter.domains, kind=meter.kind, update_period_s=0.002, update_noise_rel=0.02)
    true_j = truth_j(begin.time_ns, end.time_ns, 300.0)
    out.append([(w.energy_j - true_j) / w.uncertainty_j, w.energy_j / true_j - 1])
print(json.dumps(out))
""",
    )
    assert sum(abs(z) < 2 for z, _ in errors) >= 16
    assert abs(statistics.median(e for _, e in errors)) < 0.02


def test_part_time_sampling_is_seen_and_gain_is_systematic(run):
    """A load in step with a sensor that looks a quarter of the time: the counter misses it, or counts it fourfold."""
    code = """
meter = NvmlMeter(0, library=pynvml)
begin = meter.read(); time.sleep(0.2); end = meter.read()
true_j = truth_j(begin.time_ns, end.time_ns, 100.0, 400.0, 0.004, 0.25)
print((end.energy_nj["gpu-0"] - begin.energy_nj["gpu-0"]) / 1e9 / true_j)
"""
    load = "power_w 100\nload_w 400\nload_period_s 0.004\nload_duty 0.25\ntick_s 0.004\n"
    whole = run(load + "window_s 0.004\n", code)
    missed = run(load + "window_s 0.001\ntick_phase_s 0.003\n", code)
    overcounted = run(load + "window_s 0.001\ntick_phase_s 0.001\n", code)
    assert whole == pytest.approx(1.0, abs=0.08)
    assert missed == pytest.approx(0.5, abs=0.06)
    assert overcounted == pytest.approx(2.5, abs=0.25)
    assert run(load + "window_s 0.004\ngain 0.9\n", code) == pytest.approx(0.9, abs=0.08)


def test_the_drivers_own_path_refuses_the_fake(run):
    kind, message = run("power_w 100\n", "print(json.dumps(refusal(lambda: NvmlMeter(0))))")
    assert kind == "MeterUnavailable"
    assert "fake libnvidia-ml" in message


def test_a_fake_that_claims_a_real_uuid_is_refused_too(run):
    code = "print(json.dumps(refusal(lambda: NvmlMeter(0, library=pynvml))))"
    kind, message = run("power_w 100\nfake_uuid 0\n", code)
    assert kind == "MeterUnavailable"
    assert "GPU-FAKE" in message


@pytest.mark.parametrize(
    ("scenario", "what"),
    [
        ("mig 1", "MIG mode"),
        ("fail nvmlDeviceGetTotalEnergyConsumption 3", "whole GPU"),
        ("fail nvmlDeviceGetTotalEnergyConsumption 3\nvirtualization 2", "virtual GPU"),
        (
            "fail nvmlDeviceGetTotalEnergyConsumption 3\narchitecture 4\nname Fake P100",
            "Fake P100) is older than Volta",
        ),
        ("fail nvmlDeviceGetTotalEnergyConsumption 3\nvirtualization 1", "whole GPU"),
        ("fail nvmlInitWithFlags 9", "modprobe nvidia"),
        ("gpus 0", "there is no GPU 0"),
    ],
)
def test_what_cannot_be_measured_says_why(run, scenario, what):
    code = "print(json.dumps(refusal(lambda: NvmlMeter(0, library=pynvml))))"
    kind, message = run(f"power_w 100\n{scenario}\n", code)
    assert kind == "MeterUnavailable"
    assert what in message
    assert "\n" not in message


def test_a_counter_that_is_reset_and_a_board_that_is_lost_in_a_window(run):
    code = """
meter = NvmlMeter(0, library=pynvml)
begin = meter.read(); time.sleep(0.08)
print(json.dumps(refusal(lambda: Window.from_readings(
    begin, meter.read(), meter.domains, kind=meter.kind, update_period_s=0.002))))
"""
    kind, message = run("power_w 300\ntick_s 0.002\nwindow_s 0.002\nreset_after_s 0.05\n", code)
    assert (kind, "reset" in message) == ("CounterWrapAmbiguous", True)
    kind, message = run("power_w 300\ntick_s 0.002\nwindow_s 0.002\nlost_after_s 0.05\n", code)
    assert (kind, "xid" in message) == ("MeterUnavailable", True)


def test_several_boards_are_told_apart(run):
    found = run(
        "gpus 3\npower_w 100\ntick_s 0.002\n",
        """
infos = discover(pynvml)
meters = [NvmlMeter(i, library=pynvml) for i in range(3)]
print(json.dumps([[i.name for i in infos], [m.uuid for m in meters], [m.domains[0].name for m in meters]]))
""",
    )
    assert found[0] == ["nvml:0", "nvml:1", "nvml:2"]
    assert len(set(found[1])) == 3
    assert found[2] == ["gpu-0", "gpu-1", "gpu-2"]


POWER_CODE = """
from energybench.meters.power_check import compare_with_power
meter = NvmlMeter(0, library=pynvml)
fields = {f"{f.scope} {f.average}": w for f, w in meter.read_power_fields().items()}
# The median of three: a busy machine may hold the process up between taking the time and reading the counter.
checks = [compare_with_power(meter, duration_s=0.2, poll_s=0.004) for _ in range(3)]
check = None if None in checks else sorted(checks, key=lambda c: c.ratio)[1]
print(json.dumps([fields, check and [check.ratio, check.agrees, check.samples], meter.domains[0].name,
                  getattr(meter, "announcement", "")]))
"""


def test_counter_and_power_are_compared(run):
    steady = "power_w 300\ntick_s 0.002\nwindow_s 0.002\n"
    fields, check, domain, announcement = run(steady, POWER_CODE)
    assert fields == {"gpu instant": pytest.approx(300, rel=0.01), "gpu average": pytest.approx(300, rel=0.01)}
    assert check[0] == pytest.approx(1.0, abs=0.03)
    assert check[1] is True
    assert check[2] > 5
    assert (domain, announcement) == ("gpu-0", "")
    _, check, _, _ = run(steady + "power_gain 1.15\n", POWER_CODE)
    assert check[0] == pytest.approx(1 / 1.15, abs=0.03)
    assert check[1] is False


def test_a_field_that_is_missing_is_missing_and_not_zero(run):
    fields, check, _, _ = run("power_w 300\ntick_s 0.002\nwindow_s 0.002\nfail_field 186 0\n", POWER_CODE)
    assert set(fields) == {"gpu average"}
    assert check[0] == pytest.approx(1.0, abs=0.03)
    for scenario in ("fail_field 186 0\nfail_field 185 0", "fail nvmlDeviceGetFieldValues 3"):
        fields, check, _, _ = run(f"power_w 300\ntick_s 0.002\n{scenario}\n", POWER_CODE)
        assert (fields, check) == ({}, None)


def test_a_superchip_is_measured_as_a_module_and_says_so(run):
    """Scope is never mixed: the module's counter is compared with the module's power."""
    fields, check, domain, announcement = run(
        "name Fake NVIDIA GH200 480GB\npower_w 300\nmodule_w 200\ntick_s 0.002\nwindow_s 0.002\n", POWER_CODE
    )
    assert fields["module instant"] == pytest.approx(500, rel=0.01)
    assert domain == "module-0"
    assert "CPU, GPU and their memory" in announcement
    assert check[0] == pytest.approx(300 / 500, abs=0.03)  # this fake's counter has the GPU alone: the check finds it
    assert check[1] is False


def test_characterising_finds_the_scenario(run):
    found = run(
        "power_w 250\ntick_s 0.02\nwindow_s 0.02\nresolution_mj 2\n",
        """
from energybench.meters import characterise
meter = NvmlMeter(0, library=pynvml)
print(json.dumps(characterise(meter, idle_segments=3, updates=9).to_dict()))
""",
    )
    assert found["update_period_s"] == pytest.approx(0.02, rel=0.2)
    assert found["idle_power_w"] == pytest.approx(250, rel=0.15)
    assert found["counter_integral_ratio"] == pytest.approx(1.0, abs=0.1)
