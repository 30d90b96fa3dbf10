"""Convolutions in any number of dimensions, grouped, dilated, transposed; taps on padding are not executed.

The taps of one dimension are separable from the others, so the executed MACs of an N-d convolution are a product of
one-dimensional counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import prod

from energybench.counting.call import OpCall
from energybench.counting.conventions import Ops
from energybench.counting.cost import Cost
from energybench.counting.formulas.registry import register_formula
from energybench.records.vocabulary import KernelClass


@lru_cache(maxsize=4096)
def valid_taps(n_in: int, n_out: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    """Pairs (output o, tap k) with 0 ≤ o·stride − padding + k·dilation < n_in, over o < n_out and k < kernel."""
    taps = 0
    for k in range(kernel):
        offset = k * dilation - padding
        first = max(0, -(offset // stride))  # ceil(−offset/stride)
        last = min(n_out - 1, (n_in - 1 - offset) // stride)
        taps += max(0, last - first + 1)
    return taps


def _per_dimension(value: Sequence[int], dims: int) -> tuple[int, ...]:
    return tuple(value) if len(value) == dims else tuple(value) * dims


def convolution_macs(
    input_shape: Sequence[int],
    weight_shape: Sequence[int],
    output_shape: Sequence[int],
    *,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    groups: int,
) -> tuple[int, int]:
    """(executed, nominal) MACs of a forward convolution, N C_in *spatial → N C_out *spatial.

    Every multiplication of the forward pass has one partner in each gradient (the sums run over the same triples of
    output, tap and channel pair), so both gradients cost the same, groups included.
    """
    dims = len(weight_shape) - 2
    stride, padding, dilation = (_per_dimension(v, dims) for v in (stride, padding, dilation))
    batch = output_shape[0] if len(output_shape) == dims + 2 else 1
    kernel = weight_shape[2:]
    inner, outer = input_shape[-dims:], output_shape[-dims:]
    if transposed:  # the adjoint: the small side is the input
        inner, outer = outer, inner
    # weights hold (C_out, C_in/g) or, transposed, (C_in, C_out/g): either way their product is the channel pairs
    pairs = batch * weight_shape[0] * weight_shape[1]
    executed = prod(valid_taps(*shape) for shape in zip(inner, outer, kernel, stride, padding, dilation, strict=True))
    return pairs * executed, pairs * prod(outer) * prod(kernel)


def kernel_class(weight: Sequence[int], transposed: bool, groups: int) -> KernelClass:
    """`depthwise` where every group has one input channel (one output channel, transposed too)."""
    single = groups > 1 and weight[1] == 1 and (not transposed or weight[0] == groups)
    return "depthwise" if single else "conv"


@register_formula("aten::convolution", "aten::_convolution", "aten::convolution_overrideable")
def convolution(call: OpCall) -> Cost:
    """aten.convolution(input, weight, bias, stride, padding, dilation, transposed, output_padding, groups)."""
    x, weight, bias, stride, padding, dilation, transposed, _, groups = call.args[:9]
    macs, nominal = convolution_macs(
        x.shape,
        weight.shape,
        call.out.shape,
        stride=stride,
        padding=padding,
        dilation=dilation,
        transposed=transposed,
        groups=groups,
    )
    ops = Ops(adds=call.out.numel if bias is not None else 0)
    return Cost(kernel_class(weight.shape, transposed, groups), macs=macs, nominal_macs=nominal, ops=ops)


@register_formula("aten::convolution_backward", "aten::convolution_backward_overrideable")
def convolution_backward(call: OpCall) -> Cost:
    """aten.convolution_backward(grad, input, weight, bias_sizes, stride, …, groups, output_mask)."""
    grad, x, weight, _, stride, padding, dilation, transposed, _, groups, mask = call.args[:11]
    macs, nominal = convolution_macs(
        x.shape,
        weight.shape,
        grad.shape,
        stride=stride,
        padding=padding,
        dilation=dilation,
        transposed=transposed,
        groups=groups,
    )
    products = int(mask[0]) + int(mask[1])
    cost = Cost(
        kernel_class(weight.shape, transposed, groups),
        macs=products * macs,
        nominal_macs=products * nominal,
        ops=Ops(adds=grad.numel if mask[2] else 0),
    )
    return cost.with_traffic(reads=(grad, x if mask[1] else None, weight if mask[0] else None))
