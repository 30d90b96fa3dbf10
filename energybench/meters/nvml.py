"""`NvmlMeter`: the total-energy counter of an NVIDIA GPU through ``pynvml``, the module of the package nvidia-ml-py.

The counter (mJ since the driver was loaded, Volta and later) covers the whole board. Where it is missing the meter is
unavailable and says so: power is not integrated silently in its place. Each call is probed, since a driver may answer
some calls and refuse others.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from energybench.errors import EnergybenchError, MeterPermissionError, MeterUnavailable, UsageError
from energybench.meters.base import MeterInfo
from energybench.meters.clock import Clock, MonotonicClock
from energybench.meters.nvml_power import PowerField, PowerScope, read_power_fields
from energybench.records.reading import Domain, Reading
from energybench.records.vocabulary import Kind
from energybench.units import NJ_PER_MJ, Second, Watt, mj_to_nj, mw_to_w

#: Slowest period found on boards with the counter (GA100, GH100, GA10x, Ada: 100 ms; Volta 20 ms): Yang, Adamek,
#: Armour 2023, arXiv 2312.02741. Characterising the device replaces it.
NOMINAL_UPDATE_PERIOD_S: Final[Second] = 0.1
#: Steady-state gain errors of boards against an external meter lie mostly within this: the same source.
GAIN_REL: Final = 0.05
#: A UUID that begins so belongs to a stand-in library, and its energy is never `measured`.
FAKE_UUID_PREFIX: Final = "GPU-FAKE"

#: Names of superchips, whose counter covers the whole module: CPU, GPU and memory (zeus pull request 172).
_SUPERCHIP: Final = re.compile(r"\bG[HB][23]\d\d\b")
# NVML_GPU_VIRTUALIZATION_MODE_VGPU and NVML_DEVICE_ARCH_VOLTA of nvml.h.
_VIRTUAL_GPU: Final = 2
_VOLTA: Final = 5

# Return codes of nvml.h.
_NOT_SUPPORTED: Final = 3
_NO_PERMISSION: Final = 4
_DRIVER_NOT_LOADED: Final = 9
_LIBRARY_NOT_FOUND: Final = 12
_GPU_IS_LOST: Final = 15

_REMEDY: Final = {
    _NOT_SUPPORTED: "the counter needs Volta or later and a whole GPU (no MIG, no vGPU)",
    _NO_PERMISSION: "give this user access to /dev/nvidia*, as `sudo usermod -aG video $USER` on most systems",
    _DRIVER_NOT_LOADED: "run `sudo modprobe nvidia`, then check `nvidia-smi`",
    _LIBRARY_NOT_FOUND: "install the NVIDIA driver (in a container: `docker run --gpus all …`) and check `nvidia-smi`",
    _GPU_IS_LOST: "reset or reseat the GPU, see `dmesg | grep -i xid`",
}
_REMEDY_OTHER: Final = "check `nvidia-smi`"

#: Bits of nvmlClocksThrottleReasons in nvml.h.
_THROTTLE_REASONS: Final = {
    0x1: "gpu_idle",
    0x2: "applications_clocks_setting",
    0x4: "sw_power_cap",
    0x8: "hw_slowdown",
    0x10: "sync_boost",
    0x20: "sw_thermal_slowdown",
    0x40: "hw_thermal_slowdown",
    0x80: "hw_power_brake_slowdown",
    0x100: "display_clock_setting",
}
# Enumerations of nvml.h: nvmlClockType_t, nvmlTemperatureSensors_t.
_CLOCK_SM: Final = 1
_CLOCK_MEM: Final = 2
_TEMPERATURE_GPU: Final = 0


def load_library() -> Any:
    """The module ``pynvml`` of nvidia-ml-py. Raises MeterUnavailable where it is absent or shadowed."""
    try:
        import pynvml
    except ImportError:
        raise MeterUnavailable("the module pynvml is not installed; run `pip install nvidia-ml-py`") from None
    check_library(pynvml)
    return pynvml


def check_library(library: Any) -> None:
    """Refuse the old package named pynvml, which takes the place of nvidia-ml-py's module. Raises MeterUnavailable."""
    if hasattr(library, "__path__") or not hasattr(library, "NVML_FI_DEV_POWER_INSTANT"):
        raise MeterUnavailable(
            "the old package named pynvml shadows the module of nvidia-ml-py; run `pip uninstall -y pynvml && "
            "pip install --force-reinstall nvidia-ml-py`"
        )


