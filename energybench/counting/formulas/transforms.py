"""Fourier transforms and direct solvers, by their textbook loops."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from energybench.counting.call import OpCall
from energybench.counting.conventions import Ops, ops
from energybench.counting.cost import Cost
from energybench.counting.formulas.registry import register_formula


def point_stages(shape: Sequence[int], dims: Sequence[int]) -> int:
    """Points times stages of radix-2 transforms over `dims`; a butterfly is two of them."""
    return prod(shape) * sum(max(0, (shape[d] - 1).bit_length()) for d in dims)


@register_formula("aten::_fft_c2c", "aten::_fft_r2c", "aten::_fft_c2r")
def fourier(call: OpCall) -> Cost:
    """(x, dims, normalization, …); a normalisation is a multiplication per real number that comes out."""
    x, out, dims = call.tensor(0), call.out, call.args[1]
    real = "c2c" not in call.name
    whole = out.shape if call.name.endswith("c2r") else x.shape
    work = ops("fft").times(point_stages(whole, dims) // (2 if real else 1))
    if call.args[2] != 0:
        work = work.plus(Ops(muls=out.numel * (2 if out.dtype.is_complex else 1)))
    return Cost("pointwise", ops=work, dtype=x.dtype.to_real())


# ── direct solvers, a batch of (n, n) ────────────────────────────────────────────────────────────────────────────────
def lu(n: int) -> tuple[int, Ops]:
    """MACs and other work of Gaussian elimination with row pivots: (n−1−k)² MACs, n−1−k divisions at step k."""
    pairs = n * (n - 1) // 2
    return n * (n - 1) * (2 * n - 1) // 6, Ops(divs=pairs, compares=pairs)


def triangular(n: int, columns: int, *, unit: bool) -> tuple[int, Ops]:
    """MACs and divisions of substitution for `columns` right-hand sides."""
    return columns * n * (n - 1) // 2, Ops(divs=0 if unit else columns * n)


def _batched(batch: int, *parts: tuple[int, Ops]) -> Cost:
    work = Ops()
    for _, other in parts:
        work = work.plus(other)
    return Cost("gemm", macs=batch * sum(macs for macs, _ in parts), ops=work.times(batch))


@register_formula("aten::linalg_lu_factor_ex", "aten::linalg_lu", "aten::_linalg_det", "aten::_linalg_slogdet")
def factorisation(call: OpCall) -> Cost:
    """A = P·L·U of square matrices; a determinant multiplies the diagonal too."""
    *batch, rows, columns = call.tensor(0).shape
    n = min(rows, columns)
    macs = sum((rows - 1 - k) * (columns - 1 - k) for k in range(n))
    steps = sum(rows - 1 - k for k in range(n))
    diagonal = n if "det" in call.name else 0
    return _batched(prod(batch), (macs, Ops(divs=steps, compares=steps, muls=diagonal)))


@register_formula("aten::_linalg_solve_ex", "aten::linalg_inv_ex")
def solve(call: OpCall) -> Cost:
    """A·X = B by LU and two substitutions; an inverse has n right-hand sides."""
    *batch, n, _ = call.tensor(0).shape
    columns = n
    if "solve" in call.name:
        columns = call.out.numel // max(1, prod(batch) * n)
    return _batched(prod(batch), lu(n), triangular(n, columns, unit=True), triangular(n, columns, unit=False))


@register_formula("aten::linalg_solve_triangular")
def solve_triangular(call: OpCall) -> Cost:
    """(A, B, *, upper, left, unitriangular)."""
    *batch, n, _ = call.tensor(0).shape
    columns = call.out.numel // max(1, prod(batch) * n)
    return _batched(prod(batch), triangular(n, columns, unit=bool(call.kwargs.get("unitriangular"))))


@register_formula("aten::linalg_lu_solve", "aten::cholesky_solve")
def solve_factored(call: OpCall) -> Cost:
    """Two substitutions."""
    *batch, n, _ = call.tensor(0 if "lu" in call.name else 1).shape
    columns = call.out.numel // max(1, prod(batch) * n)
    unit = "lu" in call.name
    return _batched(prod(batch), triangular(n, columns, unit=unit), triangular(n, columns, unit=False))


@register_formula("aten::linalg_cholesky_ex")
def cholesky(call: OpCall) -> Cost:
    """A = L·Lᵀ: element (i, j) of L needs j MACs; a root on the diagonal, a division below it."""
    *batch, n, _ = call.tensor(0).shape
    return _batched(prod(batch), ((n**3 - n) // 6, Ops(divs=n * (n - 1) // 2, specials=n)))
