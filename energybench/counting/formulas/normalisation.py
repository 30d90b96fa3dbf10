"""Norms and softmax: two-pass moments, then one scale and shift per element."""

from __future__ import annotations

from math import prod

from energybench.counting.call import OpCall, TensorSpec
from energybench.counting.conventions import Ops, ops
from energybench.counting.cost import Cost
from energybench.counting.formulas.registry import register_formula


def _affine(elements: int, *, weight: bool, bias: bool, suffix: str = "") -> Ops:
    work = Ops()
    if weight:
        work = work.plus(ops(f"norm_weight{suffix}").times(elements))
    return work.plus(ops(f"norm_bias{suffix}").times(elements)) if bias else work


def _outputs(call: OpCall) -> tuple[TensorSpec, ...]:
    """The normalised tensor, with the statistics only where a backward pass will read them."""
    return call.results if call.gradient else call.results[:1]


@register_formula("aten::native_layer_norm")
def layer_norm(call: OpCall) -> Cost:
    """aten.native_layer_norm(input, normalized_shape, weight, bias, eps)."""
    x, shape, weight, bias = call.args[:4]
    rows = x.numel // max(1, prod(shape))
    work = ops("layer_norm").times(x.numel).plus(ops("layer_norm_row").times(rows))
    work = work.plus(_affine(x.numel, weight=weight is not None, bias=bias is not None))
    return Cost("norm", ops=work).with_traffic(writes=_outputs(call))


@register_formula("aten::native_group_norm")
def group_norm(call: OpCall) -> Cost:
    """aten.native_group_norm(input, weight, bias, N, C, HxW, groups, eps)."""
    x, weight, bias, batch, _, _, groups = call.args[:7]
    work = ops("layer_norm").times(x.numel).plus(ops("layer_norm_row").times(batch * groups))
    work = work.plus(_affine(x.numel, weight=weight is not None, bias=bias is not None))
    return Cost("norm", ops=work).with_traffic(writes=_outputs(call))


@register_formula("aten::native_layer_norm_backward", "aten::native_group_norm_backward")
def layer_norm_backward(call: OpCall) -> Cost:
    """dx, dγ, dβ as the output mask asks; statistics are read, not computed again."""
    mask = call.args[-1]
    x = call.tensor(1)
    stats = call.tensor(3) if "layer" in call.name else call.tensor(2)
    weight, bias = call.args[5:7] if "layer" in call.name else (call.args[4], None)
    work = Ops()
    if mask[0]:
        work = ops("layer_norm_backward").times(x.numel).plus(ops("layer_norm_backward_row").times(stats.numel))
        work = work.plus(_affine(x.numel, weight=weight is not None, bias=False))
    work = work.plus(_affine(x.numel, weight=bool(mask[1]), bias=bool(mask[2]), suffix="_backward"))
    # the bias is an argument whose values no gradient needs
    return Cost("norm", ops=work).with_traffic(reads=tuple(t for t in call.inputs if t is not bias))


@register_formula("aten::_fused_rms_norm", "aten::rms_norm")
def rms_norm(call: OpCall) -> Cost:
    """(input, normalized_shape, weight, eps)."""
    x, shape, weight = call.args[:3]
    rows = x.numel // max(1, prod(shape))
    work = ops("rms_norm").times(x.numel).plus(ops("rms_norm_row").times(rows))
    work = work.plus(_affine(x.numel, weight=weight is not None, bias=False))
    return Cost("norm", ops=work).with_traffic(writes=_outputs(call))


@register_formula("aten::_fused_rms_norm_backward")
def rms_norm_backward(call: OpCall) -> Cost:
    """(grad, input, normalized_shape, rstd, weight, mask)."""
    _, x, _, rstd, weight, mask = call.args[:6]
    work = Ops()
    if mask[0]:
        work = ops("rms_norm_backward").times(x.numel).plus(Ops(divs=rstd.numel))
        work = work.plus(_affine(x.numel, weight=weight is not None, bias=False))
    return Cost("norm", ops=work.plus(_affine(x.numel, weight=bool(mask[1]), bias=False, suffix="_backward")))


