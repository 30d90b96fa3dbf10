"""Quantised layers and the conversions around them. Products are integer MACs; scales and zero points are floats.

An integer product is brought back by its scale, and by the zero point of its activations times the sum of a weight's
row, which is made once: the cost of `dequantize` per output. A bias is one more add.
"""

from __future__ import annotations

from math import prod

import torch

from energybench.counting.call import OpCall, TensorSpec, walk
from energybench.counting.conventions import Ops, ops
from energybench.counting.cost import Cost
from energybench.counting.formulas.convolution import convolution_macs, kernel_class
from energybench.counting.formulas.recurrent import Cell, LayerShape
from energybench.counting.formulas.registry import register_formula
from energybench.counting.opaque import Packed, PackedCell


def _found_at_run_time(elements: int) -> Ops:
    """Activations quantised with a scale from their own range."""
    return ops("quantize_range").plus(ops("quantize")).times(elements)


def _brought_back(outputs: int, *, bias: bool) -> Ops:
    return ops("dequantize").plus(Ops(adds=1 if bias else 0)).times(outputs)


def _half(packed: Packed) -> bool:
    return bool(packed.weight.dtype == torch.float16)


_DYNAMIC = ("linear_dynamic", "linear_relu_dynamic", "linear_dynamic_fp16", "linear_relu_dynamic_fp16")


@register_formula(*(f"quantized::{name}" for name in _DYNAMIC))
def dynamic_linear(call: OpCall) -> Cost:
    """(x, packed, …): x quantised, an integer product, the result in floats; half-precision weights: a float one."""
    x, packed = call.args[:2]
    macs, out = call.out.numel * x.shape[-1], call.out.numel
    work = Ops(compares=out if "relu" in call.name else 0)
    if _half(packed):
        work = work.plus(Ops(adds=out if packed.bias is not None else 0))
        return Cost("gemm", macs=macs, ops=work, dtype=torch.float32)
    work = work.plus(_found_at_run_time(x.numel)).plus(_brought_back(out, bias=packed.bias is not None))
    return Cost("gemm", macs=macs, ops=work, dtype=torch.int8, ops_dtype=torch.float32)


@register_formula("quantized::linear", "quantized::linear_relu", "quantized::linear_leaky_relu")
def static_linear(call: OpCall) -> Cost:
    """(x, packed, scale, zero_point): integers in, integers out; a ReLU is the clamp's lower bound."""
    x, packed = call.args[:2]
    out = call.out.numel
    work = ops("quantize").plus(Ops(adds=2 if packed.bias is not None else 1)).times(out)
    if "leaky" in call.name:
        work = work.plus(ops("leaky_relu").times(out))
    macs = out * x.shape[-1]
    return Cost("gemm", macs=macs, ops=work, dtype=torch.int8, ops_dtype=torch.float32)


_CONVOLUTIONS = tuple(f"conv{kind}{d}d" for kind in ("", "_transpose") for d in (1, 2, 3))


@register_formula(*(f"quantized::{name}{end}" for name in _CONVOLUTIONS for end in ("", "_relu", "_dynamic")))
def convolution(call: OpCall) -> Cost:
    """(x, packed, …): as the float convolution, on integers."""
    x, packed, out = call.args[0], call.args[1], call.out
    dims = len(x.shape) - 2
    shape = packed.weight.shape
    weight = (*shape[:2], *shape[-dims:])  # a one-dimensional kernel is packed as a two-dimensional one
    macs, nominal = convolution_macs(
        x.shape,
        weight,
        out.shape,
        stride=packed.stride[-dims:],
        padding=packed.padding[-dims:],
        dilation=packed.dilation[-dims:],
        transposed=packed.transposed,
        groups=packed.groups,
    )
    bias = packed.bias is not None
    if call.name.endswith("_dynamic"):
        work = _found_at_run_time(x.numel).plus(_brought_back(out.numel, bias=bias))
    else:
        work = ops("quantize").plus(Ops(adds=2 if bias else 1)).times(out.numel)
    return Cost(
        kernel_class(weight, packed.transposed, packed.groups),
        macs=macs,
        nominal_macs=nominal,
        ops=work,
        dtype=torch.int8,
        ops_dtype=torch.float32,
    )


def _layer(cell: Cell, rows: int, batch: int, weights: tuple[Packed, ...], *, bias: bool) -> tuple[int, Ops]:
    """MACs and other work of one layer and direction over `rows` steps of all sequences together."""
    w_ih, w_hh = weights
    gates, inputs = w_ih.weight.shape
    shape = LayerShape(cell, rows, batch, inputs, w_hh.weight.shape[1])
    work = ops(cell).times(rows * shape.hidden)
    if _half(w_ih):
        return shape.forward().macs, work.plus(Ops(adds=2 * gates * rows if bias else 0))
    work = work.plus(_found_at_run_time(rows * (inputs + shape.hidden)))
    return shape.forward().macs, work.plus(_brought_back(2 * gates * rows, bias=bias))


def _recurrent(weights: Packed, macs: int, work: Ops) -> Cost:
    dtype = torch.float32 if _half(weights) else torch.int8
    return Cost("rnn", macs=macs, ops=work, dtype=dtype, ops_dtype=torch.float32)


_RECURRENT_CELLS: dict[str, Cell] = {"lstm": "lstm", "gru": "gru", "rnn_tanh": "rnn_tanh", "rnn_relu": "rnn_relu"}


