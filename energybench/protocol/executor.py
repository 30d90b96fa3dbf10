"""Executors: how a workload runs, on the machine's own devices or on a virtual one. The protocol sees no difference."""

from __future__ import annotations

import os
import sys
import zlib
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Protocol

from energybench.errors import MeterUnavailable, UsageError
from energybench.kernels.grids import launched_grids, wave_shape
from energybench.meters.discovery import gpu_index
from energybench.protocol.device_state import CpuProbe, DeviceState, gpu_state
from energybench.protocol.host_memory import available_bytes
from energybench.records.environment import Fact
from energybench.records.input_distribution import zero_share
from energybench.units import Byte
from energybench.workloads.rotation import Rotation, copies_for
from energybench.workloads.workload import Runnable, Workload

if TYPE_CHECKING:
    from energybench.meters.base import EnergyMeter
    from energybench.meters.virtual_device import VirtualDevice


class NotFinite(ArithmeticError):
    """A workload's output holds NaN or infinity: what it costs would be the cost of a fault."""


class NotEnoughMemory(MemoryError):
    """A workload that would not fit into the memory that is free, found out before anything was allocated."""


#: Stays free on the host: what this process and its neighbours may take while a row runs.
HEADROOM_BYTES: Final = 256 * 2**20


class Prepared(Protocol):
    """A workload that is ready to run."""

    def run(self, calls: int) -> None:
        """`calls` calls back to back; may return before the device is done."""
        ...

    def fence(self) -> None:
        """Wait until the device is done."""
        ...

    @property
    def grid(self) -> Mapping[str, int]:
        """What a record's shape says of the kernels' grid (`wave_shape`); empty where no kernel tells."""
        ...

    def release(self) -> None:
        """Let go of the memory."""
        ...


class Executor(Protocol):
    """Where workloads run. `device` is what records say: ``cpu``, ``cuda:0``, or a virtual device's name."""

    device: str
    device_name: str
    threads: int | None

    def prepare(self, workload: Workload) -> Prepared:
        """Build the workload and check its outputs once. Raises NotFinite, MemoryError, or what building it raises."""
        ...

    def state(self) -> DeviceState:
        """The device now."""
        ...

    @property
    def is_watched(self) -> bool:
        """Whether `state` is worth asking for while work runs: where it tells of the moment, not of the time since."""
        ...

    def facts(self) -> dict[str, Fact]:
        """What the environment should say of how work runs here."""
        ...


def import_torch_passive() -> tuple[Any, str | None]:
    """Torch, loaded such that its idle worker threads sleep, and the wait policy it was loaded with.

    OpenMP runtimes read ``OMP_WAIT_POLICY`` once, when they are loaded, and spin for milliseconds after every parallel
    region otherwise: energy that no count explains. A policy that the user set stays, and so does one of a torch that
    is loaded already, which is then not known; the idle windows wait for the spinning to end either way.
    """
    name = "OMP_WAIT_POLICY"
    chosen = os.environ.get(name)
    if chosen is None and "torch" in sys.modules:
        return sys.modules["torch"], None
    if chosen is None:
        os.environ[name] = "PASSIVE"
    try:
        import torch
    finally:
        if chosen is None:
            del os.environ[name]
    return torch, chosen or "PASSIVE"


def workload_seed(name: str, seed: int) -> int:
    """The seed of a workload's inputs: from its name, so that another order means the same data."""
    return (zlib.crc32(name.encode()) + seed) % 2**31


class _HostPrepared:
    def __init__(self, runnable: Runnable, synchronise: Any, free: Callable[[], None], grid: Mapping[str, int]) -> None:
        self._runnable: Runnable | None = runnable
        self.grid = grid
        self._synchronise = synchronise
        self._free = free

    def run(self, calls: int) -> None:
        assert self._runnable is not None
        run = self._runnable.run
        for _ in range(calls):
            run()

    def fence(self) -> None:
        if self._synchronise is not None:
            self._synchronise()

    def release(self) -> None:
        self._runnable = None
        self._free()


