"""The rungs of a kernel: which there are, which this processor can run, and which one ``auto`` takes.

On the CPU a ladder is some of, in this order: ``naive`` (the oracle), ``blocked`` (the tuned body on numbers),
``avx2`` and ``avx512`` (the same body on vectors), and ``avx512_emulated``, the AVX-512 body on lanes that two AVX2
registers stand for: it shows on any processor that the body is right, and is never chosen by itself. On CUDA it is
``naive`` and, where there is one, a rung through shared memory: ``tiled`` or ``block``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeAlias

from energybench.errors import NativeModuleError, UsageError
from energybench.kernels import native

#: Device → its rungs, the plainest first.
Ladders: TypeAlias = Mapping[str, tuple[str, ...]]

#: The best rung that can run here; ``simd`` says the same.
AUTO: Final = "auto"
_BEST: Final = (AUTO, "simd")
#: The oracle alone, on both devices.
NAIVE_ONLY: Final[Ladders] = {"cpu": ("naive",), "cuda": ("naive",)}
#: A tuned body on the CPU, compiled once for each instruction set.
TUNED_ON_CPU: Final[Ladders] = {
    "cpu": ("naive", "blocked", "avx2", "avx512", "avx512_emulated"),
    "cuda": ("naive",),
}
#: The same, and on CUDA a rung through shared memory: tiles of a matrix product, a block for each row.
TILED_ON_CUDA: Final[Ladders] = {"cpu": TUNED_ON_CPU["cpu"], "cuda": ("naive", "tiled")}
BLOCKS_ON_CUDA: Final[Ladders] = {"cpu": TUNED_ON_CPU["cpu"], "cuda": ("naive", "block")}
#: Tuned on the CPU, where there is no CUDA kernel yet.
CPU_ALONE: Final[Ladders] = {"cpu": TUNED_ON_CPU["cpu"]}
#: For checks alone.
_EMULATED: Final = frozenset({"avx512_emulated"})
#: CPU rung → the instruction set it needs beyond what the module was built for.
_NEEDS: Final[Mapping[str, str]] = {"avx2": "avx2", "avx512": "avx512"}


def missing_instructions(rung: str, device: str) -> str | None:
    """The instruction set that a rung needs and this processor lacks, or None. Raises NativeModuleError."""
    needed = _NEEDS.get(rung) if device == "cpu" else None
    return None if needed is None or needed in native.instruction_sets() else needed


def runs_here(rung: str, device: str) -> bool:
    """Whether this machine can run a rung: the module is there, and the processor or a GPU is."""
    try:
        if device == "cuda":
            return int(native.cuda().device_count()[0]) > 0
        native.cpu()
        return missing_instructions(rung, device) is None
    except NativeModuleError:
        return False


def choose_rung(name: str, ladders: Ladders, variant: str, device: str) -> str:
    """The rung of kernel `name` that `variant` means on `device`, be it one that cannot run here. Raises UsageError."""
    if device not in ladders:
        raise UsageError(f"{name} has no {device} kernel yet; move its tensors to {' or '.join(ladders)}")
    rungs = ladders[device]
    if variant in _BEST:
        able = [r for r in rungs if r not in _EMULATED and missing_instructions(r, device) is None]
        return able[-1]
    if variant not in rungs:
        raise UsageError(f"{name} has no variant {variant!r} on {device}; choose auto or one of {', '.join(rungs)}")
    return variant


def refuse_what_cannot_run(name: str, ladders: Ladders, rung: str, device: str) -> None:
    """Raise UsageError where the processor lacks the instructions of a rung."""
    missing = missing_instructions(rung, device)
    if missing is not None:
        able = [r for r in ladders[device] if missing_instructions(r, device) is None]
        raise UsageError(f"{name}: this processor has no {missing}; choose auto or one of {', '.join(able)}")
