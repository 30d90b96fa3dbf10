"""What is fixed about an operator before any call: is it free, does it write in place, has it a formula."""

from __future__ import annotations

from typing import Any, Final

import torch

from energybench.counting.formulas import find_formula
from energybench.counting.formulas.registry import Formula

#: Allocation, metadata and checks: no kernel, no traffic.
_FREE: Final = frozenset(
    (
        "empty empty_strided empty_like new_empty new_empty_strided empty_permuted _unsafe_view lift lift_fresh "
        "detach alias _reshape_alias set_ resize_ resize_as_ is_same_size sym_size sym_numel sym_stride size stride "
        "sym_storage_offset numel dim is_contiguous storage_offset _assert_async _assert_scalar item result_type "
        "_assert_tensor_metadata _local_scalar_dense can_cast is_pinned _nested_tensor_size requires_grad_ _version "
        "retain_grad sym_is_contiguous record_stream unsafe_split unsafe_chunk unsafe_split_with_sizes _print "
        "_functional_assert_async _is_zerotensor _fw_primal _linalg_check_errors is_coalesced _coalesced_ _nnz "
        "_indices _values indices values crow_indices col_indices ccol_indices row_indices sparse_dim dense_dim _dimI "
        "_dimV"
    ).split()
)

#: In-place operators that change metadata, so that they must really run.
_RESHAPES: Final = frozenset(
    "t_ transpose_ squeeze_ unsqueeze_ swapaxes_ swapdims_ as_strided_ resize_ resize_as_ set_ detach_ rename_".split()
)

#: In-place operators that overwrite: the old content is not read.
_OVERWRITES: Final = frozenset(
    (
        "fill_ zero_ normal_ uniform_ bernoulli_ random_ exponential_ log_normal_ geometric_ cauchy_ copy_ "
        "eye_ fill_diagonal_"
    ).split()
)

#: Creation from shape and dtype alone; small integer results are made for real (see mode.py).
_FACTORIES: Final = frozenset(
    (
        "arange zeros ones full eye tril_indices triu_indices scalar_tensor randint randperm zeros_like ones_like "
        "full_like new_zeros new_ones new_full linspace empty empty_strided rand randn empty_like"
    ).split()
)


#: Operators whose second argument is a list of indices, in which masks may stand.
_INDEXES: Final = frozenset("index _unsafe_index index_put index_put_ _index_put_impl_ _unsafe_index_put".split())


class OperatorPlan:
    """Facts of one operator overload, read once from its schema."""

    __slots__ = (
        "decomposes",
        "factory",
        "formula",
        "free",
        "indexes",
        "name",
        "out_names",
        "overwrites",
        "returns_self",
        "reusable",
        "written",
    )

    def __init__(self, operator: Any) -> None:
        schema = operator._schema
        namespace, _, base = schema.name.partition("::")
        self.name: str = f"{namespace}.{base}"
        self.indexes: bool = namespace == "aten" and base in _INDEXES
        is_view = bool(getattr(operator, "is_view", False))
        native = namespace in ("aten", "prim", "prims", "profiler")
        self.formula: Formula | None = find_formula(schema.name, schema.overload_name)
        self.free: bool = (
            is_view or (native and base in _FREE) or base in _RESHAPES or namespace in ("prim", "profiler")
        )
        self.factory: bool = namespace == "aten" and base in _FACTORIES
        arguments = schema.arguments
        self.written: tuple[int, ...] = tuple(
            i for i, a in enumerate(arguments) if a.alias_info is not None and a.alias_info.is_write
        )
        self.out_names: frozenset[str] = frozenset(arguments[i].name for i in self.written if arguments[i].is_out)
        self.overwrites: bool = base in _OVERWRITES
        returns = schema.returns
        self.returns_self: bool = (
            self.written == (0,)
            and len(returns) == 1
            and returns[0].alias_info is not None
            and not arguments[0].is_out
            and base not in _RESHAPES
            and native
        )
        self.reusable: bool = native and not self.written and not is_view and all(r.alias_info is None for r in returns)
        self.decomposes: bool = (
            self.formula is None
            and not self.free
            and torch._C._dispatch_has_kernel_for_dispatch_key(operator.name(), "CompositeImplicitAutograd")
        )
