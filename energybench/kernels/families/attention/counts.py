"""Closed-form counts of the core of multi-head attention, its gradients, and its online form."""

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
#: Keys of a block of the online softmax (csrc/kernels/online_attention.h).
BLOCK: Final = 64
#: Queries of a chunk of the gradients (csrc/cpu/tuned/attention_backward.cpp).
_CHUNK: Final = 64


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


def _tiles(first: int, end: int) -> Iterator[tuple[int, int]]:
    """First row and number of rows of each tile of the queries, or keys, from `first` to `end`."""
    for task in range(first, end, _TASK):
        rows = min(_TASK, end - task)
        whole = rows // _QUERIES * _QUERIES
        yield from ((task + i, _QUERIES) for i in range(0, whole, _QUERIES))
        yield from ((task + i, 1) for i in range(whole, rows))


def _columns(rung: str, dtype: str) -> int:
    return _VECTORS[rung] * lanes(rung, dtype)


def _packing(s: AttentionShape, columns: int) -> Traffic:
    """One head's keys, or values, that some query sees, in whole strips."""
    strips = -(-s.visible_keys(s.S_q - 1) // columns)
    return Traffic(min(s.S_k, strips * columns) * s.D, strips * columns * s.D)


def _strips(keys: int, rows: int, D: int, columns: int) -> tuple[int, int]:
    """Loads and tile_macs of rows of D numbers with strips of so many packed keys."""
    products = -(-keys // columns) * D
    return products * (rows + columns), products * rows * columns


def _sums(shared: int, others: int, rows: int, D: int, columns: int) -> tuple[int, int]:
    """Loads and tile_macs of `rows` sums of weighted vectors: terms that all share, and terms of one sum alone."""
    blocks = -(-D // columns)
    return shared * (rows * blocks + D) + others * (blocks + D), (shared * rows + others) * blocks * columns


def _tuned(s: AttentionShape, rung: str, dtype: str) -> tuple[Traffic, int]:
    columns = _columns(rung, dtype)
    packing = _packing(s, columns)
    # scores three times, as in the naive rung: for their maximum, to exponentiate, to normalise
    loads, stores = packing.loads + s.visible_pairs * 3, packing.stores + s.visible_pairs * 3 + s.S_q * s.D
    tile_macs = 0
    for first, rows in _tiles(0, s.S_q):
        shared = s.visible_keys(first)
        others = sum(s.visible_keys(first + r) - shared for r in range(rows))
        for part in (
            _strips(s.visible_keys(first + rows - 1), rows, s.D, columns),
            _sums(shared, others, rows, s.D, columns),
        ):
            loads, tile_macs = loads + part[0], tile_macs + part[1]
    heads = s.B * s.Hn
    return Traffic(heads * loads, heads * stores), heads * tile_macs


def _blocks(shape: AttentionShape) -> int:
    """Blocks of keys that the queries of one head meet, each query its own."""
    return sum(-(-shape.visible_keys(i) // BLOCK) for i in range(shape.S_q))


def online_attention(shape: AttentionShape, request: CountRequest) -> OpCounts:
    """Counts of the online form: a block after a query's first scales its sums by a correction."""
    heads, D, queries = shape.B * shape.Hn, shape.D, shape.S_q
    pairs, corrections = heads * shape.visible_pairs, heads * (_blocks(shape) - queries)
    rows, outputs = heads * queries, heads * queries * D
    if request.variant == "naive":
        blocks = corrections + rows
        issued = Traffic(pairs * (4 * D + 1) + corrections * D, 2 * pairs + blocks * D + rows)
        tile_macs = 0
    else:
        issued, tile_macs = _online_tuned(shape, request)
    return request.tallies(
        compulsory=Traffic(outputs + 2 * heads * shape.S_k * D, outputs + rows),
        issued=issued,
        macs=2 * pairs * D,
        nominal_macs=2 * heads * queries * shape.S_k * D,
        tile_macs=tile_macs,
        adds=2 * pairs + corrections + rows,
        muls=pairs + corrections * (1 + D),
        divs=outputs,
        compares=pairs,
        specials=pairs + corrections + rows,
    )


def _online_tuned(s: AttentionShape, request: CountRequest) -> tuple[Traffic, int]:
    columns = _columns(request.variant, request.dtype)
    packing = _packing(s, columns)
    loads, stores, tile_macs = packing.loads + 2 * s.visible_pairs, packing.stores + 2 * s.visible_pairs + s.S_q, 0
    for first, rows in _tiles(0, s.S_q):
        for block in range(0, s.visible_keys(first + rows - 1), BLOCK):
            seen = [max(0, min(BLOCK, s.visible_keys(first + r) - block)) for r in range(rows)]
            others = sum(n - seen[0] for n in seen)
            for part in (_strips(seen[-1], rows, s.D, columns), _sums(seen[0], others, rows, s.D, columns)):
                loads, tile_macs = loads + part[0], tile_macs + part[1]
            writing = sum(n > 0 for n in seen) * s.D
            loads, stores = loads + (writing if block else 0), stores + writing
    heads = s.B * s.Hn
    return Traffic(heads * loads, heads * stores), heads * tile_macs


def attention_backward(shape: AttentionShape, request: CountRequest) -> OpCounts:
    """Counts of the gradients: five products a pair, the probabilities made again, δ a query."""
    heads, D = shape.B * shape.Hn, shape.D
    pairs = heads * shape.visible_pairs
    rows, of_q, of_k = heads * shape.S_q, heads * shape.S_q * D, heads * shape.S_k * D
    if request.variant == "naive":
        issued = Traffic(2 * of_q + rows + pairs * 10 * D, 2 * of_k + of_q + pairs * 3 * D)
        tile_macs = 0
    else:
        issued, tile_macs = _backward_tuned(shape, request)
    return request.tallies(
        compulsory=Traffic(3 * of_q + 2 * of_k + rows, of_q + 2 * of_k),
        issued=issued,
        macs=5 * pairs * D,
        nominal_macs=5 * rows * shape.S_k * D,
        tile_macs=tile_macs,
        adds=2 * pairs + of_q,
        muls=3 * pairs + of_q,
        specials=pairs,
    )


def _backward_tuned(s: AttentionShape, request: CountRequest) -> tuple[Traffic, int]:
    columns, D = _columns(request.variant, request.dtype), s.D
    packing = _packing(s, columns)
    # of queries: δ, lse, p once more; p and ds are stored, and dq
    loads = 2 * packing.loads + s.S_q * (2 * D + 1) + s.visible_pairs
    stores = 2 * packing.stores + 2 * s.visible_pairs + s.S_q * D
    tile_macs = 0

    def work(times: int, part: tuple[int, int]) -> None:
        nonlocal loads, tile_macs
        loads, tile_macs = loads + times * part[0], tile_macs + times * part[1]

    for first, rows in _tiles(0, s.S_q):
        shared = s.visible_keys(first)
        work(2, _strips(s.visible_keys(first + rows - 1), rows, D, columns))
        work(1, _sums(shared, sum(s.visible_keys(first + r) - shared for r in range(rows)), rows, D, columns))
    for chunk in range(0, s.S_q, _CHUNK):
        end = min(s.S_q, chunk + _CHUNK)
        seen = s.visible_keys(end - 1) if chunk else s.S_k
        for key, rows in _tiles(0, seen):
            seeing = [end - min(end, max(chunk, key + r)) if s.causal else end - chunk for r in range(rows)]
            work(2, _sums(seeing[-1], sum(n - seeing[-1] for n in seeing), rows, D, columns))
            loads, stores = loads + (2 * rows * D if chunk else 0), stores + 2 * rows * D
    heads = s.B * s.Hn
    return Traffic(heads * loads, heads * stores), heads * tile_macs
