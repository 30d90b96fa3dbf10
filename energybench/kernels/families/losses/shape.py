"""Sizes of a cross-entropy (``rows n``), read from a call and checked once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from energybench.kernels.arrays import PLACE_DTYPES, common_dtype, describe, expect_shape

if TYPE_CHECKING:
    from energybench.kernels.arrays import Array


@dataclass(frozen=True, slots=True)
class ClassShape:
    """``x[rows, n]``: a row for each sample, n classes."""

    rows: int
    n: int


def _targets(targets: Array, rows: int) -> None:
    expect_shape(describe("targets", targets, "rows", PLACE_DTYPES), (rows,), "[rows], one class for each row")


def cross_entropy_shape(x: Array, targets: Array) -> tuple[ClassShape, str]:
    """Sizes and element type of a call of `cross_entropy`. Raises UsageError."""
    operand = describe("x", x, "rows n")
    _targets(targets, operand.shape[0])
    return ClassShape(*operand.shape), operand.dtype


def cross_entropy_backward_shape(grad: Array, y: Array, targets: Array) -> tuple[ClassShape, str]:
    """Sizes and element type of a call of `cross_entropy_backward`. Raises UsageError."""
    operands = [describe("grad", grad, "..."), describe("y", y, "rows n")]
    expect_shape(operands[0], (), "[], the gradient of one loss")
    _targets(targets, operands[1].shape[0])
    return ClassShape(*operands[1].shape), common_dtype(operands)
