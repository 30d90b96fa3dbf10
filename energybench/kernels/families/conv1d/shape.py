"""Sizes of a temporal convolution, as those of a two-dimensional one with one row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from energybench.errors import UsageError
from energybench.kernels.arrays import describe
from energybench.kernels.families.conv.shape import ConvShape, conv_backward_shape, conv_shape
from energybench.kernels.windows import pair, window_positions

if TYPE_CHECKING:
    from energybench.kernels.arrays import Array


def as_rows(array: Any) -> Any:
    """A view of ``[N, C, L]`` as images of one row, ``[N, C, 1, L]``."""
    return None if array is None else array[:, :, None]


def one(name: str, value: object, least: int) -> int:
    """A checked integer. Raises UsageError."""
    if type(value) is not int:
        raise UsageError(f"{name}={value!r} is not valid; give one integer of at least {least}")
    return pair(name, value, least)[0]


def _pairs(x: Array, w: Array, *, stride: int = 1, padding: int = 0, dilation: int = 1, **more: Any) -> dict[str, Any]:
    """The options as those of images of one row, checked. Raises UsageError."""
    L, K = describe("x", x, "N C_in L").shape[2], describe("w", w, "C_out C_in/groups K").shape[2]
    step, pad, spread = one("stride", stride, 1), one("padding", padding, 0), one("dilation", dilation, 1)
    if window_positions(L, K, step, pad, spread) < 1:
        raise UsageError(
            f"{K} taps with dilation {spread} do not fit in {L} steps with padding {pad}; pad more or use fewer taps"
        )
    return {"stride": (1, step), "padding": (0, pad), "dilation": (1, spread), **more}


def conv1d_shape(x: Array, w: Array, bias: Array | None = None, **options: Any) -> tuple[ConvShape, str]:
    """Sizes and element type of a call of `conv1d`. Raises UsageError."""
    pairs = _pairs(x, w, **options)
    return conv_shape(as_rows(x), as_rows(w), bias, **pairs)


def conv1d_backward_shape(grad: Array, x: Array, w: Array, **options: Any) -> tuple[ConvShape, str]:
    """Sizes and element type of a call of `conv1d_backward`. Raises UsageError."""
    pairs = _pairs(x, w, **options)
    describe("grad", grad, "N C_out L_out")
    return conv_backward_shape(as_rows(grad), as_rows(x), as_rows(w), **pairs)
