"""Closed-form counts of functions of a row: softmax and layer normalisation."""

from __future__ import annotations

from typing import Final

from energybench.kernels.closed_form import CountRequest, Traffic
from energybench.kernels.cuda_tiles import block_reduction
from energybench.kernels.families.rows.shape import RowShape
from energybench.records.op_counts import OpCounts


def _reductions(shape: RowShape, request: CountRequest) -> tuple[int, int]:
    """Loads and stores of shared memory in a row's two reductions, where a block of threads makes them."""
    if request.variant != "block":
        return 0, 0
    loads, stores = block_reduction(shape.n)
    return 2 * shape.rows * loads, 2 * shape.rows * stores


def softmax(shape: RowShape, request: CountRequest) -> OpCounts:
    """Counts of a softmax over the last dimension: three passes, the exponentials kept in y between two of them."""
    n = shape.rows * shape.n
    loads, stores = _reductions(shape, request)
    return request.tallies(
        compulsory=Traffic(n, n),
        issued=Traffic(3 * n + loads, 2 * n + stores),
        adds=2 * n,
        divs=n,
        compares=n,
        specials=n,
    )


def softmax_backward(shape: RowShape, request: CountRequest) -> OpCounts:
    """Counts of a softmax's gradient: a pass for the sum of g·y, a pass for y·(g − that)."""
    n = shape.rows * shape.n
    return request.tallies(compulsory=Traffic(2 * n, n), issued=Traffic(4 * n, n), adds=2 * n, muls=2 * n)


def log_softmax(shape: RowShape, request: CountRequest) -> OpCounts:
    """Counts of the logarithm of a softmax: three passes, the differences from the largest kept in y."""
    n = shape.rows * shape.n
    return request.tallies(
        compulsory=Traffic(n, n), issued=Traffic(3 * n, 2 * n), adds=3 * n, compares=n, specials=n + shape.rows
    )


def log_softmax_backward(shape: RowShape, request: CountRequest) -> OpCounts:
    """Counts of its gradient: a pass for the sum of g, a pass for g − exp(y)·that."""
    n = shape.rows * shape.n
    return request.tallies(compulsory=Traffic(2 * n, n), issued=Traffic(3 * n, n), adds=2 * n, muls=n, specials=n)


def layer_norm(shape: RowShape, request: CountRequest) -> OpCounts:
    """Counts of a layer normalisation: three passes, the differences from the mean kept in y between two of them."""
    elements, rows = shape.rows * shape.n, shape.rows
    weights = shape.n * (shape.has_weight + shape.has_bias)
    kept = 2 * rows if shape.keep_statistics else 0
    loads, stores = _reductions(shape, request)
    return request.tallies(
        compulsory=Traffic(elements + weights, elements + kept, weights),
        issued=Traffic(3 * elements + rows * weights + loads, 2 * elements + kept + stores, rows * weights),
        adds=elements * (3 + shape.has_bias) + rows,
        muls=elements * (2 + shape.has_weight),
        divs=2 * rows,
        specials=rows,
    )


#: Rows whose columns are summed while they are in a cache (kNormChunk in csrc/kernels/norm.h).
_CHUNK: Final = 32


def layer_norm_backward(shape: RowShape, request: CountRequest) -> OpCounts:
    """Counts of a layer normalisation's gradients; the sums of columns are in one run (naive) or in chunks of rows."""
    elements, rows, n = shape.rows * shape.n, shape.rows, shape.n
    w, b = int(shape.has_weight), int(shape.has_bias)
    columns = elements * (1 + w) if w or b else 0  # grad and, for the weights, x̂
    results = n * (w + b)
    if request.variant == "naive":
        issued = Traffic(
            loads=3 * rows + elements * (1 + (2 + w) + 2) + columns,
            stores=elements * (2 + w) + results,
            weight_loads=elements * w,
        )
    else:
        chunks = -(-rows // _CHUNK)
        issued = Traffic(
            loads=2 * rows + elements * ((2 + w) + 2) + columns + chunks * results,
            stores=elements * (2 + w) + chunks * results + results,
            weight_loads=elements * w,
        )
    return request.tallies(
        compulsory=Traffic(2 * elements + 2 * rows + n * w, elements + results, n * w),
        issued=issued,
        launches=2 + bool(w or b) if request.device == "cuda" else 1,
        adds=elements * (5 + w + b),
        muls=elements * (4 + 2 * w),
        divs=2 * rows,
    )
