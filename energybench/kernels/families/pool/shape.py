"""Sizes of pooling (``N C H W``), read from a call and checked once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from energybench.errors import UsageError
from energybench.kernels.arrays import (
    PLACE_DTYPES,
    Operand,
    check_size,
    common_dtype,
    describe,
    expect_like,
    expect_shape,
)
from energybench.kernels.windows import Pair, pair, window_positions

if TYPE_CHECKING:
    from energybench.kernels.arrays import Array

#: Places beside float32 lanes are 32 bits wide (IndexOf in csrc/common/lanes.h).
_MOST_PLACES: Final = 2**31 - 1


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
    keep_winners: bool = False

    @property
    def H_out(self) -> int:  # noqa: N802 - the glossary's letters
        return window_positions(self.H, self.window[0], self.stride[0], self.padding[0], self.dilation[0])

    @property
    def W_out(self) -> int:  # noqa: N802
        return window_positions(self.W, self.window[1], self.stride[1], self.padding[1], self.dilation[1])

    @property
    def output_shape(self) -> tuple[int, int, int, int]:
        return self.N, self.C, self.H_out, self.W_out


def _pool_shape(
    image: tuple[int, int, int, int],
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None,
    padding: int | Sequence[int],
    dilation: int | Sequence[int],
    keep_winners: bool,
) -> PoolShape:
    window = pair("kernel_size", kernel_size, 1)
    shape = PoolShape(
        *image,
        window,
        window if stride is None else pair("stride", stride, 1),
        pair("padding", padding, 0),
        pair("dilation", dilation, 1),
        keep_winners,
    )
    if any(2 * p > k for p, k in zip(shape.padding, window, strict=True)):
        raise UsageError(f"padding {shape.padding} exceeds half the window {window}; a window would hold no input")
    if shape.H_out < 1 or shape.W_out < 1:
        raise UsageError(f"a window of {window} does not fit in {shape.H}x{shape.W}; pad more or use a smaller one")
    check_size("y", shape.output_shape)
    if keep_winners and shape.H * shape.W > _MOST_PLACES:
        raise UsageError(f"an image of {shape.H}x{shape.W} has more places than 32 bits tell apart; cut it in parts")
    return shape


def max_pool_shape(
    x: Array,
    *,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    return_indices: bool = False,
) -> tuple[PoolShape, str]:
    """Sizes and element type of a call of `max_pool2d`. Raises UsageError."""
    operand = describe("x", x, "N C H W")
    N, C, H, W = operand.shape
    shape = _pool_shape((N, C, H, W), kernel_size, stride, padding, dilation, bool(return_indices))
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


def _gradient_of_pool(grad: Operand, input_size: Sequence[int], shape_of: Callable[..., PoolShape]) -> PoolShape:
    given: object = input_size
    size = tuple(given) if isinstance(given, Sequence) else ()
    if len(size) != 2 or not all(type(n) is int and n > 0 for n in size):
        raise UsageError(f"input_size={input_size!r} is not valid; give the height and the width of x")
    shape = shape_of((*grad.shape[:2], *size))
    expect_shape(grad, shape.output_shape, "what the pool makes of [N, C, *input_size]")
    return shape


def max_pool_backward_shape(
    grad: Array,
    indices: Array,
    *,
    input_size: Sequence[int],
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
) -> tuple[PoolShape, str]:
    """Sizes and element type of a call of `max_pool2d_backward`. Raises UsageError."""
    operand, places = describe("grad", grad, "N C H_out W_out"), describe("indices", indices, "N C H W", PLACE_DTYPES)
    expect_like(operand, places)

    def shape_of(image: tuple[int, int, int, int]) -> PoolShape:
        return _pool_shape(image, kernel_size, stride, padding, dilation, True)

    return _gradient_of_pool(operand, input_size, shape_of), common_dtype([operand])


def avg_pool_backward_shape(
    grad: Array,
    *,
    input_size: Sequence[int],
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
) -> tuple[PoolShape, str]:
    """Sizes and element type of a call of `avg_pool2d_backward`. Raises UsageError."""
    operand = describe("grad", grad, "N C H_out W_out")

    def shape_of(image: tuple[int, int, int, int]) -> PoolShape:
        return _pool_shape(image, kernel_size, stride, padding, 1, False)

    return _gradient_of_pool(operand, input_size, shape_of), common_dtype([operand])
