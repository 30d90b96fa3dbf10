"""Tiles of the tuned CUDA rungs, as csrc/cuda has them, and what their loops move through shared memory.

Tests hold the closed forms that use these numbers equal to the counting kernels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

#: Outputs of a block's tile, rows and columns, and of a thread's (csrc/cuda/gemm_tile.h).
_TILE: Final = 64
_THREAD_ROWS: Final = 8
THREAD_COLUMNS: Final = 4
#: Threads of a block (csrc/cuda/launches.h).
_BLOCK: Final = 128


@dataclass(frozen=True, slots=True)
class TileTraffic:
    """One product: how often each operand is read from memory, and what is moved through shared memory."""

    reads_of_rows: int
    reads_of_columns: int
    shared_loads: int
    shared_stores: int
    tile_macs: int


def gemm_tiles(M: int, N: int, K: int) -> TileTraffic:
    """C[M, N] over K terms: what has C's rows is read once for each column of tiles, and the other way round."""
    down, across = -(-M // _TILE), -(-N // _TILE)
    steps = down * across * K  # of one k in one tile
    return TileTraffic(
        reads_of_rows=across,
        reads_of_columns=down,
        shared_loads=steps * _BLOCK * (_THREAD_ROWS + THREAD_COLUMNS),
        shared_stores=steps * 2 * _TILE,
        tile_macs=steps * _TILE * _TILE,
    )


def block_reduction(n: int) -> tuple[int, int]:
    """Loads and stores of shared memory in which a block puts n elements of a row together (csrc/cuda/rows_block.cu).

    Each active thread stores its part, each of the others is joined to one before it, the start is joined to the last,
    and every active thread loads the result.
    """
    active = min(n, _BLOCK)
    return 2 * (active - 1) + 1 + active, active + (active - 1) + 1
