"""Closed-form counts of the core of multi-head attention."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from energybench.kernels.closed_form import CountRequest, Traffic
from energybench.kernels.families.attention.shape import AttentionShape
from energybench.kernels.tiles import lanes
from energybench.records.op_counts import OpCounts

#: Queries in a tile of a tuned rung, and in what a thread takes at a time (csrc/cpu/tuned/attention.cpp).
_QUERIES: Final = 4
_TASK: Final = 16
#: Rung → vectors of a tile.
_VECTORS: Final = {"blocked": 2, "avx2": 2, "avx512": 4, "avx512_emulated": 2}


def attention(shape: AttentionShape, request: CountRequest) -> OpCounts:
    """Counts of one attention core; `pairs` are the visible (query, key) pairs of all heads."""
    heads = shape.B * shape.Hn
    pairs = heads * shape.visible_pairs
    outputs = heads * shape.S_q * shape.D
    if request.variant == "naive":
        issued, tile_macs = Traffic(pairs * (4 * shape.D + 2), pairs * 3 + outputs), 0
    else:
        issued, tile_macs = _tuned(shape, request.variant, request.dtype)
    return request.tallies(
        compulsory=Traffic(outputs + 2 * heads * shape.S_k * shape.D, outputs),
        issued=issued,
        macs=2 * pairs * shape.D,
        nominal_macs=2 * heads * shape.S_q * shape.S_k * shape.D,
        tile_macs=tile_macs,
        adds=2 * pairs,
        muls=pairs,
        divs=pairs,
        compares=pairs,
        specials=pairs,
    )


def _query_tiles(queries: int) -> Iterator[tuple[int, int]]:
    """First query and number of queries of each tile."""
    for first in range(0, queries, _TASK):
        task = min(_TASK, queries - first)
        whole = task // _QUERIES * _QUERIES
        yield from ((first + i, _QUERIES) for i in range(0, whole, _QUERIES))
        yield from ((first + i, 1) for i in range(whole, task))


def _tuned(s: AttentionShape, rung: str, dtype: str) -> tuple[Traffic, int]:
    D, columns = s.D, _VECTORS[rung] * lanes(rung, dtype)
    blocks = -(-D // columns)  # of the output's columns
    strips = -(-s.visible_keys(s.S_q - 1) // columns)
    loads = min(s.S_k, strips * columns) * D  # packed, once a head
    stores = strips * columns * D + s.visible_pairs * 3 + s.S_q * D  # scores three times, as in the naive rung
    loads += s.visible_pairs * 3  # for their maximum, to exponentiate, to normalise
    tile_macs = 0
    for first, queries in _query_tiles(s.S_q):
        products = -(-s.visible_keys(first + queries - 1) // columns) * D  # q with strips of keys
        loads += products * (queries + columns)
        tile_macs += products * queries * columns
        shared = s.visible_keys(first)  # p with v: keys of the whole tile, then those that only some queries see
        apart = sum(s.visible_keys(first + r) - shared for r in range(queries))
        loads += shared * (queries * blocks + D) + apart * (blocks + D)
        tile_macs += (shared * queries + apart) * blocks * columns
    heads = s.B * s.Hn
    return Traffic(heads * loads, heads * stores), heads * tile_macs
