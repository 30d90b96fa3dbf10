"""Loading the compiled modules: `_cpu` on first use, `_cuda` only when a CUDA device is asked for."""

from __future__ import annotations

import functools
import importlib
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Final, Literal, TypeAlias

from energybench.errors import NativeModuleError, UsageError

Target: TypeAlias = Literal["cpu", "cuda"]

#: libgomp reads its environment once, when it is loaded; with ``PASSIVE`` idle workers sleep instead of spinning for
#: about 300,000 rounds after each parallel region (libgomp manual, GOMP_SPINCOUNT), which would burn energy in windows.
WAIT_POLICY: Final = "OMP_WAIT_POLICY"
#: What the tests' build of the CUDA sources for the host (tests/cuda/stand_in) says it was built for.
_STAND_IN: Final = "host stand-in"
_BUILD_HINT: Final = "reinstall with: pip install --force-reinstall --no-deps energybench"


@functools.cache
def cpu() -> ModuleType:
    """The module ``energybench._cpu``. Raises NativeModuleError when it is missing or this processor lacks AVX2."""
    chosen = os.environ.get(WAIT_POLICY)
    if chosen is None:
        os.environ[WAIT_POLICY] = "PASSIVE"
    try:
        return importlib.import_module("energybench._cpu")
    except ImportError as error:
        raise NativeModuleError(f"the CPU kernels cannot be loaded ({error}); {_BUILD_HINT}") from error
    finally:
        if chosen is None:
            del os.environ[WAIT_POLICY]


@functools.cache
def cuda() -> ModuleType:
    """The module ``energybench._cuda``. Raises NativeModuleError when it was not built, or is no GPU's."""
    try:
        module = importlib.import_module("energybench._cuda")
    except ImportError as error:
        raise NativeModuleError(
            f"the CUDA kernels cannot be loaded ({error}); on a machine with nvcc: ENERGYBENCH_CUDA=on pip install ."
        ) from error
    if module.architectures == _STAND_IN:  # what runs on a processor must never be measured as a GPU
        raise NativeModuleError(f"energybench._cuda is the tests' host stand-in and no GPU's; {_BUILD_HINT}")
    return module


def describe_native(target: Target = "cpu") -> str:
    """One line on a compiled module: how it was built, and the threads or devices it finds.

    The CUDA line says ``no device`` where the module loads and no GPU can be used. Raises NativeModuleError when the
    module cannot be loaded.
    """
    if target == "cpu":
        module = cpu()
        return f"{module.default_threads()} threads, {module.compile_flags}"
    module = cuda()
    count, reason = module.device_count()
    if count == 0:
        return f"no device ({reason}), built for {module.architectures}"
    names = ", ".join(dict.fromkeys(module.device_name(device) for device in range(count)))
    devices = f"{count} device{'' if count == 1 else 's'} ({names})"
    return f"{devices}, built for {module.architectures}"


def instruction_sets() -> tuple[str, ...]:
    """Vector instruction sets that this processor has and the module has rungs for, such as ``("avx2", "avx512")``."""
    return tuple(cpu().instruction_sets)


def default_threads() -> int:
    """Threads when none are asked for: torch's number where torch is loaded, else OMP_NUM_THREADS."""
    torch = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "get_num_threads"):
        return int(torch.get_num_threads())
    return int(cpu().default_threads())


def resolve_threads(threads: int | None) -> int:
    """A checked number of threads. Raises UsageError."""
    if threads is None:
        return default_threads()
    most = max(256, 4 * (os.cpu_count() or 1))
    if type(threads) is not int or not 1 <= threads <= most:
        raise UsageError(f"threads={threads!r} is not a number of threads; give an integer from 1 to {most}")
    return threads


def release_threads() -> bool:
    """End the idle workers of the OpenMP pool (torch's too, where both share one runtime).

    Call it before an idle window: a worker that does not exist cannot spin. The next kernel starts new ones, which
    costs tens of microseconds once. Returns whether the runtime did so.
    """
    return int(cpu().release_threads()) == 0


def release_workspace() -> int:
    """Give back the scratch memory that the tuned rungs keep for the calling thread; its bytes.

    The next kernel that needs some allocates it anew. The workers of a parallel region keep theirs.
    """
    return int(cpu().release_workspace())


def openmp_runtimes() -> tuple[str, ...]:
    """Paths of the OpenMP runtimes loaded in this process (Linux); more than one means more than one pool."""
    try:
        maps = Path("/proc/self/maps").read_text(encoding="utf-8")
    except OSError:
        return ()
    paths = {line.split(maxsplit=5)[5] for line in maps.splitlines() if len(line.split(maxsplit=5)) == 6}
    return tuple(sorted(p for p in paths if "libgomp" in p or "libiomp" in p or "libomp" in p))
