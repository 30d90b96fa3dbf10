"""`ZeusdGpuMeter`: the energy counter of one GPU, as the Zeus daemon reads it.

For places without a driver library: a container that was given the daemon's socket and no NVML. The daemon passes
NVML's total-energy counter on (``/gpu/get_cumulative_energy``, mJ; docs/zeusd/api.md of Zeus 0.16), so all that is said
of that counter in `nvml` holds here, and it says of each GPU whether it has a counter worth trusting.

The daemon numbers GPUs its own way and states their PCI addresses: ours, CUDA's, is found from those, by the rules of
`nvml.resolve_handle`.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from energybench.errors import EnergybenchError, MeterUnavailable
from energybench.meters.base import MeterInfo
from energybench.meters.clock import Clock, MonotonicClock
from energybench.meters.nvml import GAIN_REL, NOMINAL_UPDATE_PERIOD_S, counter_scope, resolve_handle
from energybench.meters.nvml_power import PowerScope
from energybench.meters.zeusd_client import ZeusdClient
from energybench.records.reading import Domain, Reading
from energybench.records.vocabulary import Kind
from energybench.units import NJ_PER_MJ, Second, mj_to_nj


@dataclass(frozen=True, slots=True)
class DaemonGpu:
    """One GPU of the daemon: its number there, name, PCI address (None where not stated), and whether it counts."""

    number: int
    name: str
    pci_address: str | None
    has_counter: bool


class ZeusdGpuMeter:
    """Total energy of one GPU through the daemon's socket.

    Args:
        index: The GPU as CUDA numbers it.
        socket_path: The daemon's socket; ``ZEUSD_SOCK_PATH`` or the daemon's default when None.

    Raises:
        MeterUnavailable: no daemon, no such GPU behind it, one without a counter, or an answer that is not understood.
        MeterPermissionError: its socket may not be used, or it wants a token.
    """

    def __init__(self, index: int = 0, socket_path: str | None = None) -> None:
        self._client = ZeusdClient(socket_path, other="nvml")
        self.clock: Clock = MonotonicClock()
        self.nominal_update_period_s: Second | None = NOMINAL_UPDATE_PERIOD_S
        self.name = f"zeusd:gpu-{index}"
        try:
            gpus = _gpus_of(self._client)
            if len(gpus) > 1 and any(gpu.pci_address is None for gpu in gpus):
                raise MeterUnavailable(
                    f"the Zeus daemon at {self._client.path} does not say where its {len(gpus)} GPUs are, so CUDA's "
                    "numbers cannot be told from its own; update zeusd, or use --meter nvml"
                )
            gpu: DaemonGpu = resolve_handle(_as_library(gpus), index, torch=sys.modules.get("torch"))
            if not gpu.has_counter:
                raise MeterUnavailable(
                    f"the Zeus daemon trusts no energy counter of GPU {index} ({gpu.name}); use another GPU"
                )
            self.device_name, self.index, self._number = gpu.name, index, str(gpu.number)
            #: What the counter covers, as `NvmlMeter.scope`.
            self.scope: PowerScope = counter_scope(gpu.name)
            self._domain = f"{self.scope}-{index}"
            self.domains: tuple[Domain, ...] = (Domain(name=self._domain, resolution_nj=NJ_PER_MJ, gain_rel=GAIN_REL),)
            self.kind: Kind = self._client.kind()
            self.read()
        except BaseException:
            self.close()
            raise

    def read(self) -> Reading:
        """Ask once. Raises MeterUnavailable, MeterPermissionError."""
        time_ns = time.monotonic_ns()
        answer = self._client.get(f"/gpu/get_cumulative_energy?gpu_ids={self._number}")
        try:
            energy_mj = answer[self._number]["energy_mj"]
            if type(energy_mj) is not int:
                raise TypeError
        except (KeyError, TypeError):
            raise self._client.not_understood() from None
        return Reading(time_ns, {self._domain: mj_to_nj(energy_mj)})

    def close(self) -> None:
        """Close the connection; a second call does nothing."""
        self._client.close()


def discover_gpus() -> list[MeterInfo]:
    """The GPUs that the daemon reads, a line for all of them; empty where it reads none. Never raises."""
    client = ZeusdClient(other="nvml")
    try:
        gpus = [gpu for gpu in _gpus_of(client) if gpu.has_counter]
        kind = client.kind()
    except EnergybenchError:
        return []
    finally:
        client.close()
    observed = f"a Zeus daemon with {', '.join(f'GPU {gpu.number} ({gpu.name})' for gpu in gpus)}"
    return [MeterInfo("zeusd", True, kind, observed)] if gpus else []


def _gpus_of(client: ZeusdClient) -> list[DaemonGpu]:
    """What the daemon lists. Raises MeterUnavailable where it lists nothing that can be read."""
    found: Any = client.get("/discover")
    try:
        served = "gpu-read" in found.get("enabled_api_groups", ())
        gpus = [
            DaemonGpu(
                int(gpu["id"]),
                str(gpu.get("name", "")),
                gpu.get("pci_address"),
                bool(gpu.get("cumulative_energy_available", True)),
            )
            for gpu in found.get("gpus", ())
        ]
    except (KeyError, TypeError, ValueError, AttributeError):
        raise client.not_understood() from None
    if not served or not gpus:
        what = "does not serve GPUs" if not served else "has no GPU to read"
        raise MeterUnavailable(f"the Zeus daemon at {client.path} {what}; use --meter nvml")
    return gpus


def _as_library(gpus: list[DaemonGpu]) -> Any:
    """The daemon's GPUs, to be asked by `resolve_handle` as NVML is; no answer can fail as NVML's calls do."""

    def at(address: bytes) -> DaemonGpu:
        wanted = _same_form(address.decode())
        for gpu in gpus:
            if gpu.pci_address is not None and _same_form(gpu.pci_address) == wanted:
                return gpu
        raise MeterUnavailable(f"the Zeus daemon has no GPU at {wanted}; use --meter nvml")

    def address_of(gpu: DaemonGpu) -> Any:
        return None if gpu.pci_address is None else SimpleNamespace(busId=_same_form(gpu.pci_address))

    return SimpleNamespace(
        NVMLError=(),
        nvmlDeviceGetCount=lambda: len(gpus),
        nvmlDeviceGetHandleByIndex=gpus.__getitem__,
        nvmlDeviceGetHandleByPciBusId=at,
        nvmlDeviceGetPciInfo=address_of,
        nvmlDeviceGetName=lambda gpu: gpu.name,
    )


def _same_form(address: str) -> str:
    """A PCI address with eight digits of domain, as NVML writes it; ``lspci -D`` writes four."""
    domain, _, rest = address.partition(":")
    return f"{domain.rjust(8, '0')}:{rest}".upper()
