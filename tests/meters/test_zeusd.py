"""The Zeus daemon's protocol, spoken by a server of ours on a real Unix socket."""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest

from energybench.app import open_window
from energybench.app.measure import close_meters, measure
from energybench.errors import MeterPermissionError, MeterUnavailable
from energybench.meters import zeusd
from energybench.meters.discovery import open_meter
from energybench.meters.zeusd import ZeusdMeter
from energybench.meters.zeusd_gpu import ZeusdGpuMeter


@pytest.fixture
def daemon(tmp_path, monkeypatch, zeus_daemon):
    monkeypatch.delenv("ZEUSD_TOKEN", raising=False)
    return zeus_daemon(str(tmp_path / "zeusd.sock"))


def test_packages_and_dram_of_the_daemon(daemon, monkeypatch):
    monkeypatch.setenv("ZEUSD_SOCK_PATH", daemon.path)
    monkeypatch.setenv("ZEUSD_TOKEN", "secret")
    meter = ZeusdMeter()
    assert [d.name for d in meter.domains] == ["package-0", "dram-0", "package-1"]
    with measure("block", meter=meter) as m:
        daemon.energy["0"]["cpu_energy_uj"] += 2_000_000
        daemon.energy["0"]["dram_energy_uj"] += 500_000
        daemon.energy["1"]["cpu_energy_uj"] += 1_000_000
    assert m.energy_j == pytest.approx(3.5)
    assert m.kind == "simulated"  # the other end is no process of root called zeusd
    assert daemon.asked[-1] == ("/cpu/get_cumulative_energy?cpu=true&dram=true", "Bearer secret")
    assert zeusd.discover()[0].available
    close_meters()
    meter.close()
    with pytest.raises(MeterUnavailable, match="closed"):
        meter.read()


def test_a_long_window_asks_the_daemon_on_the_way(daemon, monkeypatch):
    """It corrects a wrap only when it is asked."""
    periods: list[float] = []
    real = open_window.KeepAlive

    def keeper(meter, period_s):
        periods.append(period_s)
        return real(meter, 0.01)

    monkeypatch.setattr(open_window, "KeepAlive", keeper)
    meter = ZeusdMeter(daemon.path)
    asked = len(daemon.asked)
    deadline_s = time.monotonic() + 30
    with measure("long", meter=meter):
        while len(daemon.asked) < asked + 4 and time.monotonic() < deadline_s:
            time.sleep(0.01)
    assert len(daemon.asked) >= asked + 5
    assert periods == [zeusd.KEEP_ALIVE_S]
    close_meters()
    meter.close()


def test_threads_ask_one_after_another(daemon):
    """The measuring thread and the one that keeps a counter from wrapping unseen share a connection."""
    meter = ZeusdMeter(daemon.path)
    with ThreadPoolExecutor(4) as pool:
        readings = list(pool.map(lambda _: meter.read(), range(200)))
    assert len(readings) == 200
    meter.close()


@pytest.mark.parametrize("status", [401, 403])
def test_a_token_is_asked_for(daemon, status):
    daemon.status = status
    with pytest.raises(MeterPermissionError, match="ZEUSD_TOKEN"):
        ZeusdMeter(daemon.path)


def test_what_the_daemon_does_not_serve(daemon, tmp_path):
    daemon.status = 500
    with pytest.raises(MeterUnavailable, match="answers 500"):
        ZeusdMeter(daemon.path)
    daemon.status = 200
    answers: list[Any] = [{}, {"0": {}}, {"0": {"cpu_energy_uj": None, "dram_energy_uj": 1}}, b"no json"]
    for energy in answers:
        daemon.energy = energy
        with pytest.raises(MeterUnavailable, match="not that of zeusd"):
            ZeusdMeter(daemon.path)
    for discover in (b"[]", {"enabled_api_groups": ["cpu-read"], "cpus": [{}]}):
        daemon.discover = discover
        with pytest.raises(MeterUnavailable, match="not that of zeusd"):
            ZeusdMeter(daemon.path)
    daemon.discover = {"enabled_api_groups": ["cpu-read"], "cpus": []}
    with pytest.raises(MeterUnavailable, match="no CPU to read"):
        ZeusdMeter(daemon.path)
    daemon.discover = {"enabled_api_groups": ["gpu-read"], "cpus": [{"id": 0}]}
    with pytest.raises(MeterUnavailable, match="does not serve CPUs"):
        ZeusdMeter(daemon.path)
    with pytest.raises(MeterUnavailable, match="zeusd serve"):
        ZeusdMeter(str(tmp_path / "nothing.sock"))


def test_a_daemon_that_goes_away_is_no_energy(daemon):
    meter = ZeusdMeter(daemon.path)
    daemon.energy = b""
    with pytest.raises(MeterUnavailable):
        meter.read()
    meter.close()


