"""hwmon sensors and Jetson rails: real files of a made-up sysfs, read by the meters' own code."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from energybench.app.measure import measure
from energybench.errors import MeterPermissionError, MeterUnavailable, UsageError
from energybench.meters import hwmon, jetson
from energybench.meters.clock import VirtualClock
from energybench.meters.hwmon import HwmonMeter, scan_sensors
from energybench.meters.jetson import JetsonMeter, scan_rails
from energybench.meters.power_integral import PowerIntegral


def write(directory: Path, **files: object) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    for name, value in files.items():
        (directory / name).write_text(f"{value}\n")
    return directory


@pytest.fixture
def grace(tmp_path):
    """A board whose sensors overlap, and a CPU with an energy counter beside its power."""
    base = tmp_path / "class" / "hwmon"
    write(base / "hwmon0", name="power_meter", power1_input=180_000_000, power1_label="Module Power Socket 0")
    write(base / "hwmon1", name="power_meter", power1_input=90_000_000, power1_label="CPU Power Socket 0")
    write(base / "hwmon2", name="amd_energy", energy1_input=5_000_000, energy1_label="Esocket0", temp1_input=40_000)
    write(base / "hwmon2", power1_input=70_000_000, power1_label="Esocket0")
    write(base / "hwmon3", name="nvme", temp1_input=40_000)
    for i in (0, 1):
        device = write(tmp_path / "devices" / f"NVDA000{i}:00")
        (base / f"hwmon{i}" / "device").symlink_to(device)
    return tmp_path


def test_sensors_have_the_names_of_their_chips_and_labels(grace):
    found = {s.name: s.quantity for s in scan_sensors(grace)}
    assert found == {
        "amd_energy/Esocket0": "energy",  # the counter, not the power of the same label
        "power_meter@NVDA0000:00/Module Power Socket 0": "power",
        "power_meter@NVDA0001:00/CPU Power Socket 0": "power",
    }


def test_sensors_that_may_overlap_are_never_summed_unasked(grace):
    with pytest.raises(UsageError, match="several sensors"):
        HwmonMeter(root=grace)
    with pytest.raises(UsageError, match="no sensor 'amd_energy/Esocket7'"):
        HwmonMeter(["amd_energy/Esocket7"], grace)
    with pytest.raises(UsageError, match="one kind at a time"):
        HwmonMeter(["amd_energy/Esocket0", "power_meter@NVDA0001:00/CPU Power Socket 0"], grace)


def test_an_energy_sensor_is_a_counter(grace):
    meter = HwmonMeter(["amd_energy/Esocket0"], grace)
    file = grace / "class/hwmon/hwmon2/energy1_input"
    with measure("block", meter=meter) as m:
        file.write_text("7500000\n")
    assert m.energy_j == pytest.approx(2.5)
    assert (m.kind, meter.name) == ("simulated", "hwmon:amd_energy/Esocket0")
    assert m.uncertainty_j is None  # nobody has stated or found its period
    file.write_text("garbage\n")
    with pytest.raises(MeterUnavailable, match="no whole number"):
        meter.read()
    meter.close()
    meter.close()
    with pytest.raises(MeterUnavailable, match="closed"):
        meter.read()


def test_a_power_sensor_is_integrated_and_says_so(grace):
    name = "power_meter@NVDA0000:00/Module Power Socket 0"
    meter = HwmonMeter([name], grace)
    with measure("block", meter=meter) as m:
        time.sleep(0.25)
    assert m.energy_j == pytest.approx(180 * m.time_s, rel=1e-6)
    assert m.uncertainty_j is not None
    assert any("integrated" in note for note in m.notes)
    meter.close()


def test_one_sensor_needs_no_name(tmp_path):
    write(tmp_path / "class/hwmon/hwmon0", name="acpi", energy1_input=1)
    meter = HwmonMeter(root=tmp_path)
    assert meter.domains[0].name == "acpi/energy1"
    meter.close()


@pytest.mark.parametrize("module", [hwmon, jetson])
def test_a_machine_without_such_sensors_is_told_what_to_do(module, tmp_path):
    with pytest.raises(MeterUnavailable) as error:
        module.discover(tmp_path)
    assert "; " in str(error.value)
    (tmp_path / "class" / "hwmon").mkdir(parents=True)
    with pytest.raises(MeterUnavailable):
        module.discover(tmp_path)


def test_what_may_not_be_read_is_a_matter_of_permission(grace, monkeypatch):
    real_open = os.open

    def refuse(path, *args, **kwargs):
        if str(path).endswith("energy1_input"):
            raise PermissionError(13, "Permission denied", str(path))
        return real_open(path, *args, **kwargs)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(MeterPermissionError, match="sudo chmod a"):
        HwmonMeter(["amd_energy/Esocket0"], grace)
    infos = hwmon.discover(grace)
    assert [i.available for i in infos] == [False, True, True]
    assert "chmod" in infos[0].remedy


def test_trapezoids_over_known_powers():
    """100 W for 2 s, then a ramp to 300 W over 1 s, on a clock that only the test moves."""
    clock, power = VirtualClock(), {"rail": 100.0}
    integral = PowerIntegral(lambda: dict(power), clock=clock, period_s=3600.0)
    clock.sleep(2.0)
    assert integral.read() == (2_000_000_000, {"rail": 200 * 10**9})
    clock.sleep(1.0)
    power["rail"] = 300.0
    assert integral.read()[1]["rail"] == 400 * 10**9
    clock.sleep(1.0)
    power["rail"] = -400.0  # current that flows back takes nothing off
    assert integral.read()[1]["rail"] == 400 * 10**9
    integral.close()


def test_the_sampling_thread_sees_what_reads_at_the_edges_do_not():
    class Clock:
        def now_ns(self) -> int:
            return time.monotonic_ns()

        def sleep(self, duration_s: float) -> None:
            time.sleep(duration_s)

    calls: list[int] = []

    def power_w() -> dict[str, float]:
        calls.append(1)
        if len(calls) == 4:
            raise MeterUnavailable("the sensor has vanished; plug it in")
        return {"rail": 0.0 if len(calls) == 1 else 50.0}

    integral = PowerIntegral(power_w, clock=Clock(), period_s=0.002)
    deadline = time.monotonic() + 30
    while len(calls) < 4 and time.monotonic() < deadline:
        time.sleep(0.002)
    with pytest.raises(MeterUnavailable, match="vanished"):
        integral.read()
    integral.close()


@pytest.fixture
def orin(tmp_path):
    base = tmp_path / "bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon3"
    write(base, in1_label="VDD_IN", in1_input=5000, curr1_input=2000)
    write(base, in2_label="VDD_CPU_GPU_CV", in2_input=5000, curr2_input=800)
    write(base, in3_label="NC", in3_input=0, curr3_input=0)
    write(base, in7_label="Sum of shunt voltages", in7_input=1)
    return tmp_path


def test_the_input_rail_is_the_total_and_the_others_its_parts(orin):
    assert [rail.name for rail in scan_rails(orin)] == ["VDD_IN", "VDD_CPU_GPU_CV"]
    meter = JetsonMeter(orin)
    with measure("block", meter=meter) as m:
        time.sleep(0.15)
    assert m.energy_j == pytest.approx(10.0 * m.time_s, rel=1e-6)
    assert m.domains["VDD_CPU_GPU_CV"].energy_j == pytest.approx(4.0 * m.time_s, rel=1e-6)
    assert m.kind == "simulated"
    assert jetson.discover(orin)[0].observed == "2 rails: VDD_IN, VDD_CPU_GPU_CV"
    meter.close()
    with pytest.raises(MeterUnavailable, match="closed"):
        meter.read()


def test_rails_beside_each_other_are_summed_and_said_to_be_no_board(tmp_path):
    base = tmp_path / "bus/i2c/drivers/ina3221x/7-0040/iio:device0"
    write(base, rail_name_0="VDD_GPU_SOC", in_power0_input=3000, rail_name_1="VDD_CPU_CV", in_power1_input=1500)
    meter = JetsonMeter(tmp_path)
    with measure("block", meter=meter) as m:
        time.sleep(0.05)
    assert m.energy_j == pytest.approx(4.5 * m.time_s, rel=1e-6)
    assert any("no input rail" in note for note in m.notes)
    meter.close()
