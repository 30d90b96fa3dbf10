"""`Cost`: what one operator call does, as a formula returns it, and its conversion to `OpCounts`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

import torch

from energybench.counting.call import OpCall, TensorSpec
from energybench.counting.conventions import NO_OPS, Ops
from energybench.records.op_counts import DTYPE_BYTES, DtypeCounts, OpCounts
from energybench.records.vocabulary import KernelClass

#: Element types that records do not name, with the type of the same size that stands for them.
_STAND_INS: Final = {
    "quint8": "uint8",
    "qint8": "int8",
    "qint32": "int32",
    "uint16": "int16",
    "uint32": "int32",
    "uint64": "int64",
    "complex32": "float32",
    "float8_e4m3fnuz": "float8_e4m3fn",
    "float8_e5m2fnuz": "float8_e5m2",
    "float8_e8m0fnu": "float8_e5m2",
    "float4_e2m1fn_x2": "uint8",
}


def dtype_name(dtype: torch.dtype) -> str:
    """The name records use for a torch dtype."""
    name = str(dtype).removeprefix("torch.")
    return _STAND_INS.get(name, name)


#: Elements of one tensor that a call reads or writes.
Access = tuple[TensorSpec, int]


@dataclass(frozen=True, slots=True)
class Cost:
    """One call's work and traffic.

    `macs`           multiplies with accumulate that are executed; `nominal_macs` with padding, None for the same
    `ops`            operations outside MACs
    `dtype`          element type of the work; None for the widest floating type among the tensors
    `ops_dtype`      element type of what is not a MAC where it differs (scales around an integer product)
    `reads writes`   elements per tensor; None for every distinct input element, every output element
    `launches`       kernels launched; 0 for a view
    """

    kernel_class: KernelClass
    macs: int = 0
    nominal_macs: int | None = None
    ops: Ops = NO_OPS
    dtype: torch.dtype | None = None
    reads: tuple[Access, ...] | None = None
    writes: tuple[Access, ...] | None = None
    launches: int = 1
    ops_dtype: torch.dtype | None = None

    def with_traffic(
        self, *, reads: Iterable[TensorSpec | None] | None = None, writes: Iterable[TensorSpec | None] | None = None
    ) -> Cost:
        """The same work with the named tensors as traffic, each distinct element once."""
        return replace(
            self,
            reads=self.reads if reads is None else distinct_accesses(reads),
            writes=self.writes if writes is None else distinct_accesses(writes),
        )


def distinct_accesses(specs: Iterable[TensorSpec | None]) -> tuple[Access, ...]:
    """Each tensor's distinct elements, tensors that start at the same element of the same memory taken once."""
    largest: dict[int, Access] = {}
    for spec in specs:
        if spec is None:
            continue
        elements = spec.distinct
        known = largest.get(spec.slot)
        if known is None or known[1] < elements:
            largest[spec.slot] = (spec, elements)
    return tuple(largest.values())


def work_dtype(call: OpCall) -> torch.dtype:
    """The widest floating type among inputs and outputs, else the widest type."""
    dtypes = {s.dtype for s in (*call.inputs, *call.results)}
    floating = {d for d in dtypes if d.is_floating_point or d.is_complex}
    return max(floating or dtypes or {torch.float32}, key=lambda d: (d.is_complex, d.itemsize, str(d)))


#: A complex MAC is four real ones, a complex operation outside MACs two real ones (a multiplication: six, see mul).
COMPLEX_MACS: Final = 4
COMPLEX_OPS: Final = 2


def to_counts(cost: Cost, call: OpCall, *, reads: tuple[Access, ...], writes: tuple[Access, ...]) -> OpCounts:
    """`OpCounts` of one call with the given traffic."""
    tallies: dict[str, dict[str, int]] = {}

    def tally(dtype: torch.dtype, **amounts: int) -> None:
        row = tallies.setdefault(dtype_name(dtype), {})
        for name, amount in amounts.items():
            row[name] = row.get(name, 0) + amount

    dtype = cost.dtype or work_dtype(call)
    nominal = cost.macs if cost.nominal_macs is None else cost.nominal_macs
    macs_factor, ops_factor = (COMPLEX_MACS, COMPLEX_OPS) if dtype.is_complex else (1, 1)
    tally(dtype, macs=cost.macs * macs_factor, nominal_macs=nominal * macs_factor)
    tally(cost.ops_dtype or dtype, **cost.ops.times(ops_factor)._asdict())
    for spec, elements in reads:
        size = elements * spec.dtype.itemsize
        tally(spec.dtype, loads=elements, load_bytes=size, weight_load_bytes=size if spec.parameter else 0)
    for spec, elements in writes:
        tally(spec.dtype, stores=elements, store_bytes=elements * spec.dtype.itemsize)
    by_dtype = {name: DtypeCounts(**row) for name, row in tallies.items() if any(row.values())}
    unknown = by_dtype.keys() - DTYPE_BYTES.keys()
    if unknown:  # a type newer than this table: count it under a type of the same size rather than lose it
        by_dtype = {("uint8" if n in unknown else n): c for n, c in by_dtype.items()}
    return OpCounts(by_dtype, cost.launches)
