"""Closed-form counts of two-dimensional convolution."""

from __future__ import annotations

from energybench.kernels.closed_form import CountRequest, Traffic
from energybench.kernels.families.conv.shape import ConvShape
from energybench.kernels.windows import valid_taps
from energybench.records.op_counts import OpCounts


def conv2d(shape: ConvShape, request: CountRequest) -> OpCounts:
    """Counts of one convolution. Taps separate by dimension, so executed MACs are a product of two sums."""
    channels = shape.C_in // shape.groups
    outputs = shape.N * shape.C_out * shape.H_out * shape.W_out
    rows = valid_taps(shape.H, shape.KH, shape.stride[0], shape.padding[0], shape.dilation[0], shape.H_out)
    columns = valid_taps(shape.W, shape.KW, shape.stride[1], shape.padding[1], shape.dilation[1], shape.W_out)
    macs = shape.N * shape.C_out * channels * rows * columns
    biases = outputs if shape.has_bias else 0
    weights = shape.C_out * channels * shape.KH * shape.KW + (shape.C_out if shape.has_bias else 0)
    return request.tallies(
        compulsory=Traffic(shape.N * shape.C_in * shape.H * shape.W + weights, outputs, weights),
        issued=Traffic(2 * macs + biases, outputs, macs + biases),
        macs=macs,
        nominal_macs=outputs * channels * shape.KH * shape.KW,
        adds=biases,
    )
