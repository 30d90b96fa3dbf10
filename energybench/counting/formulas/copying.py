"""Copies, casts, fills and joins: traffic without arithmetic."""

from __future__ import annotations

from energybench.counting.call import OpCall
from energybench.counting.conventions import Ops
from energybench.counting.cost import Cost
from energybench.counting.formulas.registry import register_formula


@register_formula(
    *(
        f"aten::{name}"
        for name in (
            "clone _to_copy cat stack concatenate hstack vstack repeat repeat_interleave roll flip rot90 tril triu "
            "constant_pad_nd reflection_pad1d reflection_pad2d reflection_pad3d replication_pad1d replication_pad2d "
            "replication_pad3d pixel_shuffle pixel_unshuffle channel_shuffle im2col unfold_copy diag_embed "
            "diagonal_copy block_diag slice_scatter select_scatter diagonal_scatter as_strided_scatter view_copy "
            "expand_copy permute_copy transpose_copy slice_copy select_copy _reshape_copy meshgrid _to_dense to_dense "
            "squeeze_copy unsqueeze_copy t_copy split_copy unbind_copy as_strided_copy "
            "alias_copy detach_copy lift_fresh_copy _conj_copy resolve_conj resolve_neg _copy_from "
            "split_with_sizes_copy _chunk_cat one_hot"
        ).split()
    )
)
def copy(call: OpCall) -> Cost:
    """Every distinct input element read, every output element written."""
    return Cost("copy")


@register_formula("aten::copy")
def copy_into(call: OpCall) -> Cost:
    """copy_(self, source): the old content is not read."""
    return Cost("copy").with_traffic(reads=call.inputs[1:2])


@register_formula(
    *(
        f"aten::{name}"
        for name in (
            "zeros ones full zeros_like ones_like full_like new_zeros new_ones new_full fill zero eye scalar_tensor "
            "tril_indices triu_indices _efficientzerotensor"
        ).split()
    )
)
def fill(call: OpCall) -> Cost:
    """Written, nothing read."""
    return Cost("copy", reads=())


@register_formula(
    "aten::slice_backward", "aten::select_backward", "aten::diagonal_backward", "aten::unfold_backward",
     "aten::trace_backward", "aten::value_selecting_reduction_backward",
)  # fmt: skip
def place_in_zeros(call: OpCall) -> Cost:
    """The gradient of a view: zeros, with the gradient at its place."""
    return Cost("copy")


@register_formula(
    "aten::col2im", *(f"aten::{k}_pad{d}d_backward" for k in ("reflection", "replication") for d in (1, 2, 3))
)
def overlap_add(call: OpCall) -> Cost:
    """Overlapping pieces summed: an add per input element. Of the padded image's source the sizes alone are used."""
    return Cost("copy", ops=Ops(adds=call.tensor(0).numel)).with_traffic(reads=(call.tensor(0),))
