"""Closed-form counts of pooling."""

from __future__ import annotations

from energybench.kernels.closed_form import CountRequest, Traffic
from energybench.kernels.families.pool.shape import PoolShape
from energybench.kernels.windows import valid_taps
from energybench.records.op_counts import OpCounts


def _sizes(shape: PoolShape) -> tuple[int, int, int]:
    """Inputs, taps inside the image, and outputs."""
    rows = valid_taps(shape.H, shape.window[0], shape.stride[0], shape.padding[0], shape.dilation[0], shape.H_out)
    columns = valid_taps(shape.W, shape.window[1], shape.stride[1], shape.padding[1], shape.dilation[1], shape.W_out)
    planes = shape.N * shape.C
    return planes * shape.H * shape.W, planes * rows * columns, planes * shape.H_out * shape.W_out


def max_pool2d(shape: PoolShape, request: CountRequest) -> OpCounts:
    """Counts of a maximum pool: a compare for each tap inside the image; the winners' places where they are kept."""
    inputs, taps, outputs = _sizes(shape)
    places = {"int64": Traffic(0, outputs)} if shape.keep_winners else {}
    return request.tallies(
        compulsory=Traffic(inputs, outputs), issued=Traffic(taps, outputs), others=places, compares=taps
    )


def avg_pool2d(shape: PoolShape, request: CountRequest) -> OpCounts:
    """Counts of an average pool: an add for each tap inside the image, a division for each output."""
    inputs, taps, outputs = _sizes(shape)
    return request.tallies(compulsory=Traffic(inputs, outputs), issued=Traffic(taps, outputs), adds=taps, divs=outputs)


def max_pool2d_backward(shape: PoolShape, request: CountRequest) -> OpCounts:
    """Counts of its gradient: zeros, then each output's gradient added to its winner."""
    inputs, _, outputs = _sizes(shape)
    return request.tallies(
        compulsory=Traffic(outputs, inputs),
        issued=Traffic(2 * outputs, inputs + outputs),
        others={"int64": Traffic(outputs, 0)},
        adds=outputs,
    )


def avg_pool2d_backward(shape: PoolShape, request: CountRequest) -> OpCounts:
    """Counts of its gradient: zeros, then each output's share added to its taps. Tuned rungs keep a row of shares."""
    inputs, taps, outputs = _sizes(shape)
    if request.variant == "naive":
        issued = Traffic(outputs + taps, inputs + taps)
    else:
        issued = Traffic(outputs + 2 * taps, inputs + taps + outputs)
    return request.tallies(compulsory=Traffic(outputs, inputs), issued=issued, adds=taps, divs=outputs)
