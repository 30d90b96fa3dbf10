from types import SimpleNamespace
from typing import Any

import pytest

from energybench.errors import MeterPermissionError, MeterUnavailable, UsageError
from energybench.meters import nvml
from energybench.meters.nvml import NvmlMeter, check_library, read_device_state, resolve_handle
from energybench.meters.window import Window


def test_energy_is_the_counter_in_nanojoules(fake_nvml):
    library = fake_nvml({"energy_mj": 5_000})
    meter = NvmlMeter(0, library=library)
    begin = meter.read()
    library.boards[0]["energy_mj"] += 1_234_567
    window = Window.from_readings(begin, meter.read(), meter.domains, kind=meter.kind, update_period_s=0.1)
    assert begin.energy_nj == {"gpu-0": 5_000_000_000}
    assert window.energy_j == pytest.approx(1234.567, abs=1e-12)
    assert window.gain_uncertainty_j == pytest.approx(0.05 * 1234.567)
    assert meter.kind == "simulated"
    assert meter.device_name == "Fake H100"


def test_init_once_and_shutdown_once(fake_nvml):
    library = fake_nvml()
    meter = NvmlMeter(0, library=library)
    for _ in range(10):
        meter.read()
    meter.close()
    meter.close()
    assert (library.starts, library.stops) == (1, 1)
    with pytest.raises(MeterUnavailable, match="closed"):
        meter.read()
    with pytest.raises(MeterUnavailable, match="closed"):
        meter.device_state()


@pytest.mark.parametrize(
    ("call", "code", "error", "what"),
    [
        ("nvmlInit", 12, MeterUnavailable, "install the NVIDIA driver"),
        ("nvmlInit", 9, MeterUnavailable, "modprobe nvidia"),
        ("nvmlDeviceGetTotalEnergyConsumption", 3, MeterUnavailable, "Volta"),
        ("nvmlDeviceGetTotalEnergyConsumption", 4, MeterPermissionError, "access to /dev/nvidia"),
        ("nvmlDeviceGetTotalEnergyConsumption", 15, MeterUnavailable, "xid"),
        ("nvmlDeviceGetUUID", 999, MeterUnavailable, "nvidia-smi"),
        ("nvmlDeviceGetHandleByIndex", 2, MeterUnavailable, "nvidia-smi"),
    ],
)
def test_every_call_is_probed_and_its_error_translated(fake_nvml, call, code, error, what):
    library = fake_nvml()
    library.fail[call] = code
    with pytest.raises(error, match=what) as raised:
        NvmlMeter(0, library=library)
    assert "\n" not in str(raised.value)
    assert library.starts == library.stops  # nothing is left started


def test_a_gpu_lost_in_the_middle(fake_nvml):
    library = fake_nvml()
    meter = NvmlMeter(0, library=library)
    library.fail["nvmlDeviceGetTotalEnergyConsumption"] = 15
    with pytest.raises(MeterUnavailable, match="energy counter of GPU 0"):
        meter.read()


def test_power_never_stands_in_for_the_counter(fake_nvml):
    library = fake_nvml()
    library.fail["nvmlDeviceGetTotalEnergyConsumption"] = 3
    (info,) = nvml.discover(library)
    assert not info.available
    assert "Volta" in info.remedy


def test_a_shadowing_package_is_refused():
    old_package = SimpleNamespace(__path__=["site-packages/pynvml"], NVML_FI_DEV_POWER_INSTANT=186)
    old_module = SimpleNamespace(nvmlInit=lambda: None)
    for library in (old_package, old_module):
        with pytest.raises(MeterUnavailable, match="pip uninstall -y pynvml"):
            check_library(library)


def test_the_installed_library_is_the_right_one():
    assert nvml.load_library().__name__ == "pynvml"


def test_a_real_uuid_from_a_stand_in_is_refused(fake_nvml):
    with pytest.raises(MeterUnavailable, match="GPU-FAKE"):
        NvmlMeter(0, library=fake_nvml({"uuid": "GPU-8a6b0d3c"}))


def test_a_fake_uuid_through_the_real_path_is_refused(fake_nvml, monkeypatch):
    library = fake_nvml()
    monkeypatch.setattr(nvml, "load_library", lambda: library)
    with pytest.raises(MeterUnavailable, match="fake libnvidia-ml"):
        NvmlMeter(0)
    assert library.starts == library.stops


def test_mig_is_refused(fake_nvml):
    with pytest.raises(MeterUnavailable, match="MIG mode"):
        NvmlMeter(0, library=fake_nvml({"mig": 1}))
    assert NvmlMeter(0, library=fake_nvml({"mig": 0})).kind == "simulated"


def test_a_counter_that_was_reset_is_refused_not_negative(fake_nvml):
    from energybench.errors import CounterWrapAmbiguous

    library = fake_nvml()
    meter = NvmlMeter(0, library=library)
    begin = meter.read()
    library.boards[0]["energy_mj"] = 0
    with pytest.raises(CounterWrapAmbiguous, match="reset"):
        Window.from_readings(begin, meter.read(), meter.domains, kind=meter.kind, update_period_s=0.1)


# ---- which board is CUDA device N? ----


def uuid(library: Any, index: int, **kw: Any) -> str:
    return str(resolve_handle(library, index, **kw)["uuid"])


def test_nvml_order_is_that_of_the_pci_address(fake_nvml):
    library = fake_nvml({"bus": "00000000:81:00.0"}, {"bus": "00000000:01:00.0"})
    assert uuid(library, 0, environ={}) == "GPU-FAKE-1"


