"""Closed-form counts of the fully connected layer."""

from __future__ import annotations

from typing import Final

from energybench.kernels.closed_form import CountRequest, Traffic
from energybench.kernels.families.linear.shape import LinearShape
from energybench.kernels.tiles import gemm_traffic, lanes
from energybench.records.op_counts import OpCounts

#: Up to so many rows a tuned rung makes dot products, of so many columns together (csrc/kernels/linear.h).
_FEW_ROWS: Final = 4
_DOT_COLUMNS: Final = 4


def linear(shape: LinearShape, request: CountRequest) -> OpCounts:
    """Counts of one fully connected layer."""
    M, K, N = shape.M, shape.K, shape.N
    macs, outputs = M * K * N, M * N
    biases = outputs if shape.has_bias else 0
    weights = N * K + (N if shape.has_bias else 0)
    if request.variant == "naive":
        issued, tile_macs = Traffic(2 * macs + biases, outputs, macs + biases), 0
    elif M <= _FEW_ROWS:
        # x once for each group of columns, w once for each two rows
        w_loads = K * N * -(-M // 2)
        issued = Traffic(M * K * (N // _DOT_COLUMNS + N % _DOT_COLUMNS) + w_loads + biases, outputs, w_loads + biases)
        width = lanes(request.variant, request.dtype)
        tile_macs = -(-K // width) * width * outputs
    else:
        t = gemm_traffic(M, N, K, request.variant, request.dtype)
        loads = t.loads_a + t.loads_b + t.panel_loads + t.loads_c + biases
        issued, tile_macs = Traffic(loads, t.panel_stores + t.stores_c, t.loads_b + biases), t.tile_macs
    return request.tallies(
        compulsory=Traffic(M * K + weights, outputs, weights),
        issued=issued,
        macs=macs,
        nominal_macs=macs,
        tile_macs=tile_macs,
        adds=biases,
    )
