"""Sizes of a convolution with channels innermost, read from a call and checked once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from energybench.kernels.arrays import describe, is_torch
from energybench.kernels.families.conv.shape import ConvShape, conv_shape

if TYPE_CHECKING:
    from energybench.kernels.arrays import Array


def _channels_first(array: Any) -> Any:
    """A view with the last axis second; no element is looked at."""
    order = (0, 3, 1, 2)
    return array.permute(order) if is_torch(array) else array.transpose(order)


def conv_nhwc_shape(
    x: Array,
    w: Array,
    bias: Array | None = None,
    *,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> tuple[ConvShape, str]:
    """Sizes and element type of a call of `conv2d_nhwc`; `direct` is depthwise. Raises UsageError."""
    describe("x", x, "N H W C_in")
    describe("w", w, "C_out KH KW C_in/groups")
    shape, dtype = conv_shape(
        _channels_first(x),
        _channels_first(w),
        bias,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
    )
    return replace(shape, direct=groups == shape.C_in == shape.C_out), dtype
