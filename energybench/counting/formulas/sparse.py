"""Products with a sparse matrix: one MAC per stored value and column, whatever its layout.

Registered under ``sparse::op``; a call of ``aten::op`` with a sparse tensor among its arguments is looked up there.
Transposing, detaching and coalescing what is coalesced are changes of metadata.
"""

from __future__ import annotations

from math import prod

from energybench.counting.call import OpCall, TensorSpec
from energybench.counting.conventions import Ops, ops
from energybench.counting.cost import Access, Cost, distinct_accesses
from energybench.counting.formulas.gemm import scale_and_add
from energybench.counting.formulas.registry import register_formula
from energybench.counting.opaque import Sparse


def _product(sparse: Sparse, dense: TensorSpec) -> tuple[int, tuple[Access, ...]]:
    """MACs, and reads: indices and values, and the rows of the dense side that they name, taken as distinct."""
    columns = prod(dense.shape[1:])
    stored = sparse.values.numel
    touched = min(dense.distinct, stored * columns)
    return stored * columns, (*distinct_accesses(sparse.parts), (dense, touched))


@register_formula("sparse::mm", "sparse::mv")
def product(call: OpCall) -> Cost:
    """(M, K) sparse · (K, N) or (K)."""
    sparse, dense = call.args[:2]
    macs, reads = _product(sparse, dense)
    return Cost("gemm", macs=macs, dtype=dense.dtype, reads=reads)


@register_formula("sparse::_sparse_addmm", "sparse::addmm")
def product_with_addend(call: OpCall) -> Cost:
    """beta·C + alpha·(sparse · dense)."""
    addend, sparse, dense = call.args[:3]
    macs, reads = _product(sparse, dense)
    if call.kwargs.get("beta", 1) != 0:
        reads = (*reads, *distinct_accesses((addend,)))
    return Cost("gemm", macs=macs, ops=scale_and_add(call, call.out.numel), dtype=dense.dtype, reads=reads)


@register_formula("sparse::add")
def add(call: OpCall) -> Cost:
    """dense + alpha·sparse: the dense side copied, and one add per stored value."""
    dense, sparse = call.args[:2]
    stored = sparse.values.numel
    scaled = call.kwargs.get("alpha", 1) != 1
    in_place = call.name.endswith("_")
    reads = distinct_accesses(sparse.parts)
    target = (dense, min(stored, dense.distinct)) if in_place else (dense, dense.distinct)
    return Cost(
        "gather",
        ops=Ops(adds=stored, muls=stored if scaled else 0),
        dtype=dense.dtype,
        reads=(*reads, target),
        writes=(target,) if in_place else None,
    )


@register_formula("sparse::sparse_mask")
def mask(call: OpCall) -> Cost:
    """The elements of a dense matrix at the places of a sparse one."""
    dense, sparse = call.args[:2]
    elements = min(sparse.values.numel, dense.distinct)
    return Cost("gather", reads=((dense, elements), *distinct_accesses(sparse.parts[:-1])))


@register_formula("sparse::clone", "sparse::_to_copy", "sparse::_to_dense", "sparse::to_dense")
def copy(call: OpCall) -> Cost:
    """Indices and values read, what is made written."""
    return Cost("copy")


@register_formula("sparse::_coalesce")
def coalesce(call: OpCall) -> Cost:
    """Indices sorted, equal ones summed; how many are left is not known, all are taken."""
    sparse = call.args[0]
    stored = sparse.parts[0].shape[-1]
    compares = ops("sort").times(stored * max(1, (stored - 1).bit_length()))
    return Cost("gather", ops=compares.plus(Ops(adds=sparse.values.numel)))
