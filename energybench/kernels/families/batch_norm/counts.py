"""Closed-form counts of batch normalisation."""

from __future__ import annotations

from energybench.kernels.closed_form import CountRequest, Traffic
from energybench.kernels.families.batch_norm.shape import BatchNormShape
from energybench.records.op_counts import OpCounts


def batch_norm(shape: BatchNormShape, request: CountRequest) -> OpCounts:
    """Counts of a batch normalisation: three passes over a channel in training, one in inference."""
    E, C = shape.N * shape.C * shape.S, shape.C
    w, b = int(shape.has_weight), int(shape.has_bias)
    weights = C * (w + b)
    if not shape.training:
        moved = Traffic(E + 2 * C + weights, E, weights)
        return request.tallies(
            compulsory=moved,
            issued=moved,
            adds=E + C * (1 + b),
            muls=E + C * (1 + w),
            specials=C,
        )
    running = 2 * C if shape.has_running else 0
    results = running + (2 * C if shape.keep_statistics else 0)
    return request.tallies(
        compulsory=Traffic(E + weights + running, E + results, weights),
        issued=Traffic(3 * E + weights + running, 2 * E + results, weights),
        adds=E * (3 + b) + C + running,
        muls=E * (2 + w) + 2 * running,
        divs=2 * C,
        specials=C,
    )


def batch_norm_backward(shape: BatchNormShape, request: CountRequest) -> OpCounts:
    """Counts of its gradients. In training the sums that dx needs are the gradients of weight and bias."""
    E, C = shape.N * shape.C * shape.S, shape.C
    w, b = int(shape.has_weight), int(shape.has_bias)
    results = C * (w + b)
    if not shape.training:
        return request.tallies(
            compulsory=Traffic(E * (1 + w) + C * (1 + 2 * w), E + results, C * w),
            issued=Traffic(E * (1 + 2 * w + b) + C * (1 + 2 * w), E + results, C * w),
            adds=E * (2 * w + b) + C,
            muls=E * (1 + w) + 2 * C * w,
            specials=C,
        )
    return request.tallies(
        compulsory=Traffic(2 * E + 2 * C + C * w, E + results, C * w),
        issued=Traffic(4 * E + 2 * C + C * w, 2 * E + results, C * w),
        adds=5 * E,
        muls=4 * E + C * w,
        divs=2 * C,
    )
