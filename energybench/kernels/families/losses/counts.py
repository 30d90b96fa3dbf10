"""Closed-form counts of cross-entropy."""

from __future__ import annotations

from energybench.kernels.closed_form import CountRequest, Traffic
from energybench.kernels.families.losses.shape import ClassShape
from energybench.records.op_counts import OpCounts


def cross_entropy(shape: ClassShape, request: CountRequest) -> OpCounts:
    """Counts of a log-softmax of every row and of the mean of what the targets pick."""
    n, rows = shape.rows * shape.n, shape.rows
    return request.tallies(
        compulsory=Traffic(n, n + 1),
        issued=Traffic(3 * n + rows, 2 * n + 1),
        others={"int64": Traffic(rows, 0)},
        adds=3 * n + rows,
        compares=n,
        divs=1,
        specials=n + rows,
    )


def cross_entropy_backward(shape: ClassShape, request: CountRequest) -> OpCounts:
    """Counts of its gradient: an exponential and a product for every class, a difference at the target."""
    n, rows = shape.rows * shape.n, shape.rows
    return request.tallies(
        compulsory=Traffic(n + 1, n),
        issued=Traffic(n + 2 * rows, n + rows),
        others={"int64": Traffic(rows, 0)},
        adds=rows,
        muls=n,
        divs=rows,
        specials=n,
    )
