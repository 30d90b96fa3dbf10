"""Closed-form counts of the gated recurrent unit."""

from __future__ import annotations

from energybench.kernels.closed_form import CountRequest, Traffic
from energybench.kernels.families.gru.shape import GruShape
from energybench.records.op_counts import OpCounts


def gru(shape: GruShape, request: CountRequest) -> OpCounts:
    """Counts of one sequence. On the GPU each step is a launch of its own."""
    T, B, I, H = shape.T, shape.B, shape.I, shape.H  # noqa: E741
    gate = int(shape.has_output_gate)
    elements = T * B * H
    gates = 3 + gate
    macs = elements * gates * (I + H)
    biases = 2 * gates * H if shape.has_bias else 0
    weights = gates * H * (I + H) + biases
    bias_loads = elements * 2 * gates if shape.has_bias else 0
    return request.tallies(
        compulsory=Traffic(T * B * I + B * H + weights, elements + B * H, weights),
        issued=Traffic(
            loads=elements * ((gates + 1) * (I + H) + 1) + bias_loads,  # each x and h once for all gates; h to blend
            stores=elements * (1 + gate) + B * H,  # y, the state where it is not y, and h_n
            weight_loads=macs + bias_loads,
        ),
        launches=T if request.device == "cuda" else 1,
        macs=macs,
        nominal_macs=macs,
        adds=elements * (7 + 2 * gate),
        muls=elements * (2 + gate),
        divs=elements * (2 + gate),
        specials=elements * (3 + 2 * gate),
    )
