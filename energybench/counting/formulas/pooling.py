"""Pools and resampling: taps inside the image, separable per dimension; no MACs."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from energybench.counting.call import OpCall, TensorSpec
from energybench.counting.conventions import Ops, ops
from energybench.counting.cost import Cost
from energybench.counting.formulas.convolution import valid_taps
from energybench.counting.formulas.registry import register_formula


def _spread(value: Sequence[int] | int | None, dims: int, default: Sequence[int]) -> tuple[int, ...]:
    if value is None or (isinstance(value, list | tuple) and not value):
        return tuple(default)
    if isinstance(value, int):
        return (value,) * dims
    return tuple(value) * dims if len(value) == 1 else tuple(value)


def _window_taps(x: Sequence[int], out: Sequence[int], call: OpCall, first: int, *, dilated: bool) -> int:
    """Taps inside the image of a pool whose (kernel, stride, padding[, dilation]) begin at argument `first`."""
    dims = len(_spread(call.args[first], 1, ()))
    kernel = _spread(call.args[first], dims, ())
    stride = _spread(call.arg(first + 1, "stride"), dims, kernel)
    padding = _spread(call.arg(first + 2, "padding"), dims, (0,) * dims)
    dilation = _spread(call.arg(first + 3, "dilation") if dilated else None, dims, (1,) * dims)
    window = zip(x[-dims:], out[-dims:], kernel, stride, padding, dilation, strict=True)
    return prod(out[:-dims]) * prod(valid_taps(*one) for one in window)


def adaptive_taps(n_in: int, n_out: int) -> int:
    """Σ over outputs of the window ⌊o·n_in/n_out⌋ … ⌈(o+1)·n_in/n_out⌉."""
    return sum(-(-(o + 1) * n_in // n_out) - o * n_in // n_out for o in range(n_out))


def _kept(call: OpCall) -> tuple[TensorSpec, ...]:
    """The pooled tensor, with the winners' positions only where a backward pass will read them."""
    return call.results if call.gradient else call.results[:1]


@register_formula(*(f"aten::max_pool{d}d_with_indices" for d in (2, 3)), *(f"aten::max_pool{d}d" for d in (1, 2, 3)))
def max_pool(call: OpCall) -> Cost:
    """A comparison per tap inside the image."""
    taps = _window_taps(call.tensor(0).shape, call.out.shape, call, 1, dilated=True)
    return Cost("pool", ops=ops("max_pool").times(taps)).with_traffic(writes=_kept(call))


@register_formula(*(f"aten::avg_pool{d}d" for d in (1, 2, 3)))
def avg_pool(call: OpCall) -> Cost:
    """An add per tap inside the image, a division per output."""
    taps = _window_taps(call.tensor(0).shape, call.out.shape, call, 1, dilated=False)
    return Cost("pool", ops=ops("avg_pool").times(taps).plus(ops("avg_pool_output").times(call.out.numel)))


def _adaptive(call: OpCall, dims: int) -> int:
    x, out = call.tensor(0).shape, call.out.shape
    return prod(out[:-dims]) * prod(adaptive_taps(i, o) for i, o in zip(x[-dims:], out[-dims:], strict=True))


@register_formula("aten::_adaptive_avg_pool2d", "aten::_adaptive_avg_pool3d", "aten::adaptive_avg_pool1d")
def adaptive_avg_pool(call: OpCall) -> Cost:
    """Average over windows that cover the input."""
    taps = _adaptive(call, int(call.name[-2]))
    return Cost("pool", ops=ops("avg_pool").times(taps).plus(ops("avg_pool_output").times(call.out.numel)))


@register_formula("aten::adaptive_max_pool1d", "aten::adaptive_max_pool2d", "aten::adaptive_max_pool3d")
def adaptive_max_pool(call: OpCall) -> Cost:
    """Maximum over windows that cover the input."""
    work = ops("max_pool").times(_adaptive(call, int(call.name[-2])))
    return Cost("pool", ops=work).with_traffic(writes=_kept(call))


@register_formula(
    *(f"aten::max_pool{d}d_with_indices_backward" for d in (2, 3)),
    *(f"aten::adaptive_max_pool{d}d_backward" for d in (2, 3)),
    *(f"aten::fractional_max_pool{d}d_backward" for d in (2, 3)),
)
def max_pool_backward(call: OpCall) -> Cost:
    """Each output gradient is added to its winner; the input's values are not needed again."""
    grad = call.tensor(0)
    indices = call.inputs[-1]
    return Cost("pool", ops=ops("max_pool_backward").times(grad.numel)).with_traffic(reads=(grad, indices))


