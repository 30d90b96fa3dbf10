"""Sizes of a function of one element, read from a call and checked once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from energybench.errors import UsageError
from energybench.kernels.arrays import common_dtype, describe, expect_like, expect_shape

if TYPE_CHECKING:
    from energybench.kernels.arrays import Array


@dataclass(frozen=True, slots=True)
class PointwiseShape:
    """A function of each element of the first array; `repeats` runs of `n` elements, which a table of one run meets."""

    shape: tuple[int, ...]
    repeats: int = 1

    @property
    def elements(self) -> int:
        return math.prod(self.shape)

    @property
    def n(self) -> int:
        """Elements of one run."""
        return self.elements // self.repeats


def pointwise_shape(x: Array) -> tuple[PointwiseShape, str]:
    """Sizes and element type of a call of `relu`, `sigmoid`, `tanh` or `gelu`. Raises UsageError."""
    operand = describe("x", x, "...")
    return PointwiseShape(operand.shape), common_dtype([operand])


def _check_slope(negative_slope: object) -> None:
    number = isinstance(negative_slope, int | float) and not isinstance(negative_slope, bool)
    if not number or not math.isfinite(negative_slope):  # type: ignore[arg-type]
        raise UsageError(f"negative_slope={negative_slope!r} is not valid; give a finite number, such as 0.01")


def leaky_relu_shape(x: Array, *, negative_slope: float = 0.01) -> tuple[PointwiseShape, str]:
    """Sizes and element type of a call of `leaky_relu`. Raises UsageError."""
    _check_slope(negative_slope)
    return pointwise_shape(x)


def _two(first: str, a: Array, second: str, b: Array) -> tuple[PointwiseShape, str]:
    operands = [describe(first, a, "..."), describe(second, b, "...")]
    expect_like(*operands)
    return PointwiseShape(operands[0].shape), common_dtype(operands)


def add_shape(x: Array, other: Array) -> tuple[PointwiseShape, str]:
    """Sizes and element type of a call of `add`. Raises UsageError."""
    return _two("x", x, "other", other)


def positional_shape(x: Array, table: Array) -> tuple[PointwiseShape, str]:
    """Sizes and element type of a call of `positional_encoding`. Raises UsageError."""
    operands = [describe("x", x, "B S D"), describe("table", table, "S D")]
    expect_shape(operands[1], operands[0].shape[1:], "[S, D] of x")
    return PointwiseShape(operands[0].shape, operands[0].shape[0]), common_dtype(operands)


def gradient_from_result_shape(grad: Array, y: Array) -> tuple[PointwiseShape, str]:
    """Sizes and element type of a gradient that is made from the function's result. Raises UsageError."""
    return _two("grad", grad, "y", y)


def gradient_from_input_shape(grad: Array, x: Array) -> tuple[PointwiseShape, str]:
    """Sizes and element type of a gradient that is made from the function's input. Raises UsageError."""
    return _two("grad", grad, "x", x)


def leaky_relu_backward_shape(grad: Array, x: Array, *, negative_slope: float = 0.01) -> tuple[PointwiseShape, str]:
    """Sizes and element type of a call of `leaky_relu_backward`. Raises UsageError."""
    _check_slope(negative_slope)
    return _two("grad", grad, "x", x)
