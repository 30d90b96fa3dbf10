"""Calibration probes."""

from energybench.kernels.families.probes import launch
from energybench.kernels.families.probes.launch import (
    pointer_cycle,
    probe_chase,
    probe_fma,
    probe_intensity,
    probe_launch,
    probe_read,
    probe_special,
    probe_stream,
    probe_write,
)
from energybench.kernels.operator import Operator

OPERATORS: tuple[Operator, ...] = (
    launch.PROBE_FMA,
    launch.PROBE_INTENSITY,
    launch.PROBE_STREAM,
    launch.PROBE_READ,
    launch.PROBE_WRITE,
    launch.PROBE_CHASE,
    launch.PROBE_SPECIAL,
    launch.PROBE_LAUNCH,
)

__all__ = [
    "OPERATORS",
    "pointer_cycle",
    "probe_chase",
    "probe_fma",
    "probe_intensity",
    "probe_launch",
    "probe_read",
    "probe_special",
    "probe_stream",
    "probe_write",
]
