"""The Zeus daemon's protocol, spoken by a server of ours on a real Unix socket."""

from __future__ import annotations

import time
from typing import Any

import pytest

from energybench.app import open_window
from energybench.app.measure import close_meters, measure
from energybench.errors import MeterPermissionError, MeterUnavailable
from energybench.meters import zeusd
from energybench.meters.zeusd import ZeusdMeter


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
