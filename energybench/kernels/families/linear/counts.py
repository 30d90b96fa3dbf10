"""Closed-form counts of the fully connected layer and its gradients."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from energybench.kernels.closed_form import CountRequest, Traffic
from energybench.kernels.cuda_tiles import gemm_tiles
from energybench.kernels.families.linear.shape import LinearShape
from energybench.kernels.tiles import gemm_traffic, lanes
from energybench.records.op_counts import OpCounts

#: So many rows share the loads of an operand that is read where it lies, if its rows are neighbours: of up to so many
#: rows, or sums of so few terms. From so much depth on, up to so many rows go by dot products, of so many columns
#: together (csrc/kernels/linear.h).
_FEW_ROWS: Final = 4
_IN_PLACE_ROWS: Final = 32
_FEW_TERMS: Final = 4
_DOT_DEPTH: Final = 256
_DOT_ROWS: Final = 32
_DOT_COLUMNS: Final = 4
#: Rung → vectors of the register tile for few rows; a row alone takes so many columns, and so many terms, at a time
#: (csrc/cpu/tuned/linear.cpp).
_FEW_ROWS_VECTORS: Final = {"blocked": 2, "avx2": 2, "avx512": 6, "avx512_emulated": 2}
_ROW_COLUMNS: Final = 512
_ROW_TERMS: Final = 8


@dataclass(frozen=True, slots=True)
class _Issued:
    """What a product moves: loads of the operand with C's rows and of that with its columns, and what is neither."""

    loads_a: int
    loads_b: int
    loads_rest: int
    stores: int
    tile_macs: int

    @property
    def loads(self) -> int:
        return self.loads_a + self.loads_b + self.loads_rest


def _by_dots(shape: LinearShape, request: CountRequest) -> bool:
    rows = _FEW_ROWS if shape.K < _DOT_DEPTH else _DOT_ROWS
    return request.variant != "naive" and rows >= shape.M and not (shape.x_transposed or shape.w_transposed)


def _dots(shape: LinearShape, request: CountRequest) -> _Issued:
    """Dot products: x once for each group of columns, w once for each block of rows."""
    M, K, N = shape.M, shape.K, shape.N
    width = lanes(request.variant, request.dtype)
    square = (
        width // _DOT_COLUMNS if width > 2 * _DOT_COLUMNS else 2
    )  # rows whose products are as many as lanes, or two
    blocks = M // square + -(-(M % square) // 2)
    x_loads = M * K * (N // _DOT_COLUMNS + N % _DOT_COLUMNS)
    return _Issued(x_loads, K * N * blocks, 0, M * N, -(-K // width) * width * M * N)


def _in_place(M: int, N: int, K: int, request: CountRequest) -> _Issued:
    """Blocks of rows, and single ones whose partial sums wait in C."""
    width = lanes(request.variant, request.dtype)
    columns = _FEW_ROWS_VECTORS[request.variant] * width
    blocks, singles = divmod(M, _FEW_ROWS)
    strips, pieces = -(-N // columns), -(-N // _ROW_COLUMNS)
    runs = K // _ROW_TERMS + K % _ROW_TERMS  # of terms
    in_blocks = blocks * _FEW_ROWS
    return _Issued(
        loads_a=K * (in_blocks * strips + singles * pieces),
        loads_b=K * N * (blocks + singles),
        loads_rest=singles * N * (runs - 1),
        stores=in_blocks * N + singles * N * runs,
        tile_macs=K * (in_blocks * strips * columns + singles * -(-N // width) * width),
    )


def _product(M: int, N: int, K: int, request: CountRequest, *, rows_of_b: bool) -> _Issued:
    """C[M, N] over K products; `rows_of_b` says that rows of B, N elements each, are neighbours in memory."""
    if request.variant == "naive":
        return _Issued(M * N * K, M * N * K, 0, M * N, 0)
    if rows_of_b and (M <= _IN_PLACE_ROWS or K <= _FEW_TERMS):
        return _in_place(M, N, K, request)
    t = gemm_traffic(M, N, K, request.variant, request.dtype)
    return _Issued(t.loads_a, t.loads_b, t.panel_loads + t.loads_c, t.panel_stores + t.stores_c, t.tile_macs)


def linear(shape: LinearShape, request: CountRequest) -> OpCounts:
    """Counts of one fully connected layer."""
    M, K, N = shape.M, shape.K, shape.N
    macs, outputs = M * K * N, M * N
    biases = outputs if shape.has_bias else 0
    weights = N * K + (N if shape.has_bias else 0)
    if request.variant == "tiled":
        t = gemm_tiles(M, N, K)
        moved = t.shared_loads, t.shared_stores + outputs
        issued = _Issued(M * K * t.reads_of_rows, N * K * t.reads_of_columns, *moved, t.tile_macs)
    elif _by_dots(shape, request):
        issued = _dots(shape, request)
    else:
        issued = _product(M, N, K, request, rows_of_b=shape.w_transposed)
    return request.tallies(
        compulsory=Traffic(M * K + weights, outputs, weights),
        issued=Traffic(issued.loads + biases, issued.stores, issued.loads_b + biases),
        macs=macs,
        nominal_macs=macs,
        tile_macs=issued.tile_macs,
        adds=biases,
    )


def _gradients(shape: LinearShape, request: CountRequest) -> Iterator[tuple[_Issued, int]]:
    """The products of dx and of dw, and the loads of weights in each."""
    M, K, N = shape.M, shape.K, shape.N
    if shape.x_transposed:
        of_x = _product(K, M, N, request, rows_of_b=False)
        yield of_x, of_x.loads_a
    else:
        of_x = _product(M, K, N, request, rows_of_b=not shape.w_transposed)
        yield of_x, of_x.loads_b
    if shape.w_transposed:
        yield _product(K, N, M, request, rows_of_b=True), 0
    else:
        yield _product(N, K, M, request, rows_of_b=not shape.x_transposed), 0


def linear_backward(shape: LinearShape, request: CountRequest) -> OpCounts:
    """Counts of its gradients: products for dx and dw, a sum of rows for db; each is a launch and reads grad."""
    M, K, N = shape.M, shape.K, shape.N
    macs, grads = 2 * M * K * N, M * N
    products = [*_gradients(shape, request)]
    biases, bias_loads = (N, grads) if shape.has_bias else (0, 0)
    return request.tallies(
        compulsory=Traffic(2 * grads + N * K + M * K + bias_loads, M * K + N * K + biases, N * K),
        issued=Traffic(
            sum(p.loads for p, _ in products) + bias_loads,
            sum(p.stores for p, _ in products) + biases,
            sum(weights for _, weights in products),
        ),
        launches=3 if shape.has_bias else 2,
        macs=macs,
        nominal_macs=macs,
        tile_macs=sum(p.tile_macs for p, _ in products),
        adds=bias_loads,
    )