class HostExecutor:
    """Runs workloads on the CPU or on a CUDA device, through torch and the native kernels.

    Args:
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        threads: CPU threads; torch's own choice when None.
        meter: The run's meter; a GPU's meter also tells the device's state.
        seed: Seed of the inputs.

    Raises:
        UsageError: an unknown device.
        MeterUnavailable: a CUDA device that torch cannot use.
    """

    def __init__(
        self, device: str = "cpu", *, threads: int | None = None, meter: EnergyMeter | None = None, seed: int = 0
    ) -> None:
        self._torch, self._wait_policy = import_torch_passive()
        torch = self._torch
        index = gpu_index(device)
        if threads is not None and threads < 1:
            raise UsageError(f"threads={threads} is not possible; give 1 or more")
        self._seed = seed
        self._read_gpu = getattr(meter, "device_state", None) if index is not None else None
        if index is None:
            if threads is not None:
                torch.set_num_threads(threads)
            self.device = "cpu"
            self.threads: int | None = torch.get_num_threads()
            self.device_name = cpu_name()
            self._probe: CpuProbe | None = CpuProbe()
            self._synchronise = self._empty_cache = self._free_on_gpu = None
        else:
            if not torch.cuda.is_available():
                raise MeterUnavailable(
                    f"torch {torch.__version__} cannot use CUDA here, so {device} cannot run; "
                    "install a CUDA build of torch and the driver, or use --device cpu"
                )
            if index >= torch.cuda.device_count():
                raise UsageError(f"there is no {device}, only {torch.cuda.device_count()} device(s); lower the index")
            torch.cuda.set_device(index)
            self.device, self.threads = f"cuda:{index}", threads
            self.device_name = torch.cuda.get_device_name(index)
            self._probe = None
            self._synchronise = lambda: torch.cuda.synchronize(index)
            self._empty_cache = torch.cuda.empty_cache
            self._free_on_gpu = lambda: torch.cuda.mem_get_info(index)[0]

    def prepare(self, workload: Workload) -> Prepared:
        """Build on the device, run once, refuse outputs that are not finite, and what would not fit into memory.

        A row with cold caches is built once for each copy of its operands. One with threads of its own has torch use
        them until it is released.
        """
        copies = 1
        if workload.caches == "cold":
            copies = copies_for(workload.name, workload.counts().bytes, self._last_cache_bytes())
        self._require_memory(workload, copies)
        if workload.threads is not None and self._probe is None:
            raise UsageError(f"{workload.name} asks for CPU threads, and {self.device} has none; leave the row out")
        self._use_threads(workload.threads)
        try:
            threads = self.threads if workload.threads is None else workload.threads
            runnable = workload.build(self.device, threads=threads, seed=workload_seed(workload.name, self._seed))
            if copies > 1:
                runnable = Rotation(runnable, copies)
            grid = self._run_once(workload, runnable)
            if not runnable.is_finite():
                raise NotFinite(f"{workload.name}: an output is NaN or infinite")
        except BaseException:
            self._let_go()
            raise
        return _HostPrepared(runnable, self._synchronise, self._let_go, grid)

    def _run_once(self, workload: Workload, runnable: Runnable) -> Mapping[str, int]:
        """Run it, and say in what waves: of our own CUDA kernels, for a library tells nobody its grid."""
        if self._probe is not None or workload.implementation != "native":
            runnable.run()
            return {}
        units = self._torch.cuda.get_device_properties(self.device).multi_processor_count
        return wave_shape(launched_grids(runnable.run), units)

    def _use_threads(self, threads: int | None) -> None:
        """Torch's own number, or the run's again."""
        wanted = self.threads if threads is None else threads
        if self._probe is not None and wanted is not None and wanted != self._torch.get_num_threads():
            self._torch.set_num_threads(wanted)

    def _let_go(self) -> None:
        self._use_threads(None)
        if self._empty_cache is not None:
            self._empty_cache()

    def _require_memory(self, workload: Workload, copies: int) -> None:
        """Raise NotEnoughMemory unless the workload fits; where nobody tells what is free, it is tried."""
        needed_bytes = workload.needed_bytes(copies)
        if self._free_on_gpu is not None:
            _refuse_larger(workload.name, needed_bytes, self._free_on_gpu(), "on the GPU")
            needed_bytes = 2 * 4 * workload.parameters  # modules are made on the host
        free_bytes = available_bytes()
        if free_bytes is not None:
            _refuse_larger(workload.name, needed_bytes, max(0, free_bytes - HEADROOM_BYTES), "on the host")

    @property
    def is_watched(self) -> bool:
        """A GPU whose meter tells its state; the CPU's own counters cover the time between two looks."""
        return self._probe is None and self._read_gpu is not None

    def state(self) -> DeviceState:
        """From NVML for a GPU whose meter can tell, from the kernel's files for the CPU."""
        if self._probe is not None:
            return self._probe.state()
        return gpu_state(self._read_gpu()) if self._read_gpu is not None else DeviceState()

    def facts(self) -> dict[str, Fact]:
        """Threads, how idle ones wait, and what the device says of its last cache, units and clock."""
        return {"threads": self.threads, "omp_wait_policy": self._wait_policy, **self._hardware()}

    def _last_cache_bytes(self) -> Byte | None:
        if self._probe is not None:
            return self._probe.last_cache_bytes()
        return int(self._torch.cuda.get_device_properties(self.device).L2_cache_size)

    def _hardware(self) -> dict[str, Fact]:
        if self._probe is not None:
            return {
                "last_cache_bytes": self._last_cache_bytes(),
                "compute_units": self.threads,
                "highest_clock_mhz": self._probe.highest_clock_mhz(),
                "power_cap_w": self._probe.power_limit_w(),
            }
        gpu = self._torch.cuda.get_device_properties(self.device)
        return {"last_cache_bytes": self._last_cache_bytes(), "compute_units": gpu.multi_processor_count}


