"""Closed-form counts of convolution (derivations: docs/kernels/conv2d.md)."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from energybench.kernels.closed_form import CountRequest, Traffic
from energybench.kernels.cuda_tiles import THREAD_COLUMNS, gemm_tiles
from energybench.kernels.families.conv.patches import (
    Issued,
    forward_sums,
    input_gradient_sums,
    patch_sums,
    weight_gradient,
)
from energybench.kernels.families.conv.shape import ConvShape
from energybench.kernels.tiles import lanes
from energybench.kernels.windows import valid_taps
from energybench.records.op_counts import OpCounts

#: Output channels that the direct rung works together (csrc/cpu/tuned/conv.cpp).
_DIRECT_ROWS: Final = 4
#: Rows of outputs that share a load of a depthwise plane (csrc/kernels/depthwise.h).
_DEPTHWISE_ROWS: Final = 4


def taps(shape: ConvShape) -> tuple[int, int]:
    """Pairs of output row and kernel row inside the image, and the same of columns."""
    return (
        valid_taps(shape.H, shape.KH, shape.stride[0], shape.padding[0], shape.dilation[0], shape.H_out),
        valid_taps(shape.W, shape.KW, shape.stride[1], shape.padding[1], shape.dilation[1], shape.W_out),
    )


def _direct(shape: ConvShape, rung: str, dtype: str) -> Issued:
    """Blocks of channels that share their taps: a row of pixels, a few vectors at a time."""
    width, channels_in, channels = lanes(rung, dtype), shape.C_in // shape.groups, shape.C_out // shape.groups
    rows, columns = taps(shape)
    images = shape.N * shape.groups
    blocks, singles = divmod(channels, _DIRECT_ROWS)
    vectors = -(-shape.W_out // width)
    in_blocks, alone = vectors // 2 + vectors % 2, vectors // 4 + vectors % 4 // 2 + vectors % 2
    if shape.stride[1] != 1:
        in_blocks = alone = vectors
    pieces = blocks * _DIRECT_ROWS * in_blocks + singles * alone  # of a row of pixels, all channels of a group
    weights = images * pieces * channels_in * rows * shape.KW
    biases = images * pieces * shape.H_out if shape.has_bias else 0
    tile_macs = images * channels * channels_in * rows * shape.KW * vectors * width
    inputs = images * (blocks + singles) * channels_in * rows * columns
    outputs = shape.N * shape.C_out * shape.H_out * shape.W_out
    return Issued(inputs + weights + biases, outputs, weights + biases, tile_macs)


def _depthwise(s: ConvShape, rung: str, dtype: str) -> Issued:
    """Depthwise with a window of 3×3: a padded copy of each plane, vectors of which serve four rows of outputs."""
    width, stride, outputs = lanes(rung, dtype), s.stride[0], s.C_out // s.groups
    vectors, planes = -(-s.W_out // width), s.N * s.groups
    copied, padded = _padded_plane(s, width)
    blocks, singles = divmod(s.H_out, _DEPTHWISE_ROWS)
    taps = vectors * width * 3 * (blocks * ((_DEPTHWISE_ROWS - 1) * stride + 3) + singles * 3)
    weights = 9 + s.has_bias
    return Issued(
        planes * (copied + outputs * (taps + weights)),
        planes * (padded + outputs * s.H_out * s.W_out),
        planes * outputs * weights,
        planes * outputs * 9 * s.H_out * vectors * width,
    )


def _tuned(shape: ConvShape, rung: str, dtype: str) -> Issued:
    if not shape.direct:
        return patch_sums(forward_sums(shape), rung, dtype, has_bias=shape.has_bias)
    return (_depthwise if shape.is_depthwise3 else _direct)(shape, rung, dtype)


def _padded_plane(s: ConvShape, width: int) -> tuple[int, int]:
    """Elements copied into a plane with padding, and elements of it: columns for whole vectors of outputs.

    Negative padding, that of a gradient whose own was wider than the window, leaves elements out.
    """
    rows = (s.H_out - 1) * s.stride[0] + 3
    columns = -(-(-(-s.W_out // width) * width * s.stride[0] + 2) // width) * width
    copied = [
        min(n, end - before) - max(0, -before)
        for n, end, before in zip((s.H, s.W), (rows, columns), s.padding, strict=True)
    ]
    return copied[0] * copied[1], rows * columns


def naive_issued(shape: ConvShape) -> Issued:
    """One weight and one input for each MAC, one bias for each output."""
    rows, columns = taps(shape)
    outputs = shape.N * shape.C_out * shape.H_out * shape.W_out
    macs, biases = shape.N * shape.C_out * (shape.C_in // shape.groups) * rows * columns, outputs * shape.has_bias
    return Issued(2 * macs + biases, outputs, macs + biases)


def _tiled(s: ConvShape) -> Issued:
    """On CUDA a group's weights, a row an output channel, times its implicit patches, a column a pixel of any image."""
    rows, columns = taps(s)
    channels, outputs = s.C_in // s.groups, s.C_out // s.groups
    depth, pixels = channels * s.KH * s.KW, s.N * s.H_out * s.W_out
    t = gemm_tiles(outputs, pixels, depth)
    weights = s.C_out * depth * t.reads_of_rows
    biases = s.C_out * -(-pixels // THREAD_COLUMNS) * s.has_bias  # one for a thread's outputs of a row
    patches = s.N * s.C_in * rows * columns * t.reads_of_columns
    return Issued(
        weights + patches + biases + s.groups * t.shared_loads,
        s.groups * t.shared_stores + s.C_out * pixels,
        weights + biases,
        s.groups * t.tile_macs,
    )


def conv2d(shape: ConvShape, request: CountRequest) -> OpCounts:
    """Counts of one convolution."""
    if request.variant == "naive":
        return convolution(shape, request, naive_issued(shape))
    if request.variant == "tiled":
        return convolution(shape, request, _tiled(shape))
    return convolution(shape, request, _tuned(shape, request.variant, request.dtype))


def convolution(shape: ConvShape, request: CountRequest, issued: Issued) -> OpCounts:
    """Counts of a convolution in any layout. Taps separate by dimension, so executed MACs are a product of two sums."""
    channels = shape.C_in // shape.groups
    outputs = shape.N * shape.C_out * shape.H_out * shape.W_out
    rows, columns = taps(shape)
    weights = shape.C_out * channels * shape.KH * shape.KW + (shape.C_out if shape.has_bias else 0)
    return request.tallies(
        compulsory=Traffic(shape.N * shape.C_in * shape.H * shape.W + weights, outputs, weights),
        issued=Traffic(issued.loads, issued.stores, issued.weight_loads),
        macs=shape.N * shape.C_out * channels * rows * columns,
        nominal_macs=outputs * channels * shape.KH * shape.KW,
        tile_macs=issued.tile_macs,
        adds=outputs if shape.has_bias else 0,
    )


def _nonempty(size: int, starts: list[int], results: int, width: int, step: int = 1) -> int:
    """Vectors of results in which some lane reads inside ``[0, size)``, `starts` being where result 0 reads."""
    return sum(
        any(0 <= start + i * step < size for i in range(first, min(results, first + width)))
        for start in starts
        for first in range(0, results, width)
    )


def _input_gradient(s: ConvShape, rung: str, dtype: str) -> Issued:
    """dx row by row and phase by phase: vectors in which some lane is inside."""
    width, outputs = lanes(rung, dtype), s.C_out // s.groups
    rows, columns = taps(s)
    axis = input_gradient_sums(s).w
    vectors = sum(
        _nonempty(s.W_out, [f.offset + t * f.tap_step for t in range(f.taps)], f.pixels, width) for f in axis.phases()
    )
    pairs = s.N * s.C_in * outputs * rows  # of a row of dx and one of dy, all channels
    return Issued(pairs * (columns + vectors), s.N * s.C_in * s.H * s.W, pairs * vectors, pairs * vectors * width)


def _weight_gradient(s: ConvShape, rung: str, dtype: str) -> Issued:
    """dw one dot product at a time: vectors in which some lane is inside."""
    width, weights = lanes(rung, dtype), s.C_out * (s.C_in // s.groups)
    rows, columns = taps(s)
    starts = [k * s.dilation[1] - s.padding[1] for k in range(s.KW)]
    vectors = _nonempty(s.W, starts, s.W_out, width, s.stride[1])
    return Issued(
        2 * s.N * weights * rows * columns,
        weights * s.KH * s.KW,
        tile_macs=weights * width * (s.N * rows * vectors + s.KH * s.KW),
    )


def _depthwise_weight_gradient(s: ConvShape, rung: str, dtype: str) -> Issued:
    """Nine dot products at once, with a padded copy of x's plane for each channel of dy."""
    width = lanes(rung, dtype)
    vectors, planes = s.H_out * -(-s.W_out // width), s.N * s.C_out
    copied, padded = _padded_plane(s, width)
    return Issued(
        planes * (copied + s.H_out * s.W_out + 9 * vectors * width),
        planes * padded + 9 * s.C_out,
        tile_macs=9 * width * (planes * vectors + s.C_out),
    )


def _direct_backward(s: ConvShape, rung: str, dtype: str) -> Issued:
    """Each gradient as the rung makes it; dx of a depthwise shape is a depthwise convolution of dy."""
    turned = s.is_depthwise3 and s.stride == (1, 1) and s.C_in == s.C_out
    if turned:
        padding = 2 - s.padding[0], 2 - s.padding[1]
        dx = _depthwise(replace(s, H=s.H_out, W=s.W_out, padding=padding, has_bias=False), rung, dtype)
    else:
        dx = _input_gradient(s, rung, dtype)
    return dx + (_depthwise_weight_gradient if s.is_depthwise3 else _weight_gradient)(s, rung, dtype)


def conv2d_backward(shape: ConvShape, request: CountRequest) -> OpCounts:
    """Counts of dx, dw and db of `conv2d`."""
    return gradients(shape, request, Issued())


def gradients(shape: ConvShape, request: CountRequest, copies: Issued) -> OpCounts:
    """Counts of dx, dw and db: each product of the forward pass has one partner in dx and one in dw.

    `copies`  what is moved besides, for a layout that the kernel does not read
    """
    channels = shape.C_in // shape.groups
    inputs, outputs = shape.N * shape.C_in * shape.H * shape.W, shape.N * shape.C_out * shape.H_out * shape.W_out
    weights, biases = shape.C_out * channels * shape.KH * shape.KW, shape.C_out if shape.has_bias else 0
    rows, columns = taps(shape)
    macs = shape.N * shape.C_out * channels * rows * columns
    adds = outputs if shape.has_bias else 0
    if request.variant == "naive":
        issued = Issued(4 * macs, inputs + weights, macs)
    elif shape.direct:
        issued = _direct_backward(shape, request.variant, request.dtype)
    else:
        rung, dtype = request.variant, request.dtype
        issued = patch_sums(input_gradient_sums(shape), rung, dtype, has_bias=False)
        issued = issued + weight_gradient(forward_sums(shape), rung, dtype)
    issued = issued + copies + Issued(adds, biases)
    return request.tallies(
        compulsory=Traffic(outputs + inputs + weights, inputs + weights + biases, weights),
        issued=Traffic(issued.loads, issued.stores, issued.weight_loads),
        launches=2 + shape.has_bias if request.device == "cuda" else 1,
        macs=2 * macs,
        nominal_macs=2 * outputs * channels * shape.KH * shape.KW,
        tile_macs=issued.tile_macs,
        adds=adds,
    )
