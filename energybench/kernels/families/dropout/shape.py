"""Sizes of a dropout, read from a call and checked once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from energybench.errors import UsageError
from energybench.kernels.arrays import MASK_DTYPES, describe, expect_like

if TYPE_CHECKING:
    from energybench.kernels.arrays import Array

_SEEDS: Final = 2**64


@dataclass(frozen=True, slots=True)
class DropoutShape:
    """``x[...]``: `n` elements, of which each is dropped with one probability; `shape` is the whole."""

    shape: tuple[int, ...]

    @property
    def n(self) -> int:
        return math.prod(self.shape)


def _checked_probability(p: object) -> None:
    if isinstance(p, bool) or not isinstance(p, int | float) or not 0 <= p < 1:
        raise UsageError(f"p={p!r} is not valid; give a probability of dropping, from 0 to below 1")


def dropout_shape(x: Array, *, p: float, seed: int) -> tuple[DropoutShape, str]:
    """Sizes and element type of a call of `dropout`. Raises UsageError."""
    _checked_probability(p)
    given: object = seed
    if isinstance(given, bool) or not isinstance(given, int) or not 0 <= given < _SEEDS:
        raise UsageError(f"seed={seed!r} is not valid; give an integer from 0 to 2**64 - 1")
    operand = describe("x", x, "...")
    return DropoutShape(operand.shape), operand.dtype


def dropout_backward_shape(grad: Array, mask: Array, *, p: float) -> tuple[DropoutShape, str]:
    """Sizes and element type of a call of `dropout_backward`. Raises UsageError."""
    _checked_probability(p)
    operand = describe("grad", grad, "...")
    expect_like(operand, describe("mask", mask, "...", MASK_DTYPES))
    return DropoutShape(operand.shape), operand.dtype