def _refuse_larger(name: str, needed_bytes: Byte, free_bytes: Byte, where: str) -> None:
    if needed_bytes > free_bytes:
        raise NotEnoughMemory(
            f"{name} may take {needed_bytes / 1e9:.2f} GB, {free_bytes / 1e9:.2f} GB are free {where}"
        )


def cpu_name() -> str:
    """The CPU's model name."""
    from energybench.meters.modelled import cpu_model_name

    return cpu_model_name() or "unknown CPU"


class _VirtualPrepared:
    grid: Mapping[str, int] = MappingProxyType({})  # nothing is launched

    def __init__(self, device: VirtualDevice, workload: Workload) -> None:
        self._device, self._workload = device, workload
        self._counts = workload.counts()

    def run(self, calls: int) -> None:
        self._device.execute(
            self._counts,
            calls,
            kernel_class=self._workload.kernel_class,
            dtype=self._workload.dtype,
            zero_share=zero_share(self._workload.input_distribution),
            is_cold=self._workload.caches == "cold",
        )

    def fence(self) -> None:
        pass

    def release(self) -> None:
        pass


class VirtualExecutor:
    """Spends a workload's counts on a virtual device. The real work is never built or run."""

    def __init__(self, device: VirtualDevice, *, name: str = "cpu") -> None:
        self._virtual = device
        self.device = name
        self.device_name = device.name
        self.threads: int | None = None

    def prepare(self, workload: Workload) -> Prepared:
        """Count the workload. Raises CountingError, or UsageError where the scenario plants no cost for it."""
        prepared = _VirtualPrepared(self._virtual, workload)
        if not workload.is_idle:
            prepared.run(1)
        return prepared

    is_watched = False

    def state(self) -> DeviceState:
        """A virtual device has no thermometer and no neighbours; it may tell its clock."""
        return DeviceState(clock_mhz=self._virtual.clock_mhz)

    def facts(self) -> dict[str, Fact]:
        """Nothing ran; what the device says of itself."""
        return {"is_virtual": True, **{k: v for k, v in self._virtual.facts().items() if v is not None}}


def why_it_cannot_run(error: BaseException) -> str:
    """One line on a workload that failed, for ``run.json``."""
    text = " ".join(str(error).split())
    if is_out_of_memory(error):
        return f"out of memory: {text}" if isinstance(error, NotEnoughMemory) else "out of memory"
    return text or repr(error)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on the host or on a GPU."""
    torch = sys.modules.get("torch")
    gpu_error = getattr(getattr(torch, "cuda", None), "OutOfMemoryError", None)
    if isinstance(error, MemoryError) or (gpu_error is not None and isinstance(error, gpu_error)):
        return True
    return isinstance(error, RuntimeError) and (
        "out of memory" in str(error).lower() or "can't allocate memory" in str(error).lower()
    )
