import pytest

from energybench.errors import EnergybenchError, MeterUnavailable, UsageError
from energybench.meters import (
    amdsmi,
    discover_meters,
    discovery,
    hwmon,
    jetson,
    modelled,
    nvml,
    open_meter,
    pyrapl,
    rapl,
    rapl_msr,
    rapl_perf,
    rapl_powercap,
    zeusd,
)
from energybench.meters.base import MeterInfo
from energybench.meters.modelled import ModelledMeter

MODULES = (rapl_perf, rapl_powercap, rapl_msr, nvml, amdsmi, pyrapl, zeusd, hwmon, jetson, modelled)


@pytest.mark.parametrize(
    ("spec", "options", "what"),
    [
        ("rappl", {}, "unknown; use one of auto"),
        ("", {}, "unknown; use one of auto"),
        ("rapl:1", {}, "unknown"),
        ("simulated", {}, "simulated:FILE.toml"),
        ("simulated:", {}, "simulated:FILE.toml"),
        ("replay", {}, "replay:RUN"),
        ("simulated:no/such/file.toml", {}, "does not exist"),
        ("rapl", {"device": "cuda:0"}, "--meter nvml"),
        ("pyrapl", {"device": "cuda"}, "--meter nvml"),
        ("nvml", {}, "--device cuda:0"),
        ("amdsmi", {}, "--device cuda:0"),
        ("hwmon:chip/label", {"device": "cuda:0"}, "--meter nvml"),
        ("jetson:1", {}, "unknown"),
        ("auto", {"device": "tpu"}, "cpu, cuda or cuda:N"),
        ("auto", {"device": "cuda:x"}, "cpu, cuda or cuda:N"),
        ("rapl", {"tdp_w": 100.0}, "--meter modelled"),
        ("modelled", {"device": "cuda:0", "tdp_w": 100.0}, "--meter nvml"),
    ],
)
def test_what_cannot_be_meant_is_a_usage_error(spec, options, what):
    with pytest.raises(UsageError) as error:
        open_meter(spec, **options)
    assert what in str(error.value)
    assert "\n" not in str(error.value)


def no_rapl(*_args, **_kw):
    raise MeterUnavailable("no powercap here; run `sudo modprobe intel_rapl_msr`")


def test_auto_fails_with_the_remedy_and_never_models(monkeypatch):
    monkeypatch.setattr(rapl_powercap, "RaplMeter", no_rapl)
    monkeypatch.setattr(rapl_perf, "RaplPerfMeter", no_rapl)
    monkeypatch.setattr(rapl_msr, "RaplMsrMeter", no_rapl)
    monkeypatch.setattr(modelled, "cpu_model_name", lambda: "AMD EPYC 9654 96-Core Processor")
    with pytest.raises(MeterUnavailable, match="modprobe"):
        open_meter("auto")


def test_auto_takes_what_covers_the_device(monkeypatch):
    made = []
    monkeypatch.setattr(rapl, "open_rapl", lambda: made.append("rapl"))
    monkeypatch.setattr(rapl_perf, "RaplPerfMeter", lambda: made.append("perf"))
    monkeypatch.setattr(rapl_powercap, "RaplMeter", lambda: made.append("powercap"))
    monkeypatch.setattr(nvml, "NvmlMeter", made.append)
    open_meter("auto")
    open_meter("auto", device="cuda")
    open_meter("auto", device="cuda:3")
    open_meter("nvml", device="cuda:1")
    open_meter("rapl:perf")
    open_meter("rapl:powercap")
    assert made == ["rapl", 0, 3, 1, "perf", "powercap"]


def test_specs_open_their_meters(scenario_file, monkeypatch):
    meter = open_meter(f"simulated:{scenario_file()}")
    assert (meter.kind, meter.name) == ("simulated", "simulated:example")
    assert isinstance(open_meter("modelled", tdp_w=65.0), ModelledMeter)


def test_discovery_shows_every_meter_and_a_remedy_for_each_that_fails(monkeypatch, powercap_tree):
    infos = discover_meters()
    assert {i.name.partition(":")[0] for i in infos} == {
        *("rapl", "nvml", "amdsmi", "pyrapl", "zeusd", "hwmon", "jetson", "modelled")
    }
    for info in infos:
        assert info.observed
        assert info.available or info.remedy
        assert "\n" not in info.observed + info.remedy


def test_discovery_survives_meters_that_fail(monkeypatch):
    for module in MODULES:
        monkeypatch.setattr(module, "discover", no_rapl)
    infos = discover_meters()
    assert [i.available for i in infos] == [False] * len(MODULES)
    assert {i.remedy for i in infos} == {"run `sudo modprobe intel_rapl_msr`"}
    assert {i.observed for i in infos} == {"no powercap here"}
    error = discovery.no_measuring_meter()
    assert isinstance(error, EnergybenchError)
    assert "rapl:perf: run `sudo modprobe intel_rapl_msr`" in str(error)
    assert "jetson" not in str(error)  # what most machines lack is no remedy
    assert {i.name for i in infos if i.optional} == {"rapl:msr", "amdsmi", "zeusd", "hwmon", "jetson"}


def test_one_measuring_meter_is_enough(monkeypatch):
    found = MeterInfo("rapl", available=True, kind="measured", observed="1 zone")
    monkeypatch.setattr(discovery, "discover_meters", lambda: [found])
    assert discovery.no_measuring_meter() is None
    modelled_only = MeterInfo("modelled", available=True, kind="modelled", observed="a part")
    monkeypatch.setattr(discovery, "discover_meters", lambda: [modelled_only])
    assert discovery.no_measuring_meter() is not None
