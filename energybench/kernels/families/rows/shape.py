"""Sizes of a function of a row (``rows n``): softmax, layer normalisation; read from a call and checked once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from energybench.errors import UsageError
from energybench.kernels.arrays import common_dtype, describe, expect_like, expect_shape

if TYPE_CHECKING:
    from energybench.kernels.arrays import Array


@dataclass(frozen=True, slots=True)
class RowShape:
    """``x[..., n]``: `rows` rows that are worked on one by one; `shape` is the whole."""

    shape: tuple[int, ...]
    has_weight: bool = False
    has_bias: bool = False
    keep_statistics: bool = False

    @property
    def n(self) -> int:
        return self.shape[-1]

    @property
    def rows(self) -> int:
        return math.prod(self.shape[:-1])


def softmax_shape(x: Array) -> tuple[RowShape, str]:
    """Sizes and element type of a call of `softmax`. Raises UsageError."""
    operand = describe("x", x, "... n")
    return RowShape(operand.shape), common_dtype([operand])


def softmax_backward_shape(grad: Array, y: Array) -> tuple[RowShape, str]:
    """Sizes and element type of a call of `softmax_backward` or `log_softmax_backward`. Raises UsageError."""
    operands = [describe("grad", grad, "... n"), describe("y", y, "... n")]
    expect_like(*operands)
    return RowShape(operands[0].shape), common_dtype(operands)


def layer_norm_shape(
    x: Array,
    weight: Array | None = None,
    bias: Array | None = None,
    *,
    eps: float = 1e-5,
    return_statistics: bool = False,
) -> tuple[RowShape, str]:
    """Sizes and element type of a call of `layer_norm`. Raises UsageError."""
    operands = [describe("x", x, "... n")]
    n = operands[0].shape[-1]
    for name, array in (("weight", weight), ("bias", bias)):
        if array is not None:
            operands.append(describe(name, array, "n"))
            expect_shape(operands[-1], (n,), "[n], the last dimension of x")
    given: object = eps
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 <= given < math.inf:
        raise UsageError(f"eps={eps!r} is not valid; give a number that is not negative, such as 1e-5")
    shape = RowShape(operands[0].shape, weight is not None, bias is not None, bool(return_statistics))
    return shape, common_dtype(operands)


def layer_norm_backward_shape(
    grad: Array,
    x: Array,
    mean: Array,
    rstd: Array,
    weight: Array | None = None,
    *,
    has_bias: bool | None = None,
) -> tuple[RowShape, str]:
    """Sizes and element type of a call of `layer_norm_backward`. Raises UsageError."""
    operands = [describe("grad", grad, "... n"), describe("x", x, "... n")]
    expect_like(*operands)
    rows = operands[0].shape[:-1]
    for name, array in (("mean", mean), ("rstd", rstd)):
        operands.append(describe(name, array, "..."))
        expect_shape(operands[-1], rows, "the rows of x")
    if weight is not None:
        operands.append(describe("weight", weight, "n"))
        expect_shape(operands[-1], operands[0].shape[-1:], "[n], the last dimension of x")
    with_bias = weight is not None if has_bias is None else bool(has_bias)
    return RowShape(operands[0].shape, weight is not None, with_bias), common_dtype(operands)
