"""`busy_load`: what keeps a device busy while its meter is characterised, for rise time and the share of time seen."""

from __future__ import annotations

import time
from typing import Any

from energybench.errors import UsageError
from energybench.meters.base import EnergyMeter
from energybench.meters.rise_time import Load
from energybench.meters.simulated import SimulatedMeter
from energybench.records.op_counts import OpCounts
from energybench.units import Second

#: Sizes of the product that is repeated: a fraction of a millisecond, so that bursts of one can be placed.
_CPU_SIZE = 192
_CUDA_SIZE = 2048
_VIRTUAL_STEP_S: Second = 1e-5


def busy_load(meter: EnergyMeter, device: str) -> Load | None:
    """Matrix products on all threads of the CPU or on the GPU; the planted work of a virtual device.

    None for a replay, which nothing loads, and for a modelled meter, which reads a clock: no sensor could lag.
    Raises UsageError where torch has no such GPU.
    """
    if meter.kind in ("replayed", "modelled"):
        return None
    if isinstance(meter, SimulatedMeter):
        return _virtual_load(meter)
    return _cuda_load(device) if device.startswith("cuda") else _cpu_load()


def _cpu_load() -> Load:
    import numpy as np

    matrix: Any = np.ones((_CPU_SIZE, _CPU_SIZE), dtype=np.float32)

    def load(duration_s: Second) -> None:
        end_s = time.monotonic() + duration_s
        while time.monotonic() < end_s:
            matrix @ matrix

    return load


def _cuda_load(device: str) -> Load:
    import torch

    if not torch.cuda.is_available():
        raise UsageError("torch sees no CUDA device to load; add --no-load, which leaves out what needs a load")
    matrix = torch.ones((_CUDA_SIZE, _CUDA_SIZE), device=device)

    def load(duration_s: Second) -> None:
        end_s = time.monotonic() + duration_s
        while time.monotonic() < end_s:
            torch.matmul(matrix, matrix)
            torch.cuda.synchronize(device)

    return load


def _virtual_load(meter: SimulatedMeter) -> Load:
    device = meter.device
    step = OpCounts.single("float32", macs=max(1, round(device.scenario.time.mac_rate * _VIRTUAL_STEP_S)))

    def load(duration_s: Second) -> None:
        device.execute(step, calls=max(1, round(duration_s / _VIRTUAL_STEP_S)))

    return load