class NvmlMeter:
    """Total energy of one GPU.

    Args:
        index: The GPU as CUDA numbers it.
        library: A stand-in for ``pynvml``. The meter is then `simulated`, and the stand-in's UUIDs must begin with
            ``GPU-FAKE``.

    Raises:
        MeterUnavailable: no driver, no such GPU, no energy counter, a MIG slice, or a UUID that says the opposite of
            how the library came here.
        MeterPermissionError: the driver refuses this user.
    """

    def __init__(self, index: int = 0, *, library: Any | None = None) -> None:
        self._library: Any | None = None
        injected = library is not None
        nvml = library if injected else load_library()
        _call(nvml, "nvmlInit", "its start")
        self._library = nvml
        try:
            # A stand-in has nothing to do with the CUDA devices of this process.
            self._handle = resolve_handle(nvml, index, torch=None if injected else sys.modules.get("torch"))
            self.uuid = _as_text(_call(nvml, "nvmlDeviceGetUUID", f"the UUID of GPU {index}", self._handle))
            self.kind: Kind = _kind_of(self.uuid, injected=injected)
            self.device_name = _as_text(_call(nvml, "nvmlDeviceGetName", f"the name of GPU {index}", self._handle))
            _refuse_mig(nvml, self._handle, index)
            self.index = index
            self.name = f"nvml:{index}"
            self.clock: Clock = MonotonicClock()
            self.nominal_update_period_s: Second | None = NOMINAL_UPDATE_PERIOD_S
            #: What the counter covers; energies of different scopes are never comparable.
            self.scope: PowerScope = counter_scope(self.device_name)
            self._domain = f"{self.scope}-{index}"
            if self.scope == "module":
                self.announcement = (
                    f"the counter of {self.device_name} covers the whole module: CPU, GPU and their memory"
                )
            self.domains: tuple[Domain, ...] = (Domain(name=self._domain, resolution_nj=NJ_PER_MJ, gain_rel=GAIN_REL),)
            self._first_read()
        except BaseException:
            self.close()
            raise

    def _first_read(self) -> None:
        """Whether the counter answers, and if not, why: NVML says the same of three different reasons."""
        try:
            self.read()
        except MeterPermissionError:
            raise
        except MeterUnavailable as error:
            library, index = self._library, self.index
            if _try(library, "nvmlDeviceGetVirtualizationMode", self._handle) == _VIRTUAL_GPU:
                raise MeterUnavailable(
                    f"GPU {index} is a virtual GPU (vGPU) and has no energy counter; measure on its host, or pass the "
                    "whole GPU through"
                ) from None
            architecture = _try(library, "nvmlDeviceGetArchitecture", self._handle)
            if architecture is not None and architecture < _VOLTA:
                raise MeterUnavailable(
                    f"GPU {index} ({self.device_name}) is older than Volta and has no energy counter; use another GPU"
                ) from None
            raise error from None

    def read(self) -> Reading:
        """Poll the counter once. Raises MeterUnavailable when the GPU is lost or has no counter."""
        if self._library is None:
            raise MeterUnavailable("the NVML meter was closed; open it again")
        time_ns = time.monotonic_ns()
        energy_mj = _call(
            self._library,
            "nvmlDeviceGetTotalEnergyConsumption",
            f"the energy counter of GPU {self.index}",
            self._handle,
        )
        return Reading(time_ns, {self._domain: mj_to_nj(int(energy_mj))})

    def read_power_fields(self) -> Mapping[PowerField, Watt]:
        """The power fields that the board answers, by scope and by instant or average."""
        if self._library is None:
            raise MeterUnavailable("the NVML meter was closed; open it again")
        return read_power_fields(self._library, self._handle)

    def read_power_w(self) -> Watt | None:
        """Power now, of what the counter covers; the running average where no instant is told, None without either."""
        fields = self.read_power_fields()
        return fields.get(PowerField(self.scope, "instant"), fields.get(PowerField(self.scope, "average")))

    def device_state(self) -> dict[str, Any]:
        """Clocks, temperature, power, throttle reasons and processes, as `read_device_state`."""
        if self._library is None:
            raise MeterUnavailable("the NVML meter was closed; open it again")
        return _device_state(self._library, self._handle)

    def close(self) -> None:
        """Release NVML; a second call does nothing."""
        library, self._library = self._library, None
        if library is not None:
            _try(library, "nvmlShutdown")


