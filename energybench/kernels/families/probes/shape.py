"""Sizes of the calibration probes, read from a call and checked once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from energybench.errors import UsageError
from energybench.kernels.arrays import PLACE_DTYPES, common_dtype, describe, expect_shape
from energybench.records.op_counts import DTYPE_BYTES


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


@dataclass(frozen=True, slots=True)
class ProbeShape:
    """`n` elements; `times` MACs of each, repeats of all, or steps of each of `chains` chains."""

    n: int
    times: int = 1
    chains: int = 1


#: Elements of a block, each with a sum of its own (kProbeBlock in csrc/kernels/probes.h).
BLOCK: Final = 8192
#: Special functions that a probe may repeat.
SPECIALS: Final = ("exp", "tanh", "erf", "sqrt", "log")


def _positive(name: str, value: int) -> int:
    if type(value) is not int or not 1 <= value < 2**62:
        raise UsageError(f"{name}={value!r} is not valid; give a positive integer")
    return value


def fma_probe_shape(x: Any, *, steps: int) -> tuple[FmaProbeShape, str]:
    """Sizes and element type of a call of `probe_fma`. Raises UsageError."""
    operand = describe("x", x, "streams 14 lanes")
    narrow = 32 // DTYPE_BYTES[operand.dtype]  # one AVX2 register; or one of AVX-512
    streams, _, given = operand.shape
    lanes = given if given == 2 * narrow else narrow
    expect_shape(operand, (streams, 14, lanes), f"[streams, 14, {narrow} or {2 * narrow}] for {operand.dtype}")
    return FmaProbeShape(streams, _positive("steps", steps), lanes), common_dtype([operand])


def stream_probe_shape(x: Any, *, repeats: int = 1) -> tuple[StreamProbeShape, str]:
    """Sizes and element type of a call of `probe_stream`. Raises UsageError."""
    operand = describe("x", x, "n")
    return StreamProbeShape(operand.shape[0], _positive("repeats", repeats)), common_dtype([operand])


def _vector(x: Any, times: int = 1) -> tuple[ProbeShape, str]:
    operand = describe("x", x, "n")
    return ProbeShape(operand.shape[0], times), common_dtype([operand])


def intensity_shape(x: Any, *, macs: int) -> tuple[ProbeShape, str]:
    """Sizes and element type of a call of `probe_intensity`. Raises UsageError."""
    return _vector(x, _positive("macs", macs))


def vector_shape(x: Any) -> tuple[ProbeShape, str]:
    """Sizes and element type of a call of `probe_read`, `probe_write` or `probe_launch`. Raises UsageError."""
    return _vector(x)


def special_shape(x: Any, *, function: str = "exp", repeats: int = 1) -> tuple[ProbeShape, str]:
    """Sizes and element type of a call of `probe_special`. Raises UsageError."""
    if function not in SPECIALS:
        raise UsageError(f"function={function!r} is not valid; choose one of {', '.join(SPECIALS)}")
    return _vector(x, _positive("repeats", repeats))


def chase_shape(places: Any, *, steps: int, chains: int = 1) -> tuple[ProbeShape, str]:
    """Sizes and element type of a call of `probe_chase`. Raises UsageError."""
    operand = describe("places", places, "n", PLACE_DTYPES)
    n = operand.shape[0]
    if _positive("chains", chains) > n:
        raise UsageError(f"chains={chains} is more than the {n} places; give fewer")
    return ProbeShape(n, _positive("steps", steps), chains), operand.dtype
