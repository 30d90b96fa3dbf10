"""Sizes of a fully connected layer (``M K N``), read from a call and checked once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from energybench.errors import UsageError
from energybench.kernels.arrays import Operand, check_size, common_dtype, describe, expect_shape

if TYPE_CHECKING:
    from energybench.kernels.arrays import Array

#: How x and w may be stored: as the formula has them, or transposed [D19].
X_LAYOUTS: Final = ("mk", "km")
W_LAYOUTS: Final = ("nk", "kn")


@dataclass(frozen=True, slots=True)
class LinearShape:
    """``x[M, K]``, ``w[N, K]``, ``bias[N]`` → ``y[M, N]``; x and w may be stored transposed."""

    M: int
    K: int
    N: int
    has_bias: bool = False
    x_transposed: bool = False
    w_transposed: bool = False


def _matrix(name: str, array: Array, layout: object, layouts: tuple[str, str]) -> tuple[Operand, int, int, bool]:
    """An operand with its rows and columns, whichever way it is stored, and whether that is transposed."""
    if layout not in layouts:
        raise UsageError(f"{name}_layout={layout!r} is unknown; choose {layouts[0]} or {layouts[1]}")
    operand = describe(name, array, " ".join(str(layout).upper()))
    transposed = layout == layouts[1]
    rows, columns = operand.shape[::-1] if transposed else operand.shape
    return operand, rows, columns, transposed


def _product(x: Array, w: Array, x_layout: str, w_layout: str) -> tuple[LinearShape, list[Operand]]:
    of_x, M, K, x_transposed = _matrix("x", x, x_layout, X_LAYOUTS)
    of_w, N, _, w_transposed = _matrix("w", w, w_layout, W_LAYOUTS)
    expect_shape(of_w, (K, N) if w_transposed else (N, K), f"[{', '.join(w_layout.upper())}] with the K of x")
    check_size("y", (M, N))
    return LinearShape(M, K, N, False, x_transposed, w_transposed), [of_x, of_w]


def linear_shape(
    x: Array, w: Array, bias: Array | None = None, *, x_layout: str = "mk", w_layout: str = "nk"
) -> tuple[LinearShape, str]:
    """Sizes and element type of a call of `linear`. Raises UsageError."""
    shape, operands = _product(x, w, x_layout, w_layout)
    if bias is not None:
        operands.append(describe("bias", bias, "N"))
        expect_shape(operands[-1], (shape.N,), "[N]")
    return replace(shape, has_bias=bias is not None), common_dtype(operands)


def linear_backward_shape(
    grad: Array, x: Array, w: Array, *, has_bias: bool = True, x_layout: str = "mk", w_layout: str = "nk"
) -> tuple[LinearShape, str]:
    """Sizes and element type of a call of `linear_backward`. Raises UsageError."""
    shape, operands = _product(x, w, x_layout, w_layout)
    operands.insert(0, describe("grad", grad, "M N"))
    expect_shape(operands[0], (shape.M, shape.N), "[M, N] of x and w")
    if type(has_bias) is not bool:
        raise UsageError(f"has_bias={has_bias!r} is not valid; give True or False")
    return replace(shape, has_bias=has_bias), common_dtype(operands)