def counter_scope(device_name: str) -> PowerScope:
    """What the energy counter of a GPU of that name covers: the board, or a superchip's whole module."""
    return "module" if _SUPERCHIP.search(device_name) else "gpu"


def read_device_state(index: int = 0, *, library: Any | None = None) -> dict[str, Any]:
    """The state of one GPU, for the edges of a window. What the driver does not tell is None.

    Keys: ``uuid name driver_version clock_sm_mhz clock_mem_mhz clock_sm_max_mhz temp_c power_w power_limit_w
    utilisation`` (0…1), ``throttle_reasons`` (names of nvml.h in lower case), ``process_ids`` (of compute processes).

    Raises:
        MeterUnavailable: no driver or no such GPU.
    """
    nvml = library if library is not None else load_library()
    _call(nvml, "nvmlInit", "its start")
    try:
        torch = None if library is not None else sys.modules.get("torch")
        return _device_state(nvml, resolve_handle(nvml, index, torch=torch))
    finally:
        _try(nvml, "nvmlShutdown")


def resolve_handle(
    library: Any, index: int, *, torch: Any | None = None, environ: Mapping[str, str] = os.environ
) -> Any:
    """The NVML handle of CUDA device `index`; the two number devices differently.

    Where torch has initialised CUDA its device properties name the board (UUID or PCI address). Otherwise
    ``CUDA_VISIBLE_DEVICES`` is applied to NVML's devices in order of their PCI address; boards of different kinds then
    need ``CUDA_DEVICE_ORDER=PCI_BUS_ID``, since CUDA's own order puts the fastest first.

    Raises:
        MeterUnavailable: no such device, a MIG slice, or an order that cannot be known.
        UsageError: a negative index.
    """
    if index < 0:
        raise UsageError(f"GPU index {index} is negative; count from 0")
    if torch is not None and hasattr(torch, "cuda") and torch.cuda.is_initialized():
        return _handle_from_torch(library, index, torch)
    handles = _handles_by_pci(library)
    order_known = environ.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID" or len(set(_names(library, handles))) <= 1
    visible = environ.get("CUDA_VISIBLE_DEVICES")
    entries = [str(i) for i in range(len(handles))] if visible is None else _entries(visible)
    if index >= len(entries):
        where = "" if visible is None else f" in CUDA_VISIBLE_DEVICES={visible}"
        raise MeterUnavailable(f"there is no GPU {index}{where}, only {len(entries)}; choose a lower --device cuda:N")
    entry = entries[index]
    if entry.startswith("MIG-"):
        raise MeterUnavailable(
            f"GPU {index} is the MIG slice {entry} and its counter covers the whole board; use a GPU without MIG"
        )
    if entry.startswith("GPU-"):
        matches = [h for h in handles if _as_text(_try(library, "nvmlDeviceGetUUID", h) or "").startswith(entry)]
        if len(matches) != 1:
            raise MeterUnavailable(
                f"{len(matches)} GPUs match {entry}; give the whole UUID as `nvidia-smi -L` lists it"
            )
        return matches[0]
    if not entry.isdigit() or int(entry) >= len(handles):
        raise MeterUnavailable(f"CUDA_VISIBLE_DEVICES names {entry!r}, which is no GPU here; see `nvidia-smi -L`")
    if not order_known:
        raise MeterUnavailable(
            "GPUs of different kinds are numbered differently by CUDA and NVML; set CUDA_DEVICE_ORDER=PCI_BUS_ID"
        )
    return handles[int(entry)]


