"""Calibration probes."""

from energybench.kernels.families.probes.launch import PROBE_FMA, PROBE_STREAM, probe_fma, probe_stream
from energybench.kernels.operator import Operator

OPERATORS: tuple[Operator, ...] = (
    PROBE_FMA,
    PROBE_STREAM,
)

__all__ = ["OPERATORS", "probe_fma", "probe_stream"]
