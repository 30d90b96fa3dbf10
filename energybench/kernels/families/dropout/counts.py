"""Closed-form counts of dropout."""

from __future__ import annotations

from energybench.kernels.closed_form import CountRequest, Traffic
from energybench.kernels.families.dropout.shape import DropoutShape
from energybench.records.op_counts import OpCounts


def dropout(shape: DropoutShape, request: CountRequest) -> OpCounts:
    """Counts of a dropout: a random number, a comparison and a product for each element; a byte of mask."""
    moved, mask = Traffic(shape.n, shape.n), {"uint8": Traffic(0, shape.n)}
    return request.tallies(
        compulsory=moved, issued=moved, others=mask, muls=shape.n, compares=shape.n, specials=shape.n
    )


def dropout_backward(shape: DropoutShape, request: CountRequest) -> OpCounts:
    """Counts of its gradient: a product for each element."""
    moved, mask = Traffic(shape.n, shape.n), {"uint8": Traffic(shape.n, 0)}
    return request.tallies(compulsory=moved, issued=moved, others=mask, muls=shape.n)
