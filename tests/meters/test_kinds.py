"""No dry run can yield `measured`: every way to feed a meter something else than the machine's own counter."""

import os
from types import SimpleNamespace
from typing import Any

import pytest

from energybench.app.measure import measure
from energybench.errors import MeterUnavailable
from energybench.meters import amdsmi, nvml, rapl_msr, rapl_powercap
from energybench.meters.hwmon import HwmonMeter
from energybench.meters.jetson import JetsonMeter
from energybench.meters.modelled import ModelledMeter
from energybench.meters.nvml import NvmlMeter
from energybench.meters.pyrapl import PyRaplMeter
from energybench.meters.rapl_msr import RaplMsrMeter
from energybench.meters.rapl_powercap import RaplMeter
from energybench.meters.replay import ReplayMeter
from energybench.meters.scenario import Scenario
from energybench.meters.simulated import SimulatedMeter
from energybench.meters.virtual_device import VirtualDevice
from energybench.meters.window import Window
from energybench.meters.zeusd import ZeusdMeter
from energybench.meters.zeusd_gpu import ZeusdGpuMeter
from energybench.records.reading import Domain, Reading
from energybench.records.window_readings import WindowReadings

DOMAIN = Domain("package-0", wrap_nj=10**15, max_power_w=100.0)
RECORDED = (Reading(0, {"package-0": 0}), Reading(10**9, {"package-0": 10**9}))


def rapl_root(tree: Any, **_: Any) -> Any:
    return RaplMeter(tree.client().root)


def rapl_root_disguised(tree: Any, **_: Any) -> Any:
    """A root that names /sys and leads elsewhere."""
    tree.client()
    return RaplMeter(os.path.join("/sys", "..", str(tree.root).lstrip("/")))


def rapl_linked_root(tree: Any, **_: Any) -> Any:
    tree.client()
    link = tree.root.parent / "linked"
    link.symlink_to(tree.root)
    return RaplMeter(link)


def rapl_mounted_over_sys(tree: Any, monkeypatch: Any, **_: Any) -> Any:
    """As in a mount namespace: the path is /sys, the files are not sysfs."""
    tree.client()
    real_scan = rapl_powercap.scan_zones
    monkeypatch.setattr(rapl_powercap, "scan_zones", lambda root: real_scan(tree.root))
    return RaplMeter("/sys")


def nvml_library(fake_nvml: Any, **_: Any) -> Any:
    return NvmlMeter(0, library=fake_nvml())


def pyrapl_sensor(**_: Any) -> Any:
    return PyRaplMeter(SimpleNamespace(energy=lambda: [1.0, -1]), [DOMAIN])


def virtual(scenario_dict: Any, **_: Any) -> Any:
    return SimulatedMeter(VirtualDevice(Scenario.from_dict(scenario_dict())))


def replayed(**_: Any) -> Any:
    return ReplayMeter(RECORDED, [DOMAIN])


def by_datasheet(**_: Any) -> Any:
    return ModelledMeter(tdp_w=100.0)


def sensors_root(tree: Any, **_: Any) -> Any:
    chip = tree.root / "class" / "hwmon" / "hwmon0"
    chip.mkdir(parents=True)
    (chip / "energy1_input").write_text("1")
    return HwmonMeter(root=tree.root)


def jetson_root(tree: Any, **_: Any) -> Any:
    rails = tree.root / "bus/i2c/drivers/ina3221x/7-0040/iio:device0"
    rails.mkdir(parents=True)
    (rails / "rail_name_0").write_text("VDD_IN")
    (rails / "in_power0_input").write_text("3000")
    return JetsonMeter(tree.root)


def registers_root(tree: Any, msr_tree: Any, **_: Any) -> Any:
    return RaplMsrMeter(registers(msr_tree, tree.root).root)


def registers_mounted_over_the_machine(tree: Any, msr_tree: Any, monkeypatch: Any, **_: Any) -> Any:
    """The root is the machine's, the register files are no msr device."""
    fake = registers(msr_tree, tree.root).root
    monkeypatch.setattr(rapl_msr, "_registers", lambda _root: (0x606, {"package": 0x611}))
    monkeypatch.setattr(rapl_msr, "_one_cpu_per_die", lambda _root: [0])
    monkeypatch.setattr(rapl_msr, "package_suffixes", lambda _cpus, _sysfs: ["0"])
    real_open = os.open
    monkeypatch.setattr(rapl_msr, "_open", lambda _path: real_open(fake / "dev/cpu/0/msr", os.O_RDONLY))
    return RaplMsrMeter("/")