@register_formula("aten::quantized_lstm", "aten::quantized_gru")
def recurrent(call: OpCall) -> Cost:
    """(x, states, cells, …) or, packed, (data, batch_sizes, states, cells, …): every layer and direction."""
    cell: Cell = "lstm" if "lstm" in call.name else "gru"
    cells = next(a for a in call.args if isinstance(a, list) and a and isinstance(a[0], PackedCell))
    rows = prod(call.tensor(0).shape[:-1])
    batch = next(walk(call.args[call.args.index(cells) - 1])).shape[-2]
    macs, work = 0, Ops()
    for one in cells:
        more, other = _layer(cell, rows, batch, one.weights, bias=one.weights[0].bias is not None)
        macs, work = macs + more, work.plus(other)
    return _recurrent(cells[0].weights[0], macs, work)


@register_formula(*(f"quantized::quantized_{cell}_cell_dynamic" for cell in _RECURRENT_CELLS))
def single_cell(call: OpCall) -> Cost:
    """(x, state, w_ih, w_hh, b_ih, b_hh)."""
    cell = next(c for name, c in _RECURRENT_CELLS.items() if f"_{name}_cell" in call.name)
    x, w_ih, w_hh = call.args[0], call.args[2], call.args[3]
    batch = prod(x.shape[:-1])
    macs, work = _layer(cell, batch, batch, (w_ih, w_hh), bias=call.args[4] is not None)
    return _recurrent(w_ih, macs, work)


# ── conversions and elementwise work ─────────────────────────────────────────────────────────────────────────────────
@register_formula(
    "aten::quantize_per_tensor", "aten::quantize_per_channel", "quantized_decomposed::quantize_per_tensor",
    "quantized_decomposed::quantize_per_channel", "quantized_decomposed::quantize_per_token",
    "quantized_decomposed::quantize_per_channel_group",
)  # fmt: skip
def quantize(call: OpCall) -> Cost:
    """Floats to integers with a known scale."""
    return Cost("pointwise", ops=ops("quantize").times(call.out.numel))


@register_formula("aten::quantize_per_tensor_dynamic")
def quantize_dynamic(call: OpCall) -> Cost:
    """Floats to integers with a scale from their range."""
    return Cost("pointwise", ops=_found_at_run_time(call.out.numel))


@register_formula("quantized_decomposed::choose_qparams", "quantized_decomposed::choose_qparams_symmetric")
def quantisation_range(call: OpCall) -> Cost:
    """A scale and zero point from the range of a tensor."""
    return Cost("pointwise", ops=ops("quantize_range").times(call.tensor(0).numel))


@register_formula(
    "aten::dequantize", "quantized_decomposed::dequantize_per_tensor", "quantized_decomposed::dequantize_per_channel",
    "quantized_decomposed::dequantize_per_token", "quantized_decomposed::dequantize_per_channel_group",
)  # fmt: skip
def dequantize(call: OpCall) -> Cost:
    """Integers to floats."""
    return Cost("pointwise", ops=ops("dequantize").times(call.out.numel), dtype=torch.float32)


@register_formula(
    "aten::fake_quantize_per_tensor_affine_cachemask", "aten::fake_quantize_per_channel_affine_cachemask",
    "aten::_fake_quantize_per_tensor_affine_cachemask_tensor_qparams",
)  # fmt: skip
def fake_quantize(call: OpCall) -> Cost:
    """There and back; the mask of what was not clamped is written where a backward pass will read it."""
    work = ops("quantize").plus(ops("dequantize")).times(call.out.numel)
    return Cost("pointwise", ops=work).with_traffic(writes=call.results if call.gradient else call.results[:1])


@register_formula("aten::fake_quantize_per_tensor_affine_cachemask_backward")
def fake_quantize_backward(call: OpCall) -> Cost:
    """The gradient where nothing was clamped."""
    return Cost("pointwise", ops=Ops(muls=call.out.numel))


@register_formula("quantized::add", "quantized::add_relu", "quantized::mul", "quantized::mul_relu")
def quantised_arithmetic(call: OpCall) -> Cost:
    """Both brought back, one operation, quantised again; a ReLU is the clamp's lower bound."""
    one = Ops(adds=1) if "add" in call.name else Ops(muls=1)
    operands = len([a for a in call.args[:2] if isinstance(a, TensorSpec)])
    work = ops("dequantize").times(operands).plus(one).plus(ops("quantize"))
    return Cost("pointwise", ops=work.times(call.out.numel), dtype=torch.float32)


@register_formula("quantized::cat", "quantized::cat_relu")
def quantised_cat(call: OpCall) -> Cost:
    """Brought to one scale."""
    return Cost("copy", ops=ops("dequantize").plus(ops("quantize")).times(call.out.numel), dtype=torch.float32)


# ── weights in few bits, activations in floats ───────────────────────────────────────────────────────────────────────
@register_formula("aten::_weight_int8pack_mm")
def weight_only_product(call: OpCall) -> Cost:
    """x (M, K) · int8 weight (N, K), a scale per output channel: float MACs, a multiplication per output."""
    x, out = call.tensor(0), call.out
    return Cost("gemm", macs=out.numel * x.shape[-1], ops=Ops(muls=out.numel), dtype=x.dtype)


@register_formula("aten::_weight_int4pack_mm", "aten::_weight_int4pack_mm_for_cpu")
def grouped_weight_only_product(call: OpCall) -> Cost:
    """x (M, K) · int4 weight (N, K): every weight is brought back by its group's scale and zero point first."""
    x, out = call.tensor(0), call.out
    weights = x.shape[-1] * out.shape[-1]
    return Cost("gemm", macs=out.numel * x.shape[-1], ops=ops("dequantize").times(weights), dtype=x.dtype)
