"""Closed-form counts of the fully connected layer."""

from __future__ import annotations

from energybench.kernels.closed_form import CountRequest, Traffic
from energybench.kernels.families.linear.shape import LinearShape
from energybench.records.op_counts import OpCounts


def linear(shape: LinearShape, request: CountRequest) -> OpCounts:
    """Counts of one fully connected layer."""
    M, K, N = shape.M, shape.K, shape.N
    macs, outputs = M * K * N, M * N
    biases = outputs if shape.has_bias else 0
    weights = N * K + (N if shape.has_bias else 0)
    return request.tallies(
        compulsory=Traffic(M * K + weights, outputs, weights),
        issued=Traffic(2 * macs + biases, outputs, macs + biases),
        macs=macs,
        nominal_macs=macs,
        adds=biases,
    )
