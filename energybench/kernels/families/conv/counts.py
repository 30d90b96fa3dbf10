"""Closed-form counts of convolution (derivations: docs/kernels/conv2d.md)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from energybench.kernels.closed_form import CountRequest, Traffic
from energybench.kernels.families.conv.shape import ConvShape
from energybench.kernels.tiles import gemm_traffic, lanes
from energybench.kernels.windows import valid_taps
from energybench.records.op_counts import OpCounts

#: Output channels that the direct rung works together (csrc/cpu/tuned/conv.cpp).
_DIRECT_ROWS: Final = 4


@dataclass(frozen=True, slots=True)
class Issued:
    """What a rung moves, and what its tiles multiply."""

    loads: int
    stores: int
    weight_loads: int
    tile_macs: int = 0


def taps(shape: ConvShape) -> tuple[int, int]:
    """Pairs of output row and kernel row inside the image, and the same of columns."""
    return (
        valid_taps(shape.H, shape.KH, shape.stride[0], shape.padding[0], shape.dilation[0], shape.H_out),
        valid_taps(shape.W, shape.KW, shape.stride[1], shape.padding[1], shape.dilation[1], shape.W_out),
    )


def _flattened(shape: ConvShape) -> ConvShape:
    """A window of one pixel without steps or padding sees an image of one row."""
    if (shape.KH, shape.KW) != (1, 1) or shape.stride != (1, 1) or shape.padding != (0, 0):
        return shape
    return replace(shape, H=1, W=shape.H * shape.W)


def _im2col(shape: ConvShape, rung: str, dtype: str) -> Issued:
    """A matrix product for each group: each tap inside the image is packed once, for all channels of its group."""
    M, K = shape.C_out // shape.groups, shape.C_in // shape.groups * shape.KH * shape.KW
    pixels = shape.N * shape.H_out * shape.W_out
    t = gemm_traffic(M, pixels, K, rung, dtype)
    rows, columns = taps(shape)
    packed = shape.N * (shape.C_in // shape.groups) * rows * columns
    biases = M * -(-pixels // lanes(rung, dtype)) if shape.has_bias else 0
    loads = packed + t.loads_a + t.panel_loads + t.loads_c + biases
    return Issued(
        loads=shape.groups * loads,
        stores=shape.groups * (t.panel_stores + t.stores_c),
        weight_loads=shape.groups * (t.loads_a + biases),
        tile_macs=shape.groups * t.tile_macs,
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


def naive_issued(shape: ConvShape) -> Issued:
    """One weight and one input for each MAC, one bias for each output."""
    rows, columns = taps(shape)
    outputs = shape.N * shape.C_out * shape.H_out * shape.W_out
    macs, biases = shape.N * shape.C_out * (shape.C_in // shape.groups) * rows * columns, outputs * shape.has_bias
    return Issued(2 * macs + biases, outputs, macs + biases)


def conv2d(shape: ConvShape, request: CountRequest) -> OpCounts:
    """Counts of one convolution."""
    if request.variant == "naive":
        return convolution(shape, request, naive_issued(shape))
    rung = _direct if shape.direct else _im2col
    return convolution(shape, request, rung(_flattened(shape), request.variant, request.dtype))


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
