import builtins
import importlib.util
import os
import re
import warnings
from types import SimpleNamespace
from typing import Any

import pytest

from energybench.errors import MeterPermissionError, MeterUnavailable
from energybench.meters import pyrapl as backend
from energybench.meters.pyrapl import PyRaplMeter
from energybench.meters.rapl_powercap import scan_zones
from energybench.meters.window import Window

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # invalid escapes in pyRAPL's source
    import pyRAPL.device_api


@pytest.fixture
def pyrapl_sees(powercap_tree, monkeypatch):
    """Let pyRAPL's own reader, whose paths are hard-coded, look at the fake tree."""

    def move(path: object) -> str:
        name = str(path)
        inside = name.removeprefix("/sys/class/powercap/intel-rapl/")
        if inside != name:
            # pyRAPL walks down zone by zone; the class directory lists all of them side by side.
            return str(powercap_tree.base / re.sub(r"^intel-rapl:\d+/(?=intel-rapl:)", "", inside))
        return name.replace("/sys/devices/system", str(powercap_tree.root / "system"))

    def show(sockets):
        system = powercap_tree.root / "system" / "cpu"
        system.mkdir(parents=True)
        (system / "present").write_text(f"0-{sockets - 1}\n" if sockets > 1 else "0\n")
        for cpu in range(sockets):
            topology = system / f"cpu{cpu}" / "topology"
            topology.mkdir(parents=True)
            (topology / "physical_package_id").write_text(f"{cpu}\n")
        files = []

        def opened(path, *args):
            files.append(builtins.open(move(path), *args))  # noqa: SIM115 - pyRAPL keeps it open
            return files[-1]

        monkeypatch.setattr(pyRAPL.device_api, "open", opened, raising=False)
        exists = SimpleNamespace(exists=lambda path: os.path.exists(move(path)))
        monkeypatch.setattr(pyRAPL.device_api, "os", SimpleNamespace(path=exists))
        try:
            sensor = pyRAPL.Sensor()
        finally:
            for file in files:
                if not file.name.endswith("energy_uj"):
                    file.close()
        held.extend(file for file in files if file.name.endswith("energy_uj"))
        return sensor, [zone.domain for zone in scan_zones(powercap_tree.root)[0]]

    held: list[Any] = []
    yield show
    for file in held:
        file.close()


def test_wraps_that_pyrapl_loses_are_corrected(powercap_tree, pyrapl_sees):
    """Two sockets, one counter restarts: pyRAPL's own subtraction gives −262 kJ, ours the 30 J drawn."""
    powercap_tree.zone("intel-rapl:0", "package-0", powercap_tree.RANGE_UJ - 10_000_000)
    powercap_tree.zone("intel-rapl:0:0", "dram", 5)
    powercap_tree.zone("intel-rapl:1", "package-1", 7_000_000)
    powercap_tree.zone("intel-rapl:1:0", "dram", 6)
    sensor, domains = pyrapl_sees(2)
    meter = PyRaplMeter(sensor, domains)
    assert [d.name for d in meter.domains] == ["package-0", "dram-0", "package-1", "dram-1"]
    begin, theirs = meter.read(), sensor.energy()
    powercap_tree.add("intel-rapl:0", 30_000_000)
    powercap_tree.add("intel-rapl:1", 500)
    window = Window.from_readings(begin, meter.read(), meter.domains, kind=meter.kind, update_period_s=1e-3)
    assert min(sensor.energy() - theirs) < -2e11
    assert window.energy_j == pytest.approx(30.0005, abs=1e-9)
    assert window.domains["package-0"].corrected
    assert not window.domains["package-1"].corrected
    assert window.kind == "simulated"


def test_a_machine_without_dram(powercap_tree, pyrapl_sees):
    powercap_tree.zone("intel-rapl:0", "package-0", 9)
    sensor, domains = pyrapl_sees(1)
    meter = PyRaplMeter(sensor, domains)
    assert dict(meter.read().energy_nj) == {"package-0": 9000}
    meter.close()
    meter.close()
    with pytest.raises(MeterUnavailable, match="closed"):
        meter.read()


def test_counters_without_a_known_range_are_refused():
    with pytest.raises(MeterUnavailable, match="no range"):
        PyRaplMeter(SimpleNamespace(energy=lambda: [1.0, -1]), [])


@pytest.mark.parametrize(
    ("raised", "error", "what"),
    [
        (PermissionError(13, "Permission denied", "energy_uj"), MeterPermissionError, r"chmod a\+r"),
        (OSError(5, "Input/output error"), MeterUnavailable, "--meter rapl"),
        (ValueError("could not convert"), MeterUnavailable, "--meter rapl"),
    ],
)
def test_its_errors_become_ours(raised, error, what):
    def fail():
        raise raised

    with pytest.raises(error, match=what) as seen:
        PyRaplMeter(SimpleNamespace(energy=fail), [])
    assert "\n" not in str(seen.value)


def test_a_machine_it_cannot_read_is_named(monkeypatch):
    def fail():
        raise pyRAPL.PyRAPLCantInitDeviceAPI

    monkeypatch.setattr(pyRAPL, "Sensor", fail)
    with pytest.raises(MeterUnavailable, match="PyRAPLCantInitDeviceAPI"):
        backend._open_sensor()


def test_the_top_level_package_tests_that_its_wheel_installs_is_not_ours():
    """Importable or not, `tests` must not be a folder of this project: our tests are found by path, not by name."""
    spec = importlib.util.find_spec("tests")
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    locations = list(spec.submodule_search_locations or []) if spec else []
    if spec is not None and spec.origin is not None:
        assert os.path.dirname(os.path.abspath(spec.origin)) != here
    assert not os.path.exists(os.path.join(here, "__init__.py"))
    assert __name__ != "tests.test_sensor"
    assert isinstance(locations, list)
