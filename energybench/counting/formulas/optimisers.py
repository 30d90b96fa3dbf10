"""Optimiser steps: torch's foreach building blocks and its fused steps, each over a list of tensors."""

from __future__ import annotations

from typing import Any, Final

from energybench.counting.call import OpCall, TensorSpec, walk
from energybench.counting.conventions import Ops, ops
from energybench.counting.cost import Cost
from energybench.counting.formulas.registry import register_formula

#: Foreach operator → operations per element of the first list.
FOREACH: Final[dict[str, Ops]] = {
    "add": Ops(adds=1),
    "sub": Ops(adds=1),
    "mul": Ops(muls=1),
    "div": Ops(divs=1),
    "neg": Ops(adds=1),
    "abs": Ops(compares=1),
    "sign": Ops(compares=1),
    "maximum": Ops(compares=1),
    "minimum": Ops(compares=1),
    "clamp_min": Ops(compares=1),
    "clamp_max": Ops(compares=1),
    "sqrt": Ops(specials=1),
    "rsqrt": Ops(specials=1),
    "exp": Ops(specials=1),
    "log": Ops(specials=1),
    "pow": Ops(specials=1),
    "reciprocal": Ops(divs=1),
    "lerp": Ops(adds=2, muls=1),
    "addcmul": Ops(adds=1, muls=2),
    "addcdiv": Ops(adds=1, muls=1, divs=1),
    "norm": ops("norm2"),
    "copy": Ops(),
    "zero": Ops(),
}


def _first_list(call: OpCall) -> int:
    first: Any = call.args[0]
    return sum(s.numel for s in walk(first))


@register_formula(*(f"aten::_foreach_{name}" for name in FOREACH))
def foreach(call: OpCall) -> Cost:
    """One launch over the list."""
    name = call.name.removeprefix("aten._foreach_").removesuffix("_")
    work = FOREACH[name]
    if name in ("add", "sub") and call.kwargs.get("alpha", 1) != 1:
        work = work.plus(Ops(muls=1))
    cost = Cost("optimizer", ops=work.times(_first_list(call)))
    if name == "zero":
        return cost.with_traffic(reads=())
    return cost.with_traffic(reads=walk(call.args[1])) if name == "copy" else cost


@register_formula("aten::_fused_adam", "aten::_fused_adamw")
def fused_adam(call: OpCall) -> Cost:
    """(params, grads, m, v, max_v, steps, *, weight_decay, …)."""
    work = ops("adam")
    if call.kwargs.get("weight_decay"):
        work = work.plus(ops("weight_decay"))
    if call.kwargs.get("amsgrad"):
        work = work.plus(Ops(compares=1))
    written = [*walk(call.args[0]), *walk(call.args[2]), *walk(call.args[3]), *walk(call.args[4]), *walk(call.args[5])]
    return Cost("optimizer", ops=work.times(_first_list(call))).with_traffic(writes=written)


@register_formula("aten::_fused_sgd")
def fused_sgd(call: OpCall) -> Cost:
    """(params, grads, momentum buffers, *, momentum, weight_decay, …)."""
    momentum = bool(call.kwargs.get("momentum"))
    work = ops("sgd_momentum" if momentum else "sgd")
    if call.kwargs.get("weight_decay"):
        work = work.plus(ops("weight_decay"))
    written: list[TensorSpec] = [*walk(call.args[0]), *(walk(call.args[2]) if momentum else ())]
    return Cost("optimizer", ops=work.times(_first_list(call))).with_traffic(writes=written)
