"""Closed-form counts of convolution with channels innermost (derivations: docs/kernels/layouts.md)."""

from __future__ import annotations

from typing import Final

from energybench.kernels.closed_form import CountRequest
from energybench.kernels.families.conv.counts import convolution, gradients, naive_issued, taps
from energybench.kernels.families.conv.patches import Issued, forward_sums, pixel_sums
from energybench.kernels.families.conv.shape import ConvShape
from energybench.kernels.tiles import lanes
from energybench.records.op_counts import OpCounts

#: Neighbours in a row that share a load of depthwise weights (csrc/cpu/tuned/conv_nhwc.cpp).
_PIXELS: Final = 4


def _patches(shape: ConvShape, rung: str, dtype: str) -> Issued:
    return pixel_sums(forward_sums(shape), rung, dtype, has_bias=shape.has_bias)


def _whole_windows(shape: ConvShape) -> int:
    """Output columns whose taps are all inside the image."""
    stride, padding = shape.stride[1], shape.padding[1]
    first = -(-padding // stride)
    last = (shape.W - 1 + padding - (shape.KW - 1) * shape.dilation[1]) // stride
    return max(0, min(shape.W_out, last + 1) - first)


def _depthwise(shape: ConvShape, rung: str, dtype: str) -> Issued:
    """Weights packed once; blocks of pixels that share a load of them, and single ones at the edges."""
    width, C = lanes(rung, dtype), shape.C_in
    rows, columns = taps(shape)
    weights = C * shape.KH * shape.KW
    blocks = _whole_windows(shape) // _PIXELS
    singles = shape.W_out - _PIXELS * blocks
    in_panels = shape.N * C * rows * (blocks * shape.KW + columns - blocks * _PIXELS * shape.KW)
    biases = shape.N * C * shape.H_out * (blocks + singles) if shape.has_bias else 0
    return Issued(
        loads=shape.N * C * rows * columns + weights + in_panels + biases,
        stores=shape.N * C * shape.H_out * shape.W_out + weights,
        weight_loads=weights + biases,
        tile_macs=shape.N * rows * columns * -(-C // width) * width,
    )


def conv2d_nhwc(shape: ConvShape, request: CountRequest) -> OpCounts:
    """Counts of one convolution; the work is that of `conv2d`."""
    if request.variant == "naive":
        return convolution(shape, request, naive_issued(shape))
    rung = _depthwise if shape.direct else _patches
    return convolution(shape, request, rung(shape, request.variant, request.dtype))


def copies(shape: ConvShape) -> Issued:
    """x, dy and w with a plane for each channel, dx and dw back; where there is one channel or pixel nothing moves."""

    def elements(images: int, channels: int, pixels: int) -> int:
        return images * channels * pixels if min(channels, pixels) > 1 else 0

    inputs = elements(shape.N, shape.C_in, shape.H * shape.W)
    outputs = elements(shape.N, shape.C_out, shape.H_out * shape.W_out)
    weights = elements(shape.C_out, shape.C_in // shape.groups, shape.KH * shape.KW)
    moved = 2 * (inputs + weights) + outputs
    return Issued(moved, moved)


def conv2d_nhwc_backward(shape: ConvShape, request: CountRequest) -> OpCounts:
    """Counts of dx, dw and db: `conv2d_backward`'s, and the copies that it works on."""
    return gradients(shape, request, copies(shape))