def visible_gpu_count(library: Any | None = None, *, environ: Mapping[str, str] = os.environ) -> int:
    """How many GPUs CUDA would number here. Raises MeterUnavailable where there is no NVML."""
    nvml = library if library is not None else load_library()
    _call(nvml, "nvmlInit", "its start")
    try:
        count = int(_call(nvml, "nvmlDeviceGetCount", "the number of GPUs"))
    finally:
        _try(nvml, "nvmlShutdown")
    visible = environ.get("CUDA_VISIBLE_DEVICES")
    return count if visible is None else min(count, len(_entries(visible)))


def discover(library: Any | None = None) -> list[MeterInfo]:
    """One line per GPU for `energybench doctor`. Raises where there is no NVML at all."""
    nvml = library if library is not None else load_library()
    _call(nvml, "nvmlInit", "its start")
    try:
        count = int(_call(nvml, "nvmlDeviceGetCount", "the number of GPUs"))
    finally:
        _try(nvml, "nvmlShutdown")
    if count == 0:
        raise MeterUnavailable("NVML sees no GPU; check `nvidia-smi` and, in a container, `docker run --gpus all …`")
    infos: list[MeterInfo] = []
    for index in range(count):
        name = f"nvml:{index}"
        kind: Kind = "measured" if library is None else "simulated"
        try:
            meter = NvmlMeter(index, library=library)
        except EnergybenchError as error:
            observed, _, remedy = str(error).partition("; ")
            infos.append(MeterInfo(name, available=False, kind=kind, observed=observed, remedy=remedy))
            continue
        observed = f"{meter.device_name} ({meter.uuid}) with an energy counter"
        infos.append(MeterInfo(name, available=True, kind=meter.kind, observed=observed, domains=meter.domains))
        meter.close()
    return infos


def _call(library: Any, function: str, what: str, *args: Any) -> Any:
    """One NVML call with its errors translated."""
    call: Callable[..., Any] | None = getattr(library, function, None)
    if call is None:
        raise MeterUnavailable(f"this pynvml has no {function}; run `pip install --upgrade nvidia-ml-py`")
    try:
        return call(*args)
    except library.NVMLError as error:
        code = getattr(error, "value", None)
        message = f"NVML fails at {what} ({error}); {_REMEDY.get(code, _REMEDY_OTHER) if code else _REMEDY_OTHER}"
        raise (MeterPermissionError if code == _NO_PERMISSION else MeterUnavailable)(message) from None


def _try(library: Any, function: str, *args: Any) -> Any | None:
    """One NVML call whose answer may be missing: None then."""
    call = getattr(library, function, None)
    if call is None:
        return None
    try:
        return call(*args)
    except library.NVMLError:
        return None


def _kind_of(uuid: str, *, injected: bool) -> Kind:
    fake = uuid.startswith(FAKE_UUID_PREFIX)
    if injected and not fake:
        raise MeterUnavailable(f"a stand-in library claims the real GPU {uuid}; let its UUIDs begin with GPU-FAKE")
    if fake and not injected:
        raise MeterUnavailable(
            f"GPU {uuid} belongs to a fake libnvidia-ml, so it cannot be measured; load the driver's own library"
        )
    return "simulated" if injected else "measured"