def registers(msr_tree: Any, root: Any) -> Any:
    tree = msr_tree(root / "registers", packages=(0,))
    tree.set(0, 0x606, 0x0E00)
    tree.set(0, 0x611, 7)
    tree.set(0, 0x639, 7)
    return tree


def amd_library(fake_amdsmi: Any, monkeypatch: Any, **_: Any) -> Any:
    monkeypatch.setattr(amdsmi.AmdSmiMeter, "_refuse_implausible", lambda _self: None)
    return amdsmi.AmdSmiMeter(0, library=fake_amdsmi())


def daemon_of_zeus(tree: Any, zeus_daemon: Any, **_: Any) -> Any:
    """A server of this very user, who may be root: its name gives it away."""
    return ZeusdMeter(zeus_daemon(str(tree.root / "zeusd.sock")).path)


def gpu_of_a_daemon_of_zeus(tree: Any, zeus_daemon: Any, **_: Any) -> Any:
    daemon = zeus_daemon(str(tree.root / "zeusd-gpu.sock"))
    daemon.discover |= {"gpus": [{"id": 0, "name": "NVIDIA A40"}], "enabled_api_groups": ["gpu-read"]}
    daemon.gpu_mj = {"0": 1}
    return ZeusdGpuMeter(0, daemon.path)


WAYS = [
    gpu_of_a_daemon_of_zeus,
    sensors_root,
    jetson_root,
    registers_root,
    registers_mounted_over_the_machine,
    amd_library,
    daemon_of_zeus,
    rapl_root,
    rapl_root_disguised,
    rapl_linked_root,
    rapl_mounted_over_sys,
    nvml_library,
    pyrapl_sensor,
    virtual,
    replayed,
    by_datasheet,
]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_no_dry_run_measures(
    way, powercap_tree, fake_nvml, scenario_dict, monkeypatch, msr_tree, fake_amdsmi, zeus_daemon
):
    meter = way(
        tree=powercap_tree,
        fake_nvml=fake_nvml,
        scenario_dict=scenario_dict,
        monkeypatch=monkeypatch,
        msr_tree=msr_tree,
        fake_amdsmi=fake_amdsmi,
        zeus_daemon=zeus_daemon,
    )
    expected = {"replayed": "replayed", "by_datasheet": "modelled"}.get(way.__name__, "simulated")
    assert meter.kind == expected
    with measure("dry", meter=meter) as m:
        pass
    assert m.kind == expected
    assert {w.kind for w in m.windows} == {expected}
    assert m.to_dict()["kind"] == expected
    meter.close()


@pytest.mark.parametrize(
    ("way", "integrates"),
    [
        (rapl_root, True),
        (registers_root, True),
        (pyrapl_sensor, True),
        (daemon_of_zeus, False),
        (gpu_of_a_daemon_of_zeus, False),
        (nvml_library, False),
        (amd_library, False),
        (sensors_root, False),
        (jetson_root, False),
    ],
    ids=lambda way: getattr(way, "__name__", ""),
)
def test_only_rapl_is_said_to_integrate_the_whole_period(
    way, integrates, powercap_tree, fake_nvml, monkeypatch, msr_tree, fake_amdsmi, zeus_daemon
):
    """The Intel SDM says so of the registers; nobody says so of a board's sensor, nor when the daemon last looked.

    An aligned edge is then charged with the time between two polls and not with a whole period
    (`test_an_aligned_edge_of_a_whole_period_counter_is_charged_with_the_polls`), so it must not be claimed lightly.
    """
    meter = way(
        tree=powercap_tree,
        fake_nvml=fake_nvml,
        monkeypatch=monkeypatch,
        msr_tree=msr_tree,
        fake_amdsmi=fake_amdsmi,
        zeus_daemon=zeus_daemon,
    )
    assert getattr(meter, "integrates_whole_period", False) is integrates
    meter.close()


def test_a_recorded_window_is_never_measured():
    assert Window.from_window_readings(WindowReadings("r", (DOMAIN,), *RECORDED)).kind == "replayed"


def test_uuids_and_libraries_must_agree(fake_nvml, monkeypatch):
    with pytest.raises(MeterUnavailable):
        NvmlMeter(0, library=fake_nvml({"uuid": "GPU-12345678"}))
    monkeypatch.setattr(nvml, "load_library", fake_nvml)
    with pytest.raises(MeterUnavailable):
        NvmlMeter(0)