@register_formula(*(f"aten::avg_pool{d}d_backward" for d in (2, 3)))
def avg_pool_backward(call: OpCall) -> Cost:
    """(grad, input, kernel, stride, padding, …): a division per output gradient, an add per tap."""
    grad, x = call.tensor(0), call.tensor(1)
    taps = _window_taps(x.shape, grad.shape, call, 2, dilated=False)
    work = ops("avg_pool_backward").times(taps).plus(ops("avg_pool_output").times(grad.numel))
    return Cost("pool", ops=work).with_traffic(reads=(grad,))


@register_formula("aten::_adaptive_avg_pool2d_backward", "aten::_adaptive_avg_pool3d_backward")
def adaptive_avg_pool_backward(call: OpCall) -> Cost:
    """As the average pool's."""
    grad, x = call.tensor(0), call.tensor(1)
    dims = 2 if "2d" in call.name else 3
    sizes = zip(x.shape[-dims:], grad.shape[-dims:], strict=True)
    taps = prod(grad.shape[:-dims]) * prod(adaptive_taps(i, o) for i, o in sizes)
    work = ops("avg_pool_backward").times(taps).plus(ops("avg_pool_output").times(grad.numel))
    return Cost("pool", ops=work).with_traffic(reads=(grad,))


_TAPS = {"linear1d": 2, "bilinear2d": 4, "trilinear3d": 8, "bicubic2d": 16}


_INTERPOLATED = ("upsample_linear1d", "upsample_bilinear2d", "upsample_trilinear3d", "upsample_bicubic2d")
_ANTIALIASED = ("_upsample_bilinear2d_aa", "_upsample_bicubic2d_aa")
_NEAREST = tuple(f"{name}{d}d" for name in ("upsample_nearest", "_upsample_nearest_exact") for d in (1, 2, 3))


@register_formula(*(f"aten::{name}{end}" for name in (*_INTERPOLATED, *_ANTIALIASED) for end in ("", "_backward")))
def interpolate(call: OpCall) -> Cost:
    """A MAC-like multiplication and add per neighbour of the finer image."""
    neighbours = next(n for name, n in _TAPS.items() if name in call.name)
    finer = call.tensor(0).numel if call.name.endswith("backward") else call.out.numel
    return Cost("pool", ops=Ops(muls=neighbours, adds=neighbours).times(finer))


@register_formula(*(f"aten::{name}" for name in _NEAREST))
def nearest(call: OpCall) -> Cost:
    """A copy."""
    return Cost("copy")


@register_formula(*(f"aten::{name}_backward" for name in _NEAREST))
def nearest_backward(call: OpCall) -> Cost:
    """A sum over the copies."""
    return Cost("pool", ops=Ops(adds=call.tensor(0).numel))


#: Neighbours of a place, by dimensions and torch's number of the interpolation (linear, nearest, cubic).
_NEIGHBOURS = {(2, 0): 4, (2, 1): 0, (2, 2): 16, (3, 0): 8, (3, 1): 0}


@register_formula(*(f"aten::grid_sampler_{d}d" for d in (2, 3)), "aten::_grid_sampler_2d_cpu_fallback")
def grid_sample(call: OpCall) -> Cost:
    """(input, grid, interpolation, …): a multiplication and add per neighbour of a given place."""
    neighbours = _NEIGHBOURS[2 if "2d" in call.name else 3, call.args[2]]
    return Cost("gather", ops=Ops(muls=neighbours, adds=neighbours).times(call.out.numel))


@register_formula(*(f"aten::grid_sampler_{d}d_backward" for d in (2, 3)))
def grid_sample_backward(call: OpCall) -> Cost:
    """(grad, input, grid, interpolation, …, mask): each neighbour's share, and each coordinate's slope."""
    grad, dims = call.tensor(0), 2 if "2d" in call.name else 3
    mask = call.args[6] if len(call.args) > 6 else (True, True)
    products = int(mask[0]) + (dims if mask[1] else 0)
    each = _NEIGHBOURS[dims, call.args[3]] * products
    return Cost("gather", ops=Ops(muls=each, adds=each).times(grad.numel))


@register_formula("aten::max_unpool2d", "aten::max_unpool3d")
def max_unpool(call: OpCall) -> Cost:
    """Zeros, with the values at their places."""
    return Cost("gather")


@register_formula("aten::fractional_max_pool2d", "aten::fractional_max_pool3d")
def fractional_max_pool(call: OpCall) -> Cost:
    """(input, kernel, output_size, random): every window lies inside the image."""
    taps = call.out.numel * prod(_spread(call.args[1], int(call.name[-2]), ()))
    return Cost("pool", ops=ops("max_pool").times(taps)).with_traffic(writes=_kept(call))
