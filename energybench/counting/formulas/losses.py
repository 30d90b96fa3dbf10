"""Losses and their gradients."""

from __future__ import annotations

from typing import Final

from energybench.counting.call import OpCall, TensorSpec
from energybench.counting.conventions import Ops, ops
from energybench.counting.cost import Cost, distinct_accesses
from energybench.counting.formulas.registry import register_formula

#: aten operator → convention per element of its first input.
LOSSES: Final[dict[str, str]] = {
    "mse_loss": "mse",
    "smooth_l1_loss": "smooth_l1",
    "huber_loss": "smooth_l1",
    "binary_cross_entropy": "bce",
    "binary_cross_entropy_with_logits": "bce_logits",
    "soft_margin_loss": "bce_logits",
    "multi_margin_loss": "smooth_l1",
    "multilabel_margin_loss_forward": "smooth_l1",
}


@register_formula(*(f"aten::{name}" for name in LOSSES))
def loss(call: OpCall) -> Cost:
    """Per element, and one division for the mean."""
    work = ops(LOSSES[call.name.removeprefix("aten.")]).times(call.tensor(0).numel)
    return Cost("loss", ops=work.plus(Ops(divs=1)) if call.out.shape == () else work)


@register_formula("aten::mse_loss_backward")
def mse_backward(call: OpCall) -> Cost:
    """g·2(x − y)/n."""
    return Cost("loss", ops=Ops(adds=1, muls=2).times(call.out.numel))


@register_formula(
    "aten::smooth_l1_loss_backward",
    "aten::huber_loss_backward",
    "aten::soft_margin_loss_backward",
    "aten::multi_margin_loss_backward",
    "aten::multilabel_margin_loss_backward",
)
def smooth_l1_backward(call: OpCall) -> Cost:
    """|d| < β ? g·d/β : ±g."""
    return Cost("loss", ops=Ops(adds=1, compares=2, muls=2).times(call.out.numel))


@register_formula("aten::binary_cross_entropy_backward")
def bce_backward(call: OpCall) -> Cost:
    """g·(x − y)/(x(1 − x))."""
    return Cost("loss", ops=Ops(adds=2, muls=2, divs=1).times(call.out.numel))


@register_formula("aten::nll_loss_forward", "aten::nll_loss2d_forward", "aten::nll_loss_nd")
def nll(call: OpCall) -> Cost:
    """(logp, target, weight, …): one probability read per target; weights one more multiplication and add."""
    logp, target, weight = call.tensor(0), call.tensor(1), call.args[2]
    weighted = isinstance(weight, TensorSpec)
    work = ops("nll").plus(Ops(muls=1, adds=1) if weighted else Ops()).times(target.numel).plus(Ops(divs=1))
    reads = ((logp, min(target.numel, logp.distinct)), *distinct_accesses(call.inputs[1:]))
    return Cost("loss", ops=work, reads=reads)


@register_formula("aten::nll_loss_backward", "aten::nll_loss2d_backward")
def nll_backward(call: OpCall) -> Cost:
    """(grad, logp, target, …): zeros with one value per target; the probabilities are not read."""
    grad, target = call.tensor(0), call.tensor(2)
    rest = (s for s in call.inputs[3:])
    return Cost("loss", ops=Ops(muls=target.numel)).with_traffic(reads=(grad, target, *rest))


@register_formula("aten::_ctc_loss")
def ctc(call: OpCall) -> Cost:
    """(logp (T, N, C), targets, …) → (loss, α (N, T, 2L + 1)): every step and label state, lengths as the longest."""
    logp, alpha = call.tensor(0), call.results[1]
    reads = ((logp, min(alpha.numel, logp.distinct)), *distinct_accesses(call.inputs[1:]))
    writes = call.results if call.gradient else call.results[:1]
    return Cost("loss", ops=ops("ctc").times(alpha.numel), reads=reads).with_traffic(writes=writes)


@register_formula("aten::_ctc_loss_backward")
def ctc_backward(call: OpCall) -> Cost:
    """(grad, logp, targets, …, α, …): β, both together, then the gradient of every class."""
    logp = call.tensor(1)
    alpha = max(call.inputs, key=lambda s: (len(s.shape) == 3 and s is not logp, s.numel))
    work = ops("ctc_backward").times(alpha.numel).plus(ops("ctc_gradient").times(logp.numel))
    return Cost("loss", ops=work)