@pytest.fixture
def gpus(daemon, monkeypatch):
    """Two boards of one kind; the daemon numbers them against the order of their addresses."""
    for name in ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"):
        monkeypatch.delenv(name, raising=False)
    daemon.discover |= {
        "gpus": [
            {"id": 0, "name": "NVIDIA A40", "pci_address": "0000:c1:00.0", "cumulative_energy_available": True},
            {"id": 1, "name": "NVIDIA A40", "pci_address": "0000:41:00.0", "cumulative_energy_available": True},
        ],
        "enabled_api_groups": ["cpu-read", "gpu-read"],
    }
    daemon.gpu_mj = {"0": 500_000, "1": 900_000}
    monkeypatch.setenv("ZEUSD_SOCK_PATH", daemon.path)
    return daemon


def test_a_gpu_of_the_daemon_is_found_by_its_address_and_read(gpus):
    meter = open_meter("zeusd", device="cuda:1")  # the higher address, which the daemon calls 0
    with measure("block", meter=meter) as m:
        gpus.gpu_mj["0"] += 12_345
        gpus.gpu_mj["1"] += 1
    assert m.energy_j == pytest.approx(12.345)
    assert (m.kind, [d.name for d in meter.domains]) == ("simulated", ["gpu-1"])
    assert gpus.asked[-1][0] == "/gpu/get_cumulative_energy?gpu_ids=0"
    close_meters()
    meter.close()
    with pytest.raises(MeterUnavailable, match="closed"):
        meter.read()


def test_cudas_rules_hold_for_the_daemons_gpus(gpus, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,0")
    ZeusdGpuMeter(0).close()
    assert gpus.asked[-1][0].endswith("gpu_ids=0")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    gpus.discover["gpus"][0]["name"] = "NVIDIA H100"
    with pytest.raises(MeterUnavailable, match="CUDA_DEVICE_ORDER"):
        ZeusdGpuMeter(0)
    with pytest.raises(MeterUnavailable, match="no GPU 2"):
        ZeusdGpuMeter(2)


def test_torch_names_the_daemons_gpu(gpus, monkeypatch):
    properties = SimpleNamespace(pci_domain_id=0, pci_bus_id=0xC1, pci_device_id=0)
    cuda = SimpleNamespace(
        is_initialized=lambda: True, device_count=lambda: 1, get_device_properties=lambda _index: properties
    )
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    ZeusdGpuMeter(0).close()
    assert gpus.asked[-1][0].endswith("gpu_ids=0")
    properties.pci_bus_id = 0x99
    with pytest.raises(MeterUnavailable, match="no GPU at 00000000:99:00.0"):
        ZeusdGpuMeter(0)


def test_a_superchip_of_the_daemon_is_a_module(gpus):
    for gpu in gpus.discover["gpus"]:
        gpu["name"] = "NVIDIA GH200 480GB"
    meter = ZeusdGpuMeter(0)
    assert [d.name for d in meter.domains] == ["module-0"]
    meter.close()


def test_gpus_that_the_daemon_cannot_count(gpus, daemon):
    gpus.discover["gpus"][1]["cumulative_energy_available"] = False
    with pytest.raises(MeterUnavailable, match="trusts no energy counter of GPU 0"):
        ZeusdGpuMeter(0)
    infos = zeusd.discover()
    assert [info.observed for info in infos] == [
        "a Zeus daemon with package-0, dram-0, package-1",
        "a Zeus daemon with GPU 0 (NVIDIA A40)",
    ]
    gpus.gpu_mj["0"] = 1.5
    with pytest.raises(MeterUnavailable, match="not that of zeusd"):
        ZeusdGpuMeter(1)
    del gpus.discover["gpus"][0]["pci_address"]
    with pytest.raises(MeterUnavailable, match="does not say where its 2 GPUs are"):
        ZeusdGpuMeter(1)
    gpus.discover["gpus"] = [{"name": "NVIDIA A40"}]
    with pytest.raises(MeterUnavailable, match="not that of zeusd"):
        ZeusdGpuMeter(0)
    gpus.discover["gpus"] = []
    with pytest.raises(MeterUnavailable, match="no GPU to read"):
        ZeusdGpuMeter(0)
    gpus.discover["enabled_api_groups"] = ["cpu-read"]
    with pytest.raises(MeterUnavailable, match="does not serve GPUs"):
        ZeusdGpuMeter(0)
    assert len(zeusd.discover()) == 1


def test_a_daemon_of_gpus_alone_is_found(gpus):
    gpus.discover["enabled_api_groups"] = ["gpu-read"]
    assert [info.observed for info in zeusd.discover()] == ["a Zeus daemon with GPU 0 (NVIDIA A40), GPU 1 (NVIDIA A40)"]
