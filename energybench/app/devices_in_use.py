"""Which GPUs a window must cover: those that this process uses, or those that a program could."""

from __future__ import annotations

import sys
from typing import Any, Final

from energybench.errors import EnergybenchError, UsageError

ALL_GPUS: Final = "cuda:all"


def gpus_in_use() -> tuple[int, ...]:
    """GPUs on which torch holds memory in this process, and its current one; empty where it has not started CUDA."""
    cuda: Any = getattr(sys.modules.get("torch"), "cuda", None)
    if cuda is None or not cuda.is_initialized():
        return ()
    current = int(cuda.current_device())
    held = getattr(cuda, "memory_reserved", None)
    if held is None:
        return (current,)
    return tuple(i for i in range(cuda.device_count()) if i == current or held(i) > 0)


def visible_gpus() -> tuple[int, ...]:
    """GPUs that a program started from here would see; empty where there is no driver or no GPU."""
    from energybench.meters import nvml

    try:
        return tuple(range(nvml.visible_gpu_count()))
    except EnergybenchError:
        return ()


def expand_device(device: str) -> tuple[str, ...]:
    """``cuda:all`` and ``cuda:0,2`` as single devices; anything else as it is.

    Raises:
        UsageError: all of none.
    """
    if device == ALL_GPUS:
        gpus = visible_gpus()
        if not gpus:
            raise UsageError("there is no GPU here for cuda:all; check `nvidia-smi`, or use --device cpu")
        return tuple(f"cuda:{i}" for i in gpus)
    name, _, numbers = device.partition(":")
    if name == "cuda" and "," in numbers:
        return tuple(f"cuda:{number}" for number in dict.fromkeys(numbers.split(",")))
    return (device,)
