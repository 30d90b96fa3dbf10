"""Sizes of the calibration probes, read from a call and checked once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from energybench.errors import UsageError
from energybench.kernels.arrays import common_dtype, describe, expect_shape


@dataclass(frozen=True, slots=True)
class FmaProbeShape:
    """`streams` independent streams of `steps` rounds of 14 MACs on each of `lanes` lanes (csrc/kernels/probes.h)."""

    streams: int
    steps: int
    lanes: int


@dataclass(frozen=True, slots=True)
class StreamProbeShape:
    """`n` elements copied `repeats` times."""

    n: int
    repeats: int


def _positive(name: str, value: int) -> int:
    if type(value) is not int or not 1 <= value < 2**62:
        raise UsageError(f"{name}={value!r} is not valid; give a positive integer")
    return value


def fma_probe_shape(x: Any, *, steps: int) -> tuple[FmaProbeShape, str]:
    """Sizes and element type of a call of `probe_fma`. Raises UsageError."""
    operand = describe("x", x, "streams 14 lanes")
    lanes = 8 if operand.dtype == "float32" else 4  # one AVX2 register
    streams = operand.shape[0]
    expect_shape(operand, (streams, 14, lanes), f"[streams, 14, {lanes}] for {operand.dtype}")
    return FmaProbeShape(streams, _positive("steps", steps), lanes), common_dtype([operand])


def stream_probe_shape(x: Any, *, repeats: int = 1) -> tuple[StreamProbeShape, str]:
    """Sizes and element type of a call of `probe_stream`. Raises UsageError."""
    operand = describe("x", x, "n")
    return StreamProbeShape(operand.shape[0], _positive("repeats", repeats)), common_dtype([operand])
