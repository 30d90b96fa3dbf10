"""AMD GPUs: a stand-in with the functions and errors of the package amdsmi."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from energybench.app.measure import measure
from energybench.errors import MeterPermissionError, MeterUnavailable, UsageError
from energybench.meters import amdsmi, open_meter
from energybench.meters.amdsmi import AmdSmiMeter
from energybench.meters.clock import MonotonicClock


@pytest.fixture
def smi(monkeypatch, fake_amdsmi):
    """A maker of stand-ins whose time passes while the meter sleeps."""

    def make(*boards: dict[str, Any]) -> Any:
        fake = fake_amdsmi(*boards)
        start_s = fake.time_s

        class Clock(MonotonicClock):
            def now_ns(self) -> int:
                return int((fake.time_s - start_s) * 1e9 + 0.5)

            def sleep(self, duration_s: float) -> None:
                fake.time_s += duration_s

        monkeypatch.setattr(amdsmi, "MonotonicClock", Clock)
        return fake

    return make


@pytest.mark.parametrize("key", ["energy_accumulator", "power"])
def test_counts_are_worth_what_the_library_says(smi, key):
    fake = smi({"key": key})
    meter = AmdSmiMeter(0, library=fake)
    with measure("block", meter=meter) as m:
        fake.time_s += 2.0
    assert m.energy_j == pytest.approx(400.0, rel=1e-6)
    assert m.kind == "simulated"
    assert meter.domains[0].resolution_nj == pytest.approx(15_259, abs=1)
    meter.close()
    meter.close()
    assert fake.open == 0
    with pytest.raises(MeterUnavailable, match="closed"):
        meter.read()


@pytest.mark.parametrize(
    ("board", "what"),
    [
        ({"counted_w": 0.0}, "accumulator is not usable"),  # frozen
        ({"counted_w": 200.0 / 15.3}, "accumulator is not usable"),  # counts taken for microjoules
        ({"counted_w": 0.0, "power_w": "N/A"}, "second die"),
        ({"uuid": "GPU-12345"}, "do not agree on being real"),
    ],
)
def test_what_is_no_energy_of_this_gpu_is_refused(smi, board, what):
    fake = smi(board)
    with pytest.raises(MeterUnavailable, match=what):
        AmdSmiMeter(0, library=fake)
    assert fake.open == 0


def test_a_board_without_power_but_with_energy_is_taken(smi):
    meter = AmdSmiMeter(0, library=smi({"power_w": "N/A"}))
    assert meter.read_power_w() is None
    meter.close()


def test_errors_of_the_library(smi):
    fake = smi()
    fake.fail["amdsmi_get_energy_count"] = 10
    with pytest.raises(MeterPermissionError, match="render,video"):
        AmdSmiMeter(0, library=fake)
    fake.fail["amdsmi_get_energy_count"] = 2
    with pytest.raises(MeterUnavailable, match="another --meter") as error:
        AmdSmiMeter(0, library=fake)
    assert "\n" not in str(error.value)
    fake.fail["amdsmi_init"] = 34
    with pytest.raises(MeterUnavailable, match="amd-smi list"):
        amdsmi.discover(fake)
    with pytest.raises(UsageError, match="negative"):
        AmdSmiMeter(-1, library=fake)


def test_gpus_are_found_as_hip_numbers_them(smi, monkeypatch):
    fake = smi({}, {}, {})
    monkeypatch.setenv("HIP_VISIBLE_DEVICES", "2,0")
    assert AmdSmiMeter(0, library=fake).uuid == "GPU-FAKE-2"
    with pytest.raises(MeterUnavailable, match="only 2"):
        AmdSmiMeter(2, library=fake)
    monkeypatch.setenv("HIP_VISIBLE_DEVICES", "GPU-abc")
    with pytest.raises(MeterUnavailable, match="otherwise than by number"):
        AmdSmiMeter(0, library=fake)
    properties = SimpleNamespace(pci_domain_id=0, pci_bus_id=2, pci_device_id=0)
    cuda = SimpleNamespace(
        is_initialized=lambda: True, device_count=lambda: 3, get_device_properties=lambda _index: properties
    )
    assert amdsmi._handle(fake, 0, torch=SimpleNamespace(cuda=cuda))["uuid"] == "GPU-FAKE-1"


def test_discovery_shows_every_gpu(smi):
    infos = amdsmi.discover(smi({}, {"counted_w": 0.0}))
    assert [(i.name, i.available) for i in infos] == [("amdsmi:0", True), ("amdsmi:1", False)]
    assert infos[1].remedy == "update ROCm"


def test_absence_names_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "amdsmi", None)
    with pytest.raises(MeterUnavailable, match=r"energybench\[amd\]"):
        open_meter("amdsmi", device="cuda:0")


def test_auto_follows_what_torch_was_built_for(monkeypatch):
    monkeypatch.setitem(sys.modules, "amdsmi", None)
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(version=SimpleNamespace(hip="6.4")))
    with pytest.raises(MeterUnavailable, match="amdsmi"):
        open_meter("auto", device="cuda:0")
