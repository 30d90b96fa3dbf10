"""Reductions, scans, sorts: work per input element."""

from __future__ import annotations

from typing import Final

from energybench.counting.call import OpCall
from energybench.counting.conventions import Ops, ops
from energybench.counting.cost import Cost
from energybench.counting.formulas.registry import register_formula

#: aten operator → (convention per input element, convention per output element).
REDUCTIONS: Final[dict[str, tuple[str, str | None]]] = {
    **dict.fromkeys("sum nansum cumsum count_nonzero trace".split(), ("sum", None)),
    "mean": ("sum", "mean_output"),
    **dict.fromkeys("max min amax amin argmax argmin any all aminmax cummax cummin".split(), ("max", None)),
    **dict.fromkeys("median nanmedian mode kthvalue _assert_async equal".split(), ("max", None)),
    **dict.fromkeys("prod cumprod".split(), ("prod", None)),
    **dict.fromkeys("var var_mean".split(), ("var", "mean_output")),
    **dict.fromkeys("std std_mean".split(), ("var", "special")),
    **dict.fromkeys("norm linalg_vector_norm".split(), ("norm2", "special")),
    "logsumexp": ("logsumexp", "special"),
    "logcumsumexp": ("logsumexp", None),
}


@register_formula(*(f"aten::{name}" for name in REDUCTIONS))
def reduction(call: OpCall) -> Cost:
    """Two-argument max and min are element by element; the rest reduce."""
    name = call.name.removeprefix("aten.")
    if name in ("max", "min") and len(call.inputs) == 2:
        return Cost("pointwise", ops=Ops(compares=call.out.numel))
    per_input, per_output = REDUCTIONS.get(name) or REDUCTIONS[name.removesuffix("_")]
    work = ops(per_input).times(call.inputs[0].numel)
    if name in ("norm", "linalg_vector_norm") and call.arg(1, "ord", 2) in (1, float("inf"), -float("inf")):
        work = Ops(adds=1, compares=1).times(call.inputs[0].numel)
        per_output = None
    if per_output is not None and call.results:
        work = work.plus(ops(per_output).times(call.out.numel))
    return Cost("pointwise", ops=work)


def _log2_ceil(n: int) -> int:
    return max(1, (n - 1).bit_length())


@register_formula("aten::sort", "aten::argsort", "aten::unique_dim", "aten::_unique2", "aten::unique_consecutive")
def sort(call: OpCall) -> Cost:
    """n·⌈log₂ row⌉ comparisons."""
    x = call.tensor(0)
    dim = call.kwargs.get("dim", call.args[1] if len(call.args) > 1 and type(call.args[1]) is int else -1)
    row = x.shape[dim] if x.shape and -len(x.shape) <= dim < len(x.shape) else x.numel
    return Cost("gather", ops=ops("sort").times(x.numel * _log2_ceil(row)))


@register_formula("aten::topk")
def topk(call: OpCall) -> Cost:
    """A heap of k: n·⌈log₂ k⌉ comparisons at most."""
    return Cost("gather", ops=ops("sort").times(call.tensor(0).numel * _log2_ceil(max(2, call.args[1]))))


@register_formula("aten::_cdist_forward", "aten::cdist")
def distances(call: OpCall) -> Cost:
    """√Σ(a − b)²: an add and a MAC per coordinate, a root per pair."""
    pairs, coordinates = call.out.numel, call.tensor(0).shape[-1]
    return Cost("gemm", macs=pairs * coordinates, ops=Ops(adds=pairs * coordinates, specials=pairs))


@register_formula("aten::_cdist_backward")
def distances_backward(call: OpCall) -> Cost:
    """(grad, a, b, p, distances): Σ g/d·(a − b), for one side."""
    pairs, coordinates = call.tensor(0).numel, call.tensor(1).shape[-1]
    return Cost("gemm", macs=pairs * coordinates, ops=Ops(adds=pairs * coordinates, divs=pairs))


@register_formula("aten::_pdist_forward", "aten::_pdist_backward")
def own_distances(call: OpCall) -> Cost:
    """As the distances between two sets, each pair of one set once; the gradient reaches both ends of a pair."""
    forward = call.name.endswith("forward")
    x = call.tensor(0 if forward else 1)
    pairs, coordinates = x.shape[0] * (x.shape[0] - 1) // 2, x.shape[1]
    if forward:
        return Cost("gemm", macs=pairs * coordinates, ops=Ops(adds=pairs * coordinates, specials=pairs))
    return Cost("gemm", macs=2 * pairs * coordinates, ops=Ops(adds=pairs * coordinates, divs=pairs))
