"""Closed-form counts of functions of a row: softmax and layer normalisation."""

from __future__ import annotations

from energybench.kernels.closed_form import CountRequest, Traffic
from energybench.kernels.families.rows.shape import RowShape
from energybench.records.op_counts import OpCounts


def softmax(shape: RowShape, request: CountRequest) -> OpCounts:
    """Counts of a softmax over the last dimension: three passes, the exponentials kept in y between two of them."""
    n = shape.rows * shape.n
    return request.tallies(
        compulsory=Traffic(n, n), issued=Traffic(3 * n, 2 * n), adds=2 * n, divs=n, compares=n, specials=n
    )


def layer_norm(shape: RowShape, request: CountRequest) -> OpCounts:
    """Counts of a layer normalisation: three passes, the differences from the mean kept in y between two of them."""
    elements, rows = shape.rows * shape.n, shape.rows
    weights = shape.n * (shape.has_weight + shape.has_bias)
    return request.tallies(
        compulsory=Traffic(elements + weights, elements, weights),
        issued=Traffic(3 * elements + rows * weights, 2 * elements, rows * weights),
        adds=elements * (3 + shape.has_bias) + rows,
        muls=elements * (2 + shape.has_weight),
        divs=2 * rows,
        specials=rows,
    )
