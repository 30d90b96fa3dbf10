"""Register tiles and blocks of the tuned rungs, as csrc/cpu/tuned has them; they decide how often panels are read.

A test holds the closed forms that use these numbers equal to the counting kernels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from energybench.records.op_counts import DTYPE_BYTES

#: Rung → bytes of a vector; 0 is one number (setup.py, tuned_rungs).
_VECTOR_BYTES: Final = {"blocked": 0, "avx2": 32, "avx512": 64, "avx512_emulated": 64}
#: Rung → rows and vectors of the register tile of a matrix product (csrc/cpu/tuned/isa.h).
_GEMM_SHAPE: Final = {"blocked": (4, 3), "avx2": (6, 2), "avx512": (12, 2), "avx512_emulated": (3, 2)}
#: Rows of the register tile of a sum over patches, where they are not those of a product (csrc/cpu/tuned/patches.h).
_PATCH_ROWS: Final = {"avx512": 14}
#: Values of k in a panel; rows and columns in a block are whole tiles up to so many (csrc/cpu/tuned/gemm.h).
_BLOCK_K: Final = 256
_BLOCK_M: Final = 1536
_BLOCK_N: Final = 1024


def lanes(rung: str, dtype: str) -> int:
    """Elements of a vector register of a tuned rung."""
    return max(1, _VECTOR_BYTES[rung] // DTYPE_BYTES[dtype])


def gemm_rows(rung: str) -> int:
    """Rows of the register tile of a matrix product."""
    return _GEMM_SHAPE[rung][0]


def gemm_columns(rung: str, dtype: str) -> int:
    """Columns of the register tile of a matrix product."""
    return _GEMM_SHAPE[rung][1] * lanes(rung, dtype)


def patch_rows(rung: str) -> int:
    """Rows of the register tile of a sum over patches."""
    return _PATCH_ROWS.get(rung, gemm_rows(rung))


@dataclass(frozen=True, slots=True)
class GemmTraffic:
    """What a matrix product in panels moves and multiplies, without its epilogue.

    `loads_a`, `loads_b`  elements of the two operands, as often as they are packed
    `panel_loads`, `panel_stores`  elements of the panels, the filling up included
    `loads_c`, `stores_c`  partial and final sums
    """

    loads_a: int
    loads_b: int
    panel_loads: int
    panel_stores: int
    loads_c: int
    stores_c: int
    tile_macs: int


def gemm_traffic(M: int, N: int, K: int, rung: str, dtype: str) -> GemmTraffic:
    """Issued traffic of ``C[M, N] = A[M, K] B[K, N]`` on a tuned rung (derivation: docs/kernels/linear.md)."""
    rows, vectors = _GEMM_SHAPE[rung]
    columns = vectors * lanes(rung, dtype)
    a_strips, b_strips = -(-M // rows), -(-N // columns)
    column_blocks = -(-N // (_BLOCK_N // columns * columns))
    k_blocks = -(-K // _BLOCK_K)
    return GemmTraffic(
        loads_a=M * K * column_blocks,
        loads_b=N * K,
        panel_loads=a_strips * b_strips * K * (rows + columns),
        panel_stores=K * (a_strips * rows * column_blocks + b_strips * columns),
        loads_c=M * N * (k_blocks - 1),
        stores_c=M * N * k_blocks,
        tile_macs=a_strips * rows * b_strips * columns * K,
    )