@register_formula(
    "aten::native_batch_norm",
    "aten::_native_batch_norm_legit",
    "aten::_native_batch_norm_legit_functional",
    "aten::_native_batch_norm_legit_no_training",
    "aten::_batch_norm_with_update",
    "aten::_batch_norm_with_update_functional",
    "aten::_batch_norm_no_update",
    "aten::cudnn_batch_norm",
)
def batch_norm(call: OpCall) -> Cost:
    """(input, weight, bias, running_mean, running_var, [training], momentum, eps)."""
    x, weight, bias = call.args[:3]
    no_training = call.name.endswith(("no_training", "no_update"))
    takes_flag = not no_training and "with_update" not in call.name
    stats = [a for a in call.args[3:5] if isinstance(a, TensorSpec)]
    training = bool(call.args[3 + len(stats) if not _has_none_stats(call) else 5]) if takes_flag else not no_training
    channels = x.shape[1]
    affine = [t for t in (weight, bias) if t is not None]
    if not training:
        work = ops("batch_norm_eval").times(x.numel).plus(ops("batch_norm_eval_channel").times(channels))
        without = Ops(muls=int(weight is None), adds=int(bias is None))  # scale = rsqrt, shift = −μ·scale
        work = work.plus(without.times(-channels))
        return Cost("norm", ops=work).with_traffic(reads=(x, *affine, *stats), writes=call.results[:1])
    work = ops("layer_norm").times(x.numel).plus(ops("layer_norm_row").times(channels))
    work = work.plus(_affine(x.numel, weight=weight is not None, bias=bias is not None))
    if stats:
        work = work.plus(ops("batch_norm_running").times(channels))
    return Cost("norm", ops=work).with_traffic(reads=(x, *affine, *stats), writes=(*_outputs(call)[:3], *stats))


def _has_none_stats(call: OpCall) -> bool:
    return len(call.args) > 4 and call.args[3] is None


@register_formula("aten::native_batch_norm_backward", "aten::cudnn_batch_norm_backward", "aten::batch_norm_backward")
def batch_norm_backward(call: OpCall) -> Cost:
    """(grad, input, weight, running_mean, running_var, save_mean, save_invstd, train, eps, mask)."""
    grad, x, weight, mean, var, save_mean, save_rstd, train = call.args[:8]
    mask = call.args[9] if len(call.args) > 9 else (True, True, True)
    affine = weight is not None
    of_weight, of_bias = affine and bool(mask[1]), affine and bool(mask[2])
    channels, work = x.shape[1], Ops()
    if train and mask[0]:  # Σg and Σg·x̂ are the gradients of bias and weight
        work = ops("layer_norm_backward").times(x.numel).plus(ops("layer_norm_backward_row").times(channels))
        work = work.plus(Ops(muls=int(affine)).times(channels))  # γ·rstd
    elif train:
        work = _affine(x.numel, weight=of_weight, bias=of_bias, suffix="_backward")
    else:
        work = ops("batch_norm_eval_backward").times(x.numel if mask[0] else 0)
        work = work.plus(Ops(adds=1, specials=1, muls=int(affine and bool(mask[0])) + of_weight).times(channels))
        # Σ g·(x − μ), times rstd once a channel
        work = work.plus(Ops(adds=2 * of_weight + of_bias, muls=int(of_weight)).times(x.numel))
    if train:
        return Cost("norm", ops=work).with_traffic(reads=(grad, x, weight, save_mean, save_rstd))
    reads = (grad, x if of_weight else None, weight, mean if of_weight else None, var)
    return Cost("norm", ops=work).with_traffic(reads=reads)


@register_formula("aten::_softmax", "aten::softmax", "aten::_safe_softmax")
def softmax(call: OpCall) -> Cost:
    """Maximum, exponentials and their sum, one division each."""
    return Cost("softmax", ops=ops("softmax").times(call.out.numel))


@register_formula("aten::_log_softmax", "aten::log_softmax")
def log_softmax(call: OpCall) -> Cost:
    """aten._log_softmax(input, dim, half_to_float)."""
    x, dim = call.tensor(0), call.args[1]
    rows = x.numel // max(1, x.shape[dim]) if x.shape else 1
    return Cost("softmax", ops=ops("log_softmax").times(x.numel).plus(ops("log_softmax_row").times(rows)))


@register_formula("aten::_softmax_backward_data", "aten::_log_softmax_backward_data")
def softmax_backward(call: OpCall) -> Cost:
    """(grad, output, dim, dtype)."""
    name = "log_softmax_backward" if "log" in call.name else "softmax_backward"
    return Cost("softmax", ops=ops(name).times(call.out.numel))


@register_formula("aten::_weight_norm_interface", "aten::_weight_norm")
def weight_norm(call: OpCall) -> Cost:
    """w = v·g/‖v‖."""
    v, g = call.tensor(0), call.tensor(1)
    work = ops("norm2").plus(ops("mul")).times(v.numel).plus(Ops(specials=g.numel, divs=g.numel))
    return Cost("norm", ops=work)


@register_formula("aten::_weight_norm_interface_backward")
def weight_norm_backward(call: OpCall) -> Cost:
    """dg = Σ dw·v/‖v‖; dv = g/‖v‖·(dw − v·dg/‖v‖)."""
    grad, g = call.tensor(0), call.tensor(2)
    return Cost("norm", ops=Ops(muls=3, adds=2).times(grad.numel).plus(Ops(divs=2).times(g.numel)))
