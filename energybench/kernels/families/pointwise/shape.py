"""Sizes of a function of one element, read from a call and checked once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from energybench.kernels.arrays import common_dtype, describe

if TYPE_CHECKING:
    from energybench.kernels.arrays import Array


@dataclass(frozen=True, slots=True)
class PointwiseShape:
    """A function of each element of ``x``."""

    shape: tuple[int, ...]

    @property
    def n(self) -> int:
        return math.prod(self.shape)


def pointwise_shape(x: Array) -> tuple[PointwiseShape, str]:
    """Sizes and element type of a call of `relu`, `sigmoid`, `tanh` or `gelu`. Raises UsageError."""
    operand = describe("x", x, "...")
    return PointwiseShape(operand.shape), common_dtype([operand])
