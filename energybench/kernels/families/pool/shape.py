"""Sizes of pooling (``N C H W``), read from a call and checked once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from energybench.errors import UsageError
from energybench.kernels.arrays import check_size, common_dtype, describe
from energybench.kernels.windows import Pair, pair, window_positions

if TYPE_CHECKING:
    from energybench.kernels.arrays import Array


@dataclass(frozen=True, slots=True)
class PoolShape:
    """``x[N, C, H, W]`` → ``y[N, C, H_out, W_out]``."""

    N: int
    C: int
    H: int
    W: int
    window: Pair
    stride: Pair
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)

    @property
    def H_out(self) -> int:  # noqa: N802 - the glossary's letters
        return window_positions(self.H, self.window[0], self.stride[0], self.padding[0], self.dilation[0])

    @property
    def W_out(self) -> int:  # noqa: N802
        return window_positions(self.W, self.window[1], self.stride[1], self.padding[1], self.dilation[1])

    @property
    def output_shape(self) -> tuple[int, int, int, int]:
        return self.N, self.C, self.H_out, self.W_out


def max_pool_shape(
    x: Array,
    *,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
) -> tuple[PoolShape, str]:
    """Sizes and element type of a call of `max_pool2d`. Raises UsageError."""
    operand = describe("x", x, "N C H W")
    N, C, H, W = operand.shape
    window = pair("kernel_size", kernel_size, 1)
    shape = PoolShape(
        *(N, C, H, W),
        window,
        window if stride is None else pair("stride", stride, 1),
        pair("padding", padding, 0),
        pair("dilation", dilation, 1),
    )
    if any(2 * p > k for p, k in zip(shape.padding, window, strict=True)):
        raise UsageError(f"padding {shape.padding} exceeds half the window {window}; a window would hold no input")
    if shape.H_out < 1 or shape.W_out < 1:
        raise UsageError(f"a window of {window} does not fit in {shape.H}x{shape.W}; pad more or use a smaller one")
    check_size("y", shape.output_shape)
    return shape, common_dtype([operand])


def avg_pool_shape(
    x: Array,
    *,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
) -> tuple[PoolShape, str]:
    """Sizes and element type of a call of `avg_pool2d`. Raises UsageError."""
    return max_pool_shape(x, kernel_size=kernel_size, stride=stride, padding=padding)
