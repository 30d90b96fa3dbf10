"""Closed-form counts of the core of multi-head attention."""

from __future__ import annotations

from energybench.kernels.closed_form import CountRequest, Traffic
from energybench.kernels.families.attention.shape import AttentionShape
from energybench.records.op_counts import OpCounts


def attention(shape: AttentionShape, request: CountRequest) -> OpCounts:
    """Counts of one attention core; `pairs` are the visible (query, key) pairs of all heads."""
    heads = shape.B * shape.Hn
    pairs = heads * shape.visible_pairs
    outputs = heads * shape.S_q * shape.D
    return request.tallies(
        compulsory=Traffic(outputs + 2 * heads * shape.S_k * shape.D, outputs),
        issued=Traffic(loads=pairs * (4 * shape.D + 2), stores=pairs * 3 + outputs),
        macs=2 * pairs * shape.D,
        nominal_macs=2 * heads * shape.S_q * shape.S_k * shape.D,
        adds=2 * pairs,
        muls=pairs,
        divs=pairs,
        compares=pairs,
        specials=pairs,
    )
