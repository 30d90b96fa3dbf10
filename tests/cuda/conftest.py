"""Where CUDA kernels run in these tests: a real GPU, or the host stand-in of stand_in/cuda_runtime.h, which is none."""

import ctypes
import importlib.machinery
import importlib.util
import os
import platform
import shutil
import subprocess
import sysconfig
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import pybind11
import pytest
import torch

from energybench.errors import NativeModuleError
from energybench.kernels import call, native
from energybench.kernels.arrays import Workspace
from energybench.kernels.call import Outcome, launch
from energybench.kernels.registry import OPERATORS

STAND_IN = Path(__file__).parent / "stand_in"
#: Another tree of sources, to see the tests fail on planted bugs (plant_bugs.py).
CSRC = Path(os.environ.get("ENERGYBENCH_TEST_CSRC", Path(__file__).parents[2] / "csrc"))
#: An address that is no stream's, so that work on another stream than the caller's is seen.
STREAM = 0x5EED
#: Elements of NaN on each side of every array.
MARGIN = 4096

#: Run a kernel: ``(name, *arrays, counting=…, variant=…, **options) -> Outcome``.
Run = Callable[..., Outcome]


class StandIn:
    """The module compiled for the host, and the machine behind it."""

    def __init__(self, path: Path) -> None:
        loader = importlib.machinery.ExtensionFileLoader("_cuda", str(path))
        spec = importlib.util.spec_from_file_location("_cuda", path, loader=loader)
        assert spec is not None
        self.module: ModuleType = importlib.util.module_from_spec(spec)
        loader.exec_module(self.module)
        self.machine = ctypes.CDLL(str(path))
        self.machine.stand_in_begin.argtypes = [ctypes.c_uint, ctypes.c_void_p]

    def begin(self, seed: int) -> None:
        """Order blocks and threads by `seed`; 0 keeps them as they are."""
        self.machine.stand_in_begin(seed, STREAM)

    @property
    def launches(self) -> int:
        """Kernels launched since `begin`."""
        return int(self.machine.stand_in_launches())


def _flags() -> list[str]:
    vectors = ["-mavx2", "-mfma"] if platform.machine() == "x86_64" else []
    warnings = ["-Wall", "-Wextra", "-Wno-psabi", "-Werror"]
    includes = [f"-I{STAND_IN}", f"-I{CSRC}"]
    named = ['-DEB_CUDA_FLAGS="g++, not nvcc"', '-DEB_CUDA_ARCHITECTURES="host stand-in"']
    python = [f"-isystem{pybind11.get_include()}", f"-isystem{sysconfig.get_paths()['include']}"]
    visible = ["-fPIC", "-fvisibility=hidden"]
    return ["-std=c++17", "-ffp-contract=off", *visible, *vectors, *warnings, *includes, *named, *python]


@pytest.fixture(scope="session")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> StandIn:
    """The CUDA sources, unchanged, compiled with g++."""
    compiler = shutil.which("g++")
    assert compiler, "g++ is needed: it compiles energybench._cpu"
    folder = tmp_path_factory.mktemp("cuda_on_host")
    sources = [*sorted((CSRC / "cuda").glob("*.cu")), *sorted((CSRC / "bindings/cuda").glob("*.cpp"))]
    sources.append(STAND_IN / "machine.cpp")

    def compiled(source: Path) -> str:
        target = folder / f"{source.parts[-3]}_{source.stem}.o"
        level = "-O0" if "bindings" in source.parts else "-O1"
        subprocess.run([compiler, level, *_flags(), "-x", "c++", "-c", source, "-o", target], check=True)
        return str(target)

    with ThreadPoolExecutor(max_workers=2) as pool:
        objects = list(pool.map(compiled, sources))
    module = folder / f"_cuda{sysconfig.get_config_var('EXT_SUFFIX')}"
    subprocess.run([compiler, "-shared", *objects, "-o", module], check=True)
    return StandIn(module)


class GuardedWorkspace(Workspace):
    """A call's memory on the host, under CUDA's branches of the launches: every array stands between two runs of NaN
    and every result begins as NaN, so that a kernel that reads or writes beside its arrays, or leaves an element out,
    is seen.
    """

    guarded: list[tuple[str, torch.Tensor]]

    def __init__(self, arrays: Any) -> None:
        super().__init__(arrays)
        self.cuda_index = 0

    def _guard(self, name: str, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        size = torch.Size(shape).numel()
        whole = torch.full((size + 2 * MARGIN,), float("nan") if dtype.is_floating_point else -111, dtype=dtype)
        self.guarded.append((name, whole))
        return whole[MARGIN : MARGIN + size].view(shape)

    def dense(self, array: Any) -> Any:
        if array is None:
            return None
        copy = self._guard("input", tuple(array.shape), array.dtype)
        return copy.copy_(array)

    def allocate(self, name: str, shape: tuple[int, ...], dtype: str) -> Any:
        return self._guard(name, tuple(shape), getattr(torch, dtype))

    def stream(self) -> int:
        return STREAM


def _untouched(edge: torch.Tensor) -> bool:
    return bool(edge.isnan().all()) if edge.dtype.is_floating_point else bool((edge == -111).all())


@pytest.fixture
def on_stand_in(stand_in: StandIn, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run kernels on CPU tensors as if these lay on a CUDA device; what is beside the arrays is looked at after."""
    guarded: list[tuple[str, torch.Tensor]] = []
    monkeypatch.setattr(GuardedWorkspace, "guarded", guarded, raising=False)
    monkeypatch.setattr(native, "cuda", lambda: stand_in.module)
    stand_in.begin(0)

    def run(name: str, *arrays: Any, **options: Any) -> Outcome:
        guarded.clear()
        with monkeypatch.context() as patch:
            patch.setattr(call, "Workspace", GuardedWorkspace)
            outcome = launch(OPERATORS[name], *arrays, **options)
        for what, whole in guarded:
            assert _untouched(whole[:MARGIN]), f"{name} wrote before {what}"
            assert _untouched(whole[-MARGIN:]), f"{name} wrote behind {what}"
        assert stand_in.machine.stand_in_live_allocations() == 0
        return outcome

    return run


@pytest.fixture(scope="module")
def cuda() -> ModuleType:
    """``energybench._cuda``; skips where it was not built."""
    try:
        return native.cuda()
    except NativeModuleError as error:
        pytest.skip(f"energybench._cuda was not built: {error}")


@pytest.fixture
def on_gpu(cuda: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run kernels on a real device; skips where there is none. Results and scratch begin as NaN."""
    count, reason = cuda.device_count()
    if count == 0 or not torch.cuda.is_available():
        pytest.skip(f"no CUDA device: {reason or 'torch is a CPU build'}")
    allocate = Workspace.allocate

    def poisoned(self: Workspace, name: str, shape: tuple[int, ...], dtype: str) -> Any:
        memory = allocate(self, name, shape, dtype)
        return memory.fill_(float("nan") if memory.dtype.is_floating_point else -111)

    monkeypatch.setattr(Workspace, "allocate", poisoned)

    def moved(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(map(moved, value))
        return value.to("cuda:0") if isinstance(value, torch.Tensor) else value

    def run(name: str, *arrays: Any, **options: Any) -> Outcome:
        outcome = launch(
            OPERATORS[name], *map(moved, arrays), **{option: moved(value) for option, value in options.items()}
        )
        outputs = tuple(None if y is None else y.cpu() for y in outcome.outputs)
        return Outcome(outputs, outcome.counts, outcome.variant)

    return run
