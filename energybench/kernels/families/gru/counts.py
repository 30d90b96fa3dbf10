"""Closed-form counts of the gated recurrent unit, forward and backward."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from energybench.kernels.closed_form import CountRequest, Traffic
from energybench.kernels.families.gru.shape import GruShape
from energybench.kernels.tiles import gemm_rows, gemm_traffic, lanes
from energybench.records.op_counts import OpCounts

#: In csrc/cpu/tuned/gru.cpp: rows whose input side is worked out at a time, and vectors of hidden units in a strip.
_CHUNK_ROWS: Final = 1024
_STRIP_VECTORS: Final = 2
#: Rung → sequences that share a load of the recurrent weights: with three gates, and with four.
_SEQUENCES: Final = {"blocked": (2, 1), "avx2": (2, 1), "avx512": (4, 2), "avx512_emulated": (1, 1)}


def gru(shape: GruShape, request: CountRequest) -> OpCounts:
    """Counts of one sequence. On the GPU each step is a launch of its own."""
    T, B, I, H = shape.T, shape.B, shape.I, shape.H  # noqa: E741
    gate = int(shape.has_output_gate)
    elements = T * B * H
    gates = 3 + gate
    macs = elements * gates * (I + H)
    biases = 2 * gates * H if shape.has_bias else 0
    weights = gates * H * (I + H) + biases
    issued, tile_macs = _naive(shape) if request.variant == "naive" else _tuned(shape, request.variant, request.dtype)
    return request.tallies(
        compulsory=Traffic(T * B * I + B * H + weights, elements + B * H + _kept(shape), weights),
        issued=Traffic(issued.loads, issued.stores + _kept(shape), issued.weight_loads),
        launches=T if request.device == "cuda" else 1,
        macs=macs,
        nominal_macs=macs,
        tile_macs=tile_macs,
        adds=elements * (7 + 2 * gate),
        muls=elements * (2 + gate),
        divs=elements * (2 + gate),
        specials=elements * (3 + 2 * gate),
    )


def _kept(s: GruShape) -> int:
    return s.T * s.B * s.kept * s.H if s.keep_gates else 0


def _naive(s: GruShape) -> tuple[Traffic, int]:
    elements, gates = s.T * s.B * s.H, 3 + int(s.has_output_gate)
    macs = elements * gates * (s.I + s.H)
    biases = elements * 2 * gates if s.has_bias else 0
    loads = elements * ((gates + 1) * (s.I + s.H) + 1) + biases  # each x and h once for all gates; h to blend
    return Traffic(loads, elements * (gates - 2) + s.B * s.H, macs + biases), 0  # y, the state where it is not y, h_n


def _input_products(s: GruShape) -> Iterator[tuple[int, int]]:
    """Rows and columns of the matrix products of the input side."""
    steps = max(1, _CHUNK_ROWS // s.B)
    for first in range(0, s.T, steps):
        rows = min(steps, s.T - first) * s.B
        yield rows, 3 * s.H
        if s.has_output_gate:
            yield rows, s.H


def _sequence_tiles(B: int, rung: str, gates: int) -> int:
    """Tiles of a step: as many sequences as share a load, then half as many, … then one."""
    tiles, left, together = 0, B, _SEQUENCES[rung][gates - 3]
    while left:
        tiles, left, together = tiles + left // together, left % together, max(1, together // 2)
    return tiles


def _tuned(s: GruShape, rung: str, dtype: str) -> tuple[Traffic, int]:
    B, H, gates = s.B, s.H, 3 + int(s.has_output_gate)
    loads = stores = weight_loads = tile_macs = 0
    for rows, columns in _input_products(s):
        product = gemm_traffic(rows, columns, s.I, rung, dtype)
        biases = -(-rows // gemm_rows(rung)) * columns if s.has_bias else 0  # each tile's sums begin at them
        loads += product.loads_a + product.panel_loads + product.loads_c
        weight_loads += product.loads_b + biases
        stores += product.panel_stores + product.stores_c
        tile_macs += product.tile_macs

    strips = -(-H // (_STRIP_VECTORS * lanes(rung, dtype)))
    panel = strips * _STRIP_VECTORS * lanes(rung, dtype) * gates * H
    weight_loads += gates * H * H  # packed, once a sequence
    loads += B * H  # h0 is copied beside the states
    stores += panel + B * H

    tiles = _sequence_tiles(B, rung, gates)
    weight_loads += s.T * tiles * gates * H if s.has_bias else 0
    loads += s.T * (tiles * panel + B * H * strips + B * H * (gates + 1))  # the input side's sums, and h to blend
    stores += s.T * B * H * (gates - 2) + B * H
    return Traffic(loads + weight_loads, stores, weight_loads), tile_macs + s.T * B * panel


def gru_backward(shape: GruShape, request: CountRequest) -> OpCounts:
    """Counts of the gradients of one sequence, from what a training forward pass kept."""
    B, I, H = shape.B, shape.I, shape.H  # noqa: E741
    gates, gate, rows = shape.gates, int(shape.has_output_gate), shape.T * shape.B
    elements, weights = rows * H, gates * H * (I + H)
    macs = 2 * rows * weights  # of states and inputs, and of the weights
    states = elements if not gate else 0  # y; with an output gate the states are among what was kept
    last = B * H if shape.has_grad_h else 0
    inputs = elements + last + rows * I + B * H + states + rows * shape.kept * H
    biases = 2 * gates * H if shape.has_bias else 0
    naive = request.variant == "naive"
    issued, tile_macs = _naive_backward(shape) if naive else _tuned_backward(shape, request.variant, request.dtype)
    return request.tallies(
        compulsory=Traffic(inputs + weights, rows * I + B * H + weights + biases, weights),
        issued=issued,
        # back through time a launch a step and one for the first state; then inputs, weights, biases
        launches=shape.T + 3 + int(shape.has_bias) if request.device == "cuda" else 1,
        macs=macs,
        nominal_macs=macs,
        tile_macs=tile_macs,
        adds=elements * (5 + 2 * gate + (gates + 1 if shape.has_bias else 0)),
        muls=elements * (11 + 6 * gate),
        specials=elements * gate,
    )


def _gate_gradients(s: GruShape) -> Traffic:
    """What both kinds of rung move once: a step's own values and sums, the last state's gradient, dh0, biases."""
    elements, slots = s.T * s.B * s.H, s.gates + 1
    loads = elements * (2 + s.kept) + (s.B * s.H if s.has_grad_h else 0)  # the gradient of y, the state before
    stores = elements * (slots + 1) + s.B * s.H  # the sums' gradients, what is carried; dh0
    if s.has_bias:
        loads += elements * slots
        stores += 2 * s.gates * s.H
    return Traffic(loads + elements, stores)  # what is carried is loaded at every step but the last, and for dh0


def _naive_backward(s: GruShape) -> tuple[Traffic, int]:
    once, rows, weights = _gate_gradients(s), s.T * s.B, s.gates * s.H * (s.I + s.H)
    of_inputs = rows * weights  # macs of dx and of the states' gradients; the weights' have as many
    return Traffic(once.loads + 4 * of_inputs, once.stores + rows * s.I + weights, of_inputs), 0


def _tuned_backward(s: GruShape, rung: str, dtype: str) -> tuple[Traffic, int]:
    once, rows, H, gates = _gate_gradients(s), s.T * s.B, s.H, s.gates
    strips = -(-H // (_STRIP_VECTORS * lanes(rung, dtype)))
    panel = strips * _STRIP_VECTORS * lanes(rung, dtype) * gates * H
    of_input = gemm_traffic(rows, s.I, gates * H, rung, dtype)
    products = [of_input, *(gemm_traffic(m, n, rows, rung, dtype) for m, n in _weight_products(s))]
    weight_loads = gates * H * H + of_input.loads_b
    loads = once.loads + s.T * (_sequence_tiles(s.B, rung, gates) * panel + s.B * strips * gates * H)
    loads += sum(p.loads_a + p.panel_loads + p.loads_c for p in products) + sum(p.loads_b for p in products[1:])
    stores = once.stores + panel + sum(p.panel_stores + p.stores_c for p in products)
    return Traffic(loads + weight_loads, stores, weight_loads), s.T * s.B * panel + sum(p.tile_macs for p in products)


def _weight_products(s: GruShape) -> Iterator[tuple[int, int]]:
    """Rows and columns of the products that make the weights' gradients."""
    yield 3 * s.H, s.I
    yield 2 * s.H, s.H
    yield s.H, s.H
    if s.has_output_gate:
        yield s.H, s.I
        yield s.H, s.H
