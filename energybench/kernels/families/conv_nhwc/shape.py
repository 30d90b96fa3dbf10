"""Sizes of a convolution with channels innermost and of its gradients, read from a call and checked once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from energybench.kernels.arrays import common_dtype, describe, expect_shape, is_torch
from energybench.kernels.families.conv.shape import ConvShape, conv_shape

if TYPE_CHECKING:
    from energybench.kernels.arrays import Array


def _channels_first(array: Any) -> Any:
    """A view with the last axis second; no element is looked at."""
    order = (0, 3, 1, 2)
    return array.permute(order) if is_torch(array) else array.transpose(order)


def _as_planes(x: Array, w: Array, bias: Array | None, **options: Any) -> tuple[ConvShape, str]:
    """Sizes and element type as `conv2d`'s, of views. Raises UsageError."""
    describe("x", x, "N H W C_in")
    describe("w", w, "C_out KH KW C_in/groups")
    return conv_shape(_channels_first(x), _channels_first(w), bias, **options)


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
    shape, dtype = _as_planes(x, w, bias, stride=stride, padding=padding, dilation=dilation, groups=groups)
    return replace(shape, direct=groups == shape.C_in == shape.C_out), dtype


def conv_nhwc_backward_shape(
    grad: Array,
    x: Array,
    w: Array,
    *,
    has_bias: bool = False,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> tuple[ConvShape, str]:
    """Sizes and element type of a call of `conv2d_nhwc_backward`; `direct` as `conv2d`'s. Raises UsageError."""
    shape, dtype = _as_planes(x, w, None, stride=stride, padding=padding, dilation=dilation, groups=groups)
    of_grad = describe("grad", grad, "N H_out W_out C_out")
    expect_shape(of_grad, (shape.N, shape.H_out, shape.W_out, shape.C_out), "[N, H_out, W_out, C_out]")
    common_dtype([of_grad, describe("x", x, "N H W C_in")])
    return replace(shape, has_bias=bool(has_bias)), dtype
