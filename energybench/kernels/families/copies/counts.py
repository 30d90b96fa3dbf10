"""Closed-form counts of copies (derivations: docs/kernels/padding.md, docs/kernels/layouts.md)."""

from __future__ import annotations

import math

from energybench.kernels.closed_form import CountRequest, Traffic
from energybench.kernels.families.copies.shape import ConcatShape, GatherShape, PadShape, TransposeShape
from energybench.records.op_counts import OpCounts


def pad2d(shape: PadShape, request: CountRequest) -> OpCounts:
    """Counts of padding: each output stored, and loaded from where it stands for; a zero stands for nothing."""
    inputs, outputs = math.prod(shape.image), math.prod(shape.padded)
    loads = inputs if shape.mode == "zeros" else outputs
    return request.tallies(compulsory=Traffic(inputs, outputs), issued=Traffic(loads, outputs))


def pad2d_backward(shape: PadShape, request: CountRequest) -> OpCounts:
    """Counts of its gradient: zeros, then each output's gradient added to its source; of zeros a copy of the inside."""
    inputs, outputs = math.prod(shape.image), math.prod(shape.padded)
    compulsory = Traffic(outputs, inputs)
    if shape.mode == "zeros":
        return request.tallies(compulsory=compulsory, issued=Traffic(inputs, inputs))
    return request.tallies(compulsory=compulsory, issued=Traffic(2 * outputs, inputs + outputs), adds=outputs)


def transpose(shape: TransposeShape, request: CountRequest) -> OpCounts:
    """Counts of a change of layout: each element once, in and out."""
    moved = Traffic(shape.elements, shape.elements)
    return request.tallies(compulsory=moved, issued=moved)


def concat_channels(shape: ConcatShape, request: CountRequest) -> OpCounts:
    """Counts of a join: each element once, in and out."""
    moved = Traffic(shape.elements, shape.elements)
    return request.tallies(compulsory=moved, issued=moved)


def embedding(shape: GatherShape, request: CountRequest) -> OpCounts:
    """Counts of rows of a table: a row for each index. Compulsory traffic reads no more than there is of the table."""
    moved = shape.count * shape.n
    touched = min(moved, shape.rows * shape.n)
    return request.tallies(
        compulsory=Traffic(touched, moved, touched),
        issued=Traffic(moved, moved, moved),
        others={"int64": Traffic(shape.count, 0)},
    )