def _refuse_mig(library: Any, handle: Any, index: int) -> None:
    mode = _try(library, "nvmlDeviceGetMigMode", handle)
    if mode is not None and mode[0] == 1:
        raise MeterUnavailable(
            f"GPU {index} is in MIG mode and the counter covers the board; run `sudo nvidia-smi -i {index} -mig 0`"
        )


def _handle_from_torch(library: Any, index: int, torch: Any) -> Any:
    if index >= torch.cuda.device_count():
        raise MeterUnavailable(f"there is no CUDA device {index}; choose a lower --device cuda:N")
    properties = torch.cuda.get_device_properties(index)
    if all(hasattr(properties, key) for key in ("pci_domain_id", "pci_bus_id", "pci_device_id")):
        bus_id = f"{properties.pci_domain_id:08X}:{properties.pci_bus_id:02X}:{properties.pci_device_id:02X}.0"
        return _call(library, "nvmlDeviceGetHandleByPciBusId", f"the GPU at {bus_id}", bus_id.encode())
    uuid = f"GPU-{properties.uuid}"
    return _call(library, "nvmlDeviceGetHandleByUUID", f"the GPU {uuid}", uuid.encode())


def _handles_by_pci(library: Any) -> list[Any]:
    count = int(_call(library, "nvmlDeviceGetCount", "the number of GPUs"))
    handles = [_call(library, "nvmlDeviceGetHandleByIndex", f"GPU {i}", i) for i in range(count)]
    addresses = [_try(library, "nvmlDeviceGetPciInfo", handle) for handle in handles]
    if any(address is None for address in addresses):
        return handles
    keyed = [(_as_text(address.busId), i) for i, address in enumerate(addresses) if address is not None]
    return [handles[i] for _, i in sorted(keyed)]


def _names(library: Any, handles: Sequence[Any]) -> list[str]:
    return [_as_text(_try(library, "nvmlDeviceGetName", handle) or "") for handle in handles]


def _entries(visible: str) -> list[str]:
    """CUDA stops at the first entry that is negative or empty."""
    entries: list[str] = []
    for entry in (part.strip() for part in visible.split(",")):
        if not entry or entry.startswith("-"):
            break
        entries.append(entry)
    return entries


def _as_text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _device_state(library: Any, handle: Any) -> dict[str, Any]:
    reasons = _try(library, "nvmlDeviceGetCurrentClocksThrottleReasons", handle)
    processes = _try(library, "nvmlDeviceGetComputeRunningProcesses", handle)
    power_mw = _try(library, "nvmlDeviceGetPowerUsage", handle)
    limit_mw = _try(library, "nvmlDeviceGetEnforcedPowerLimit", handle)
    rates = _try(library, "nvmlDeviceGetUtilizationRates", handle)
    uuid, name, driver = (
        _try(library, "nvmlDeviceGetUUID", handle),
        _try(library, "nvmlDeviceGetName", handle),
        _try(library, "nvmlSystemGetDriverVersion"),
    )
    return {
        "uuid": None if uuid is None else _as_text(uuid),
        "name": None if name is None else _as_text(name),
        "driver_version": None if driver is None else _as_text(driver),
        "clock_sm_mhz": _try(library, "nvmlDeviceGetClockInfo", handle, _CLOCK_SM),
        "clock_mem_mhz": _try(library, "nvmlDeviceGetClockInfo", handle, _CLOCK_MEM),
        "clock_sm_max_mhz": _try(library, "nvmlDeviceGetMaxClockInfo", handle, _CLOCK_SM),
        "temp_c": _try(library, "nvmlDeviceGetTemperature", handle, _TEMPERATURE_GPU),
        "power_w": None if power_mw is None else mw_to_w(power_mw),
        "power_limit_w": None if limit_mw is None else mw_to_w(limit_mw),
        "utilisation": None if rates is None else rates.gpu / 100,
        "throttle_reasons": None if reasons is None else [n for bit, n in _THROTTLE_REASONS.items() if reasons & bit],
        "process_ids": None if processes is None else sorted(int(p.pid) for p in processes),
    }
