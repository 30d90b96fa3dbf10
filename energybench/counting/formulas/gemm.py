"""Matrix products: M·N·K MACs; a bias is one add per output."""

from __future__ import annotations

import torch

from energybench.counting.call import OpCall, TensorSpec
from energybench.counting.conventions import Ops
from energybench.counting.cost import Cost
from energybench.counting.formulas.registry import register_formula


def scale_and_add(call: OpCall, outputs: int) -> Ops:
    """beta·C + alpha·(A·B): the scalings count where they are not 1, C where beta is not 0."""
    beta, alpha = call.kwargs.get("beta", 1), call.kwargs.get("alpha", 1)
    muls = (alpha != 1) + (beta not in (0, 1))
    return Ops(adds=outputs if beta != 0 else 0, muls=muls * outputs)


@register_formula("aten::mm", "aten::bmm", "aten::mv", "aten::dot", "aten::vdot", "aten::_int_mm")
def product(call: OpCall) -> Cost:
    """(…, M, K)·(…, K, N), a matrix and a vector, or two vectors."""
    a, out = call.tensor(0), call.out
    return Cost("gemm", macs=out.numel * a.shape[-1], dtype=a.dtype)


@register_formula("aten::addmm", "aten::baddbmm", "aten::addmv", "aten::_addmm_activation")
def product_with_addend(call: OpCall) -> Cost:
    """beta·C + alpha·A·B, an activation after it where the operator has one."""
    a, out = call.tensor(1), call.out
    ops = scale_and_add(call, out.numel)
    if call.name == "aten._addmm_activation":
        ops = ops.plus(Ops(compares=out.numel))
    cost = Cost("gemm", macs=out.numel * a.shape[-1], ops=ops)
    return cost.with_traffic(reads=call.inputs[1:]) if call.kwargs.get("beta", 1) == 0 else cost


@register_formula("aten::addbmm")
def summed_batch_product(call: OpCall) -> Cost:
    """beta·C + alpha·Σ_b A_b·B_b."""
    a, b = call.tensor(1), call.tensor(2)
    macs = a.shape[0] * a.shape[1] * a.shape[2] * b.shape[2]
    return Cost("gemm", macs=macs, ops=scale_and_add(call, call.out.numel))


@register_formula("aten::addr", "aten::ger", "aten::outer")
def outer_product(call: OpCall) -> Cost:
    """a·bᵀ: one MAC each where it accumulates, one multiplication where it does not."""
    n = call.out.numel
    return Cost("gemm", macs=n) if call.name == "aten.addr" else Cost("gemm", ops=Ops(muls=n))


@register_formula("aten::linear", "mkldnn::_linear_pointwise", "aten::mkldnn_linear")
def linear(call: OpCall) -> Cost:
    """x·Wᵀ + b, where it reaches us undecomposed."""
    x, out = call.tensor(0), call.out
    bias = call.arg(2, "bias")
    has_bias = isinstance(bias, TensorSpec)
    return Cost("gemm", macs=out.numel * x.shape[-1], ops=Ops(adds=out.numel if has_bias else 0))


@register_formula("aten::_scaled_mm")
def scaled_product(call: OpCall) -> Cost:
    """A·B with per-tensor or per-row scales on the output, and a bias."""
    a, out = call.tensor(0), call.out
    bias = call.arg(4, "bias")
    adds = out.numel if isinstance(bias, TensorSpec) else 0
    work = Ops(muls=out.numel, adds=adds)
    return Cost("gemm", macs=out.numel * a.shape[-1], ops=work, dtype=a.dtype, ops_dtype=torch.float32)


@register_formula("aten::_grouped_mm", "aten::_scaled_grouped_mm")
def grouped_product(call: OpCall) -> Cost:
    """Groups of rows, or of columns, each with its own matrix: each output once; a ragged K is summed over groups."""
    a, b, out = call.tensor(0), call.tensor(1), call.out
    ragged_k = len(a.shape) == 2 and len(b.shape) == 2  # out is (G, M, N), the K of all groups together is a's
    macs = a.shape[0] * a.shape[1] * b.shape[1] if ragged_k else out.numel * a.shape[-1]
    return Cost("gemm", macs=macs, dtype=a.dtype)


@register_formula("aten::_trilinear")
def trilinear(call: OpCall) -> Cost:
    """Σ a·b·c over the summed dimensions: a multiplication and a MAC per element of the common shape."""
    expands = call.args[3:6]
    sizes: dict[int, int] = {}
    for spec, expand in zip(call.inputs, expands, strict=False):
        shape = list(spec.shape)
        for dim in sorted(expand):
            shape.insert(dim, 1)
        for dim, n in enumerate(shape):
            sizes[dim] = max(sizes.get(dim, 1), n)
    elements = 1
    for n in sizes.values():
        elements *= n
    return Cost("gemm", macs=elements, ops=Ops(muls=elements))