def test_visible_devices_renumber(fake_nvml):
    library = fake_nvml({}, {}, {})
    assert uuid(library, 0, environ={"CUDA_VISIBLE_DEVICES": "2,0"}) == "GPU-FAKE-2"
    assert uuid(library, 1, environ={"CUDA_VISIBLE_DEVICES": "2, 0"}) == "GPU-FAKE-0"
    assert uuid(library, 0, environ={"CUDA_VISIBLE_DEVICES": "GPU-FAKE-1"}) == "GPU-FAKE-1"
    with pytest.raises(MeterUnavailable, match="only 1"):
        uuid(library, 1, environ={"CUDA_VISIBLE_DEVICES": "2,-1,0"})
    with pytest.raises(MeterUnavailable, match="only 0"):
        uuid(library, 0, environ={"CUDA_VISIBLE_DEVICES": ""})
    with pytest.raises(MeterUnavailable, match="3 GPUs match GPU-FAKE"):
        uuid(library, 0, environ={"CUDA_VISIBLE_DEVICES": "GPU-FAKE"})
    with pytest.raises(MeterUnavailable, match="MIG"):
        uuid(library, 0, environ={"CUDA_VISIBLE_DEVICES": "MIG-GPU-FAKE-0/1/0"})
    with pytest.raises(MeterUnavailable, match="no GPU here"):
        uuid(library, 0, environ={"CUDA_VISIBLE_DEVICES": "7"})
    with pytest.raises(UsageError, match="negative"):
        uuid(library, -1, environ={})


def test_unlike_boards_need_a_known_order(fake_nvml):
    library = fake_nvml({"name": "Fake A"}, {"name": "Fake B"})
    with pytest.raises(MeterUnavailable, match="CUDA_DEVICE_ORDER=PCI_BUS_ID"):
        uuid(library, 0, environ={})
    assert uuid(library, 1, environ={"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}) == "GPU-FAKE-1"
    assert uuid(library, 0, environ={"CUDA_VISIBLE_DEVICES": "GPU-FAKE-1"}) == "GPU-FAKE-1"


def torch_with(properties: Any, *, initialised: bool = True, count: int = 1) -> Any:
    cuda = SimpleNamespace(
        is_initialized=lambda: initialised, device_count=lambda: count, get_device_properties=lambda _: properties
    )
    return SimpleNamespace(cuda=cuda)


def test_torch_names_the_board_where_it_has_started_cuda(fake_nvml):
    library = fake_nvml({}, {"uuid": "GPU-FAKE-b"})
    by_pci = torch_with(SimpleNamespace(pci_domain_id=0, pci_bus_id=2, pci_device_id=0, uuid="FAKE-0"))
    assert uuid(library, 0, torch=by_pci, environ={}) == "GPU-FAKE-b"
    # Addresses are hexadecimal, upper case, with a domain of eight digits.
    far = fake_nvml({}, {"uuid": "GPU-FAKE-far", "bus": "0000001F:C7:1A.0"})
    by_pci_far = torch_with(SimpleNamespace(pci_domain_id=31, pci_bus_id=199, pci_device_id=26, uuid="FAKE-0"))
    assert uuid(far, 0, torch=by_pci_far, environ={}) == "GPU-FAKE-far"
    by_uuid = torch_with(SimpleNamespace(uuid="FAKE-b"))
    assert uuid(library, 0, torch=by_uuid, environ={}) == "GPU-FAKE-b"
    idle = torch_with(None, initialised=False)
    assert uuid(library, 0, torch=idle, environ={}) == "GPU-FAKE-0"
    with pytest.raises(MeterUnavailable, match="no CUDA device 3"):
        uuid(library, 3, torch=by_pci, environ={})


# ---- device state ----


def test_device_state(fake_nvml):
    library = fake_nvml()
    state = read_device_state(0, library=library)
    assert state == {
        "uuid": "GPU-FAKE-0",
        "name": "Fake H100",
        "driver_version": "580.00",
        "clock_sm_mhz": 1755,
        "clock_mem_mhz": 2619,
        "clock_sm_max_mhz": 1980,
        "temp_c": 51,
        "power_w": pytest.approx(123.456),
        "power_limit_w": pytest.approx(700.0),
        "utilisation": pytest.approx(0.25),
        "throttle_reasons": ["sw_power_cap", "hw_thermal_slowdown"],
        "process_ids": [7, 42],
    }
    assert (library.starts, library.stops) == (1, 1)
    assert NvmlMeter(0, library=library).device_state() == state


def test_state_that_is_not_told_is_none(fake_nvml):
    library = fake_nvml()
    for call in (
        "nvmlDeviceGetCurrentClocksThrottleReasons",
        "nvmlDeviceGetComputeRunningProcesses",
        "nvmlDeviceGetPowerUsage",
        "nvmlDeviceGetTemperature",
        "nvmlDeviceGetUtilizationRates",
    ):
        library.fail[call] = 3
    state = read_device_state(0, library=library)
    assert [k for k, v in state.items() if v is None] == [
        "temp_c",
        "power_w",
        "utilisation",
        "throttle_reasons",
        "process_ids",
    ]


def test_discover_lists_each_gpu(fake_nvml):
    infos = nvml.discover(fake_nvml({}, {"mig": 1}))
    assert [(i.name, i.available, i.kind) for i in infos] == [
        ("nvml:0", True, "simulated"),
        ("nvml:1", False, "simulated"),
    ]
    assert "nvidia-smi -i 1 -mig 0" in infos[1].remedy
