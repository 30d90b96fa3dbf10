"""Sizes of a fully connected layer (``M K N``), read from a call and checked once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from energybench.kernels.arrays import check_size, common_dtype, describe, expect_shape

if TYPE_CHECKING:
    from energybench.kernels.arrays import Array


@dataclass(frozen=True, slots=True)
class LinearShape:
    """``x[M, K]``, ``w[N, K]``, ``bias[N]`` → ``y[M, N]``."""

    M: int
    K: int
    N: int
    has_bias: bool = False


def linear_shape(x: Array, w: Array, bias: Array | None = None) -> tuple[LinearShape, str]:
    """Sizes and element type of a call of `linear`. Raises UsageError."""
    operands = [describe("x", x, "M K"), describe("w", w, "N K")]
    (M, K), N = operands[0].shape, operands[1].shape[0]
    expect_shape(operands[1], (N, K), "[N, K] with the K of x")
    if bias is not None:
        operands.append(describe("bias", bias, "N"))
        expect_shape(operands[-1], (N,), "[N]")
    check_size("y", (M, N))
    return LinearShape(M, K, N, bias is not None), common_dtype(operands)
