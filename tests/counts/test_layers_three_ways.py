"""Closed form == CountingOps == independent loops for rows, pointwise functions, pooling, copies and optimiser steps,
backward and forward, on every rung; and equal to the model counter's rows of the torch twin in the same direction.
"""

import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - the name that torch's own documentation uses

from energybench import kernels
from energybench.counting import count_model, count_optimizer_step
from energybench.records.op_counts import OpCounts

DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])


def normal(seed, *shape, dtype="float32"):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


# ---- the loops: each follows the definition in docs/kernels/ and tallies where it computes


def of_elements(*names):
    """Loops of a function of one element; `names` are read in this order."""

    def decorate(function):
        def loops(m, *arrays, **options):
            y = np.zeros_like(arrays[0])
            for i in np.ndindex(*y.shape):
                values = [m.read(a, i) for a in arrays]
                m.write(y, i, function(m, *values, **options))
            return y

        return loops

    assert names
    return decorate


@of_elements("x")
def leaky_relu(m, x, *, negative_slope):
    scaled = m.do("muls", negative_slope * x)
    return m.do("compares", x if x > 0 else scaled)


@of_elements("x", "other")
def add(m, x, other):
    return m.do("adds", x + other)


@of_elements("grad", "y")
def relu_backward(m, grad, y):
    return m.do("compares", grad if y > 0 else 0.0)


@of_elements("grad", "x")
def leaky_relu_backward(m, grad, x, *, negative_slope):
    scaled = m.do("muls", negative_slope * grad)
    return m.do("compares", grad if x > 0 else scaled)


@of_elements("grad", "y")
def sigmoid_backward(m, grad, y):
    return m.do("muls", m.do("muls", grad * y) * m.do("adds", 1 - y))


@of_elements("grad", "y")
def tanh_backward(m, grad, y):
    return m.do("muls", grad * m.do("adds", 1 - m.do("muls", y * y)))


@of_elements("grad", "x")
def gelu_backward(m, grad, x):
    phi = m.do("muls", 0.5 * m.do("adds", 1 + m.do("specials", math.erf(m.do("muls", x / math.sqrt(2))))))
    bell = m.do("specials", math.exp(m.do("muls", -0.5 * m.do("muls", x * x))))
    density = m.do("muls", bell / math.sqrt(2 * math.pi))
    return m.do("muls", grad * m.do("adds", phi + m.do("muls", x * density)))


def positional_encoding(m, x, table):
    y = np.zeros_like(x)
    for b, s, d in np.ndindex(*x.shape):
        m.write(y, (b, s, d), m.do("adds", m.read(x, (b, s, d)) + m.read(table, (s, d))))
    return y


def step_of(update):
    """Loops of an optimiser's step; `update` makes the new state and the new parameter of one parameter."""

    def loops(m, w, grad, *state, weight_decay=0.0, **options):
        results = [np.zeros_like(w) for _ in range(1 + len(state))]
        for i in np.ndindex(*w.shape):
            value, slope = m.read(w, i), m.read(grad, i)
            if weight_decay:
                slope = m.do("adds", slope + m.do("muls", weight_decay * value))
            new = update(m, value, slope, *(m.read(s, i) for s in state), **options)
            for result, number in zip(results, new, strict=True):
                m.write(result, i, number)
        return tuple(results)

    return loops


@step_of
def sgd_step(m, w, g, *, lr):
    return (m.do("adds", w - m.do("muls", lr * g)),)


@step_of
def momentum_step(m, w, g, v, *, lr, momentum):
    v = m.do("adds", m.do("muls", momentum * v) + g)
    return m.do("adds", w - m.do("muls", lr * v)), v


@step_of
def adam_step(m, w, g, first, second, *, step, lr, betas, eps):
    b1, b2 = betas
    first = m.do("adds", first + m.do("muls", (1 - b1) * m.do("adds", g - first)))
    square = m.do("muls", (1 - b2) * m.do("muls", g * g))
    second = m.do("adds", m.do("muls", b2 * second) + square)
    root = m.do("divs", m.do("specials", math.sqrt(second)) / math.sqrt(1 - b2**step))
    scaled = m.do("muls", lr / (1 - b1**step) * first)
    return m.do("adds", w - m.do("divs", scaled / m.do("adds", root + eps))), first, second


def softmax_backward(m, grad, y):
    dx, columns = np.zeros_like(y), range(y.shape[-1])
    for row in np.ndindex(*y.shape[:-1]):
        total = 0.0
        for i in columns:
            total = m.do("adds", total + m.do("muls", m.read(grad, (*row, i)) * m.read(y, (*row, i))))
        for i in columns:
            difference = m.do("adds", m.read(grad, (*row, i)) - total)
            m.write(dx, (*row, i), m.do("muls", m.read(y, (*row, i)) * difference))
    return dx


def log_softmax(m, x):
    y, columns = np.zeros_like(x), range(x.shape[-1])
    for row in np.ndindex(*x.shape[:-1]):
        largest, total = -math.inf, 0.0
        for i in columns:
            largest = m.do("compares", max(largest, m.read(x, (*row, i))))
        for i in columns:
            difference = m.do("adds", m.read(x, (*row, i)) - largest)
            total = m.do("adds", total + m.do("specials", math.exp(difference)))
            m.write(y, (*row, i), difference)
        log_total = m.do("specials", math.log(total))
        for i in columns:
            m.write(y, (*row, i), m.do("adds", m.read(y, (*row, i)) - log_total))
    return y


def log_softmax_backward(m, grad, y):
    dx, columns = np.zeros_like(y), range(y.shape[-1])
    for row in np.ndindex(*y.shape[:-1]):
        total = 0.0
        for i in columns:
            total = m.do("adds", total + m.read(grad, (*row, i)))
        for i in columns:
            share = m.do("muls", m.do("specials", math.exp(m.read(y, (*row, i)))) * total)
            m.write(dx, (*row, i), m.do("adds", m.read(grad, (*row, i)) - share))
    return dx


def layer_norm(m, x, weight=None, bias=None, *, eps, return_statistics):
    assert return_statistics  # without is in test_three_ways.py
    y, n, rows = np.zeros_like(x), x.shape[-1], x.shape[:-1]
    mean, rstd = np.zeros(rows, x.dtype), np.zeros(rows, x.dtype)
    for row in np.ndindex(*rows):
        total, squares = 0.0, 0.0
        for i in range(n):
            total = m.do("adds", total + m.read(x, (*row, i)))
        mu = m.do("divs", total / n)
        for i in range(n):
            difference = m.do("adds", m.read(x, (*row, i)) - mu)
            squares = m.do("adds", squares + m.do("muls", difference**2))
            m.write(y, (*row, i), difference)
        scale = m.do("specials", m.do("adds", m.do("divs", squares / n) + eps) ** -0.5)
        for i in range(n):
            value = m.do("muls", m.read(y, (*row, i)) * scale)
            if weight is not None:
                value = m.do("muls", value * m.read(weight, i))
            if bias is not None:
                value = m.do("adds", value + m.read(bias, i))
            m.write(y, (*row, i), value)
        m.write(mean, row, mu)
        m.write(rstd, row, scale)
    return y, mean, rstd


def layer_norm_backward(m, grad, x, mean, rstd, weight=None, *, has_bias=None, chunk=None):
    """`chunk`: rows whose columns are summed together, as the tuned rungs do; None is all, as the naive one does."""
    has_bias = weight is not None if has_bias is None else has_bias
    n = x.shape[-1]
    g2, x2, mu, scale = grad.reshape(-1, n), x.reshape(-1, n), mean.reshape(-1), rstd.reshape(-1)
    rows = len(x2)
    hat, gw, dx = np.zeros_like(x2), np.zeros_like(x2), np.zeros_like(x2)
    dweight = np.zeros(n, x.dtype) if weight is not None else None
    dbias = np.zeros(n, x.dtype) if has_bias else None
    for r in range(rows):
        row_mean, row_scale = m.read(mu, r), m.read(scale, r)
        for i in range(n):
            m.write(hat, (r, i), m.do("muls", m.do("adds", m.read(x2, (r, i)) - row_mean) * row_scale))
    for r in range(rows):
        total, projected = 0.0, 0.0
        for i in range(n):
            g = m.read(g2, (r, i))
            if weight is not None:
                g = m.do("muls", g * m.read(weight, i))
                m.write(gw, (r, i), g)
            total = m.do("adds", total + g)
            # the naive rung reads x̂ back; the tuned ones have it still
            x_hat = m.read(hat, (r, i)) if chunk is None else float(hat[r, i])
            projected = m.do("adds", projected + m.do("muls", g * x_hat))
        c1, c2 = m.do("divs", total / n), m.do("divs", projected / n)
        row_scale = m.read(scale, r) if chunk is None else float(scale[r])
        for i in range(n):
            g = m.read(gw if weight is not None else g2, (r, i))
            rest = m.do("adds", m.do("adds", g - c1) - m.do("muls", m.read(hat, (r, i)) * c2))
            m.write(dx, (r, i), m.do("muls", row_scale * rest))
    for result, of_weight in ((dweight, True), (dbias, False)):
        if result is None:
            continue
        for i in range(n):
            total = 0.0
            for first in range(0, rows, chunk or rows):
                part = None
                for r in range(first, min(rows, first + (chunk or rows))):
                    # grad is read once for both sums
                    grad_here = float(g2[r, i]) if not of_weight and dweight is not None else m.read(g2, (r, i))
                    term = m.do("muls", grad_here * m.read(hat, (r, i))) if of_weight else grad_here
                    if chunk is None:
                        total = m.do("adds", total + term)
                    else:
                        part = term if part is None else m.do("adds", part + term)
                if chunk is not None:
                    sums = np.zeros(1, x.dtype)
                    m.write(sums, 0, part)
                    total = m.do("adds", total + m.read(sums, 0))
            m.write(result, i, total)
    return dx.reshape(x.shape), dweight, dbias


def max_pool2d(m, x, *, kernel_size, stride, padding=(0, 0), dilation=(1, 1), return_indices):
    assert return_indices  # without is in test_three_ways.py
    (N, C, H, W), (KH, KW), (dh, dw) = x.shape, kernel_size, dilation
    rows = range(-padding[0], H + padding[0] - dh * (KH - 1), stride[0])
    columns = range(-padding[1], W + padding[1] - dw * (KW - 1), stride[1])
    y = np.zeros((N, C, len(rows), len(columns)), x.dtype)
    winners = np.zeros(y.shape, "int64")
    for n, c, oh, ow in np.ndindex(*y.shape):
        best, place = -math.inf, None
        for kh, kw in np.ndindex(KH, KW):
            ih, iw = rows[oh] + kh * dh, columns[ow] + kw * dw
            if 0 <= ih < H and 0 <= iw < W:
                value = m.read(x, (n, c, ih, iw))
                larger = m.do("compares", value > best)
                best, place = (value, ih * W + iw) if larger else (best, place)
        m.write(y, (n, c, oh, ow), best)
        m.write(winners, (n, c, oh, ow), place)
    return y, winners


def max_pool2d_backward(m, grad, indices, *, input_size, **_window):
    dx = np.zeros((*grad.shape[:2], *input_size), grad.dtype)
    for i in np.ndindex(*dx.shape):
        m.write(dx, i, 0.0)
    for n, c, oh, ow in np.ndindex(*grad.shape):
        place = int(m.read(indices, (n, c, oh, ow)))
        target = (n, c, place // input_size[1], place % input_size[1])
        m.write(dx, target, m.do("adds", m.read(dx, target) + m.read(grad, (n, c, oh, ow))))
    return dx


def avg_pool2d_backward(m, grad, *, input_size, kernel_size, stride, padding=(0, 0), row_of_shares=False):
    (KH, KW), (H, W) = kernel_size, input_size
    dx = np.zeros((*grad.shape[:2], H, W), grad.dtype)
    for i in np.ndindex(*dx.shape):
        m.write(dx, i, 0.0)
    for n, c, oh, ow in np.ndindex(*grad.shape):
        share = np.array([m.do("divs", m.read(grad, (n, c, oh, ow)) / (KH * KW))], grad.dtype)
        if row_of_shares:
            m.write(share, 0, share[0])
        for kh, kw in np.ndindex(KH, KW):
            ih, iw = oh * stride[0] - padding[0] + kh, ow * stride[1] - padding[1] + kw
            if 0 <= ih < H and 0 <= iw < W:
                mine = m.read(share, 0) if row_of_shares else float(share[0])
                m.write(dx, (n, c, ih, iw), m.do("adds", m.read(dx, (n, c, ih, iw)) + mine))
    return dx


NUMPY_MODES: dict[str, Any] = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}


def places(H, W, padding, mode):
    """For each output of a padded H × W image the pixel that it stands for, by numpy; −1: none."""
    left, right, top, bottom = padding
    pixels, sides = np.arange(H * W).reshape(H, W), ((top, bottom), (left, right))
    if mode == "zeros":
        return np.pad(pixels, sides, constant_values=-1)
    return np.pad(pixels, sides, NUMPY_MODES[mode])


def pad2d(m, x, *, padding, mode):
    W = x.shape[3]
    of = places(x.shape[2], x.shape[3], padding, mode)
    y = np.zeros((*x.shape[:2], *of.shape), x.dtype)
    for n, c, oh, ow in np.ndindex(*y.shape):
        pixel = of[oh, ow]
        m.write(y, (n, c, oh, ow), 0.0 if pixel < 0 else m.read(x, (n, c, pixel // W, pixel % W)))
    return y


def pad2d_backward(m, grad, *, padding, mode):
    left, right, top, bottom = padding
    H, W = grad.shape[2] - top - bottom, grad.shape[3] - left - right
    of, dx = places(H, W, padding, mode), np.zeros((*grad.shape[:2], H, W), grad.dtype)
    if mode == "zeros":
        for n, c, h, w in np.ndindex(*dx.shape):
            m.write(dx, (n, c, h, w), m.read(grad, (n, c, h + top, w + left)))
        return dx
    for i in np.ndindex(*dx.shape):
        m.write(dx, i, 0.0)
    for n, c, oh, ow in np.ndindex(*grad.shape):
        target = (n, c, of[oh, ow] // W, of[oh, ow] % W)
        m.write(dx, target, m.do("adds", m.read(dx, target) + m.read(grad, (n, c, oh, ow))))
    return dx


def moved(order):
    """Loops of a change of layout: y's axis i is x's axis order[i]."""

    def loops(m, x, **_options):
        y = np.zeros([x.shape[axis] for axis in order], x.dtype)
        for i in np.ndindex(*y.shape):
            m.write(y, i, m.read(x, tuple(i[order.index(axis)] for axis in range(len(order)))))
        return y

    return loops


def split_heads(m, x, *, heads):
    return moved((0, 2, 1, 3))(m, x.reshape(*x.shape[:2], heads, -1))


def merge_heads(m, x):
    return moved((0, 2, 1, 3))(m, x).reshape(len(x), x.shape[2], -1)


def concat_channels(m, *parts):
    y = np.zeros((len(parts[0]), sum(p.shape[1] for p in parts), *parts[0].shape[2:]), parts[0].dtype)
    channel = 0
    for part in parts:
        for n, c, *rest in np.ndindex(*part.shape):
            m.write(y, (n, channel + c, *rest), m.read(part, (n, c, *rest)))
        channel += part.shape[1]
    return y


def embedding(m, indices, table):
    y = np.zeros((*indices.shape, table.shape[1]), table.dtype)
    for i in np.ndindex(*indices.shape):
        row = int(m.read(indices, i))
        for d in range(table.shape[1]):
            m.write(y, (*i, d), m.read(table, (row, d)))
    return y


#: Kernel → loops; and what a tuned rung's loops do otherwise.
LOOPS = {
    f.__name__: f
    for f in (
        positional_encoding,
        softmax_backward,
        log_softmax,
        log_softmax_backward,
        layer_norm,
        layer_norm_backward,
        max_pool2d,
        max_pool2d_backward,
        avg_pool2d_backward,
        pad2d,
        pad2d_backward,
        split_heads,
        merge_heads,
        concat_channels,
        embedding,
    )
} | {
    "nchw_to_nhwc": moved((0, 2, 3, 1)),
    "nhwc_to_nchw": moved((0, 3, 1, 2)),
    "leaky_relu": leaky_relu,
    "add": add,
    "relu_backward": relu_backward,
    "leaky_relu_backward": leaky_relu_backward,
    "sigmoid_backward": sigmoid_backward,
    "tanh_backward": tanh_backward,
    "gelu_backward": gelu_backward,
    "sgd_step": sgd_step,
    "momentum_step": momentum_step,
    "adam_step": adam_step,
}
TUNED: dict[str, dict[str, Any]] = {
    "layer_norm_backward": {"chunk": 32},
    "avg_pool2d_backward": {"row_of_shares": True},
}
WEIGHTS = {
    "layer_norm": (1, 2),
    "layer_norm_backward": (4,),
    "embedding": (1,),
    "sgd_step": (0,),
    "momentum_step": (0,),
    "adam_step": (0,),
}


class Machine:
    """Arithmetic and memory that tally themselves, work by name and traffic by element type."""

    def __init__(self, weights=()):
        self.work: dict[str, int] = {}
        self.moved: dict[str, dict[str, int]] = {}
        self._weights = [id(w) for w in weights if w is not None]

    def do(self, name, value):
        self.work[name] = self.work.get(name, 0) + 1
        return value

    def _move(self, array, names):
        moved = self.moved.setdefault(str(array.dtype), {})
        for name in names:
            moved[name] = moved.get(name, 0) + (array.itemsize if name.endswith("bytes") else 1)

    def read(self, array, index):
        more = ("weight_load_bytes",) if id(array) in self._weights else ()
        self._move(array, ("loads", "load_bytes", *more))
        return float(array[index])

    def write(self, array, index, value):
        self._move(array, ("stores", "store_bytes"))
        array[index] = value

    def tallies(self, dtype):
        by_dtype = {name: dict(moved) for name, moved in self.moved.items()}
        by_dtype.setdefault(dtype, {}).update(self.work)
        return by_dtype


def by_dtype(counts: OpCounts) -> dict[str, dict[str, int]]:
    return {name: tallies.to_dict() for name, tallies in counts.by_dtype.items()}


def as_tuple(result):
    return result if isinstance(result, tuple) else (result,)


@pytest.fixture(scope="session")
def agree(agree_with_loops, roundings_of_largest):
    """Assert that a call counts the same three ways on every rung, and that counting changes no bit of its results."""

    def check(kernel, *arrays, **options):
        dtype = next(str(a.dtype) for a in arrays if a.dtype.kind == "f")
        rungs = [s.variant for s in kernels.list_kernels() if s.name == kernel and s.dtype == dtype and s.runnable]
        assert rungs[0] == "naive"
        for rung in rungs:
            own = TUNED.get(kernel, {}) if rung != "naive" else {}
            m = Machine([arrays[i] for i in WEIGHTS.get(kernel, ()) if i < len(arrays)])
            expected = as_tuple(LOOPS[kernel](m, *arrays, **options, **own))
            counted = kernels.counted_run(kernel, *arrays, variant=rung, threads=2, **options)
            issued = kernels.count(kernel, *arrays, variant=rung, basis="issued", **options)
            assert counted.counts == issued, f"{rung}: CountingOps against closed form"
            assert by_dtype(issued) == m.tallies(dtype), f"{rung}: closed form against loops"
            compulsory = kernels.count(kernel, *arrays, variant=rung, **options)
            assert compulsory.other_flops == issued.other_flops
            assert compulsory.launches == issued.launches == 1
            outputs = [o for o in expected if o is not None]
            given = [a for a in arrays if a is not None]
            assert compulsory.loads == sum(a.size for a in given), f"{rung}: each input once"
            assert compulsory.load_bytes == sum(a.nbytes for a in given)
            assert compulsory.store_bytes == sum(o.nbytes for o in outputs), f"{rung}: each output once"
            plain = as_tuple(getattr(kernels, kernel)(*arrays, variant=rung, threads=1, **options))
            agree_with_loops(
                rung, counted.outputs, plain, expected, roundings_of_largest(expected, sum(m.work.values()))
            )

    return check


SHAPES = [(1,), (13,), (3, 2, 17)]
POINTWISE: dict[str, dict[str, Any]] = {
    "leaky_relu": {"negative_slope": 0.25},
    "add": {},
    "relu_backward": {},
    "leaky_relu_backward": {"negative_slope": 0.25},
    "sigmoid_backward": {},
    "tanh_backward": {},
    "gelu_backward": {},
}


@DTYPES
@pytest.mark.parametrize("kernel", POINTWISE)
def test_pointwise(agree, kernel, dtype):
    for shape in SHAPES:
        arrays = [normal(seed, *shape, dtype=dtype) for seed in range(1 if kernel == "leaky_relu" else 2)]
        agree(kernel, *arrays, **POINTWISE[kernel])


@DTYPES
def test_positional_encoding(agree, dtype):
    agree("positional_encoding", normal(1, 3, 5, 7, dtype=dtype), normal(2, 5, 7, dtype=dtype))


@DTYPES
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_optimiser_steps(agree, decay, dtype):
    for shape in SHAPES:
        w, grad, m, v = (normal(seed, *shape, dtype=dtype) for seed in range(4))
        agree("sgd_step", w, grad, lr=0.1, weight_decay=decay)
        agree("momentum_step", w, grad, m, lr=0.1, momentum=0.5, weight_decay=decay)
        options: Any = {"step": 3, "lr": 0.1, "betas": (0.5, 0.75), "eps": 1e-3, "weight_decay": decay}
        agree("adam_step", w, grad, m, np.abs(v), **options)


@DTYPES
@pytest.mark.parametrize("kernel", ["log_softmax", "softmax_backward", "log_softmax_backward"])
def test_rows(agree, kernel, dtype):
    for shape in [*SHAPES, (2, 77)]:
        agree(kernel, *(normal(seed, *shape, dtype=dtype) for seed in range(1 if kernel == "log_softmax" else 2)))


@DTYPES
def test_a_product_too_few_of_small_numbers_is_beyond_the_bound(roundings_of_largest, dtype):
    grad, y = ((0.5 + np.abs(normal(seed, 3, 77))).astype(dtype) / 1000 for seed in (1, 2))
    m = Machine()
    dx = softmax_backward(m, grad, y)
    (bound,) = roundings_of_largest((dx,), sum(m.work.values()))
    products = grad.astype("float64") * y
    assert (np.abs(y * (grad - products.sum(-1, keepdims=True)) - dx) <= bound).all()
    assert (np.abs(y * (grad - products[:, 1:].sum(-1, keepdims=True)) - dx) > bound).all()
    assert bound < 1e-10


@DTYPES
@pytest.mark.parametrize("weights", ["none", "weight", "bias", "both"])
@pytest.mark.parametrize("shape", [(7,), (2, 3, 5), (67, 3), (2, 70)])
def test_layer_norm_and_its_gradients(agree, shape, weights, dtype):
    x, grad = normal(1, *shape, dtype=dtype), normal(2, *shape, dtype=dtype)
    weight = normal(3, shape[-1], dtype=dtype) if weights in ("weight", "both") else None
    bias = normal(4, shape[-1], dtype=dtype) if weights in ("bias", "both") else None
    agree("layer_norm", x, weight, bias, eps=0.1, return_statistics=True)
    mean = np.asarray(x.mean(-1))
    rstd = np.asarray((x.var(-1) + 0.1) ** -0.5, dtype=x.dtype)
    agree("layer_norm_backward", grad, x, mean, rstd, weight, has_bias=bias is not None)


POOLS: list[tuple[tuple[int, ...], dict[str, Any]]] = [
    ((1, 1, 1, 1), {"kernel_size": (1, 1), "stride": (1, 1)}),
    ((2, 3, 7, 9), {"kernel_size": (3, 2), "stride": (2, 3)}),
    ((2, 1, 6, 41), {"kernel_size": (3, 3), "stride": (2, 1), "padding": (1, 1)}),
    ((1, 1, 5, 43), {"kernel_size": (3, 3), "stride": (2, 2), "padding": (1, 1)}),
    ((1, 2, 2, 3), {"kernel_size": (4, 2), "stride": (1, 2), "padding": (2, 1)}),
]


@DTYPES
@pytest.mark.parametrize(("shape", "options"), POOLS)
def test_pools(agree, shape, options, dtype):
    x = normal(1, *shape, dtype=dtype)
    agree("max_pool2d", x, **options, return_indices=True)
    y, indices = kernels.max_pool2d(x, **options, return_indices=True)
    grad = normal(2, *y.shape, dtype=dtype)
    agree("max_pool2d_backward", grad, indices, input_size=shape[2:], **options)
    agree("avg_pool2d_backward", grad, input_size=shape[2:], **options)


#: left, right, top, bottom; rows shorter than a vector, and longer.
PADS: list[tuple[tuple[int, ...], tuple[int, int, int, int]]] = [
    ((1, 1, 1, 1), (0, 0, 0, 0)),
    ((2, 3, 4, 5), (2, 1, 0, 3)),
    ((1, 2, 3, 39), (1, 2, 2, 1)),
]


@DTYPES
@pytest.mark.parametrize("mode", ["zeros", "reflect", "replicate", "circular"])
@pytest.mark.parametrize(("shape", "padding"), PADS)
def test_padding(agree, shape, padding, mode, dtype):
    x = normal(1, *shape, dtype=dtype)
    agree("pad2d", x, padding=padding, mode=mode)
    left, right, top, bottom = padding
    grad = normal(2, *shape[:2], shape[2] + top + bottom, shape[3] + left + right, dtype=dtype)
    agree("pad2d_backward", grad, padding=padding, mode=mode)


@DTYPES
@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 3, 4, 5), (1, 19, 2, 17), (2, 35, 3, 11)])
def test_layouts(agree, shape, dtype):
    x = normal(1, *shape, dtype=dtype)
    for kernel in ("nchw_to_nhwc", "nhwc_to_nchw", "merge_heads"):
        agree(kernel, x)
    agree("split_heads", x.reshape(shape[0], shape[2], -1), heads=shape[1])


@DTYPES
def test_joins_and_rows_of_a_table(agree, dtype):
    parts = [normal(c, 2, c, 3, 5, dtype=dtype) for c in (1, 4, 2)]
    agree("concat_channels", *parts)
    agree("concat_channels", parts[0])
    agree("embedding", np.array([[0, 2, 1], [2, 2, 0]]), normal(1, 3, 19, dtype=dtype))


def test_counts_do_not_depend_on_threads():
    x, grad = normal(1, 70, 33), normal(2, 70, 33)
    mean, rstd = x.mean(-1), x.std(-1)
    for threads in (1, 2, 5):
        run = kernels.counted_run("layer_norm_backward", grad, x, mean, rstd, grad[0], threads=threads)
        assert run.counts == kernels.count("layer_norm_backward", grad, x, mean, rstd, grad[0], basis="issued")


# ---- torch twins, by direction
SHARED = ("macs", "nominal_macs", "other_flops", "load_bytes", "store_bytes")


def of_direction(direction, twin, *inputs):
    model = count_model(twin, *inputs, strict=True, backward=True)
    total = OpCounts.sum([row.counts for row in model.rows if row.direction == direction])
    return {name: getattr(total, name) for name in SHARED}


def of_native(kernel, *arrays, **options):
    counts = kernels.count(kernel, *arrays, **options)
    return {name: getattr(counts, name) for name in SHARED}


X = torch.randn(3, 4, 5)
IMAGE = torch.randn(2, 3, 9, 8)
POOL: dict[str, Any] = {"kernel_size": (3, 2), "stride": 2, "padding": 1}
BACKWARD_TWINS: dict[str, tuple[tuple[Any, ...], dict[str, Any], Any]] = {
    "relu_backward": ((X, X), {}, F.relu),
    "leaky_relu_backward": ((X, X), {}, F.leaky_relu),
    "sigmoid_backward": ((X, X), {}, torch.sigmoid),
    "tanh_backward": ((X, X), {}, torch.tanh),
    "gelu_backward": ((X, X), {}, F.gelu),
    "softmax_backward": ((X, X), {}, lambda x: F.softmax(x, -1)),
    "log_softmax_backward": ((X, X), {}, lambda x: F.log_softmax(x, -1)),
    "layer_norm_backward": ((X, X, X[..., 0], X[..., 0]), {"has_bias": False}, lambda x: F.layer_norm(x, (5,))),
    "max_pool2d_backward": (
        (torch.zeros(2, 3, 5, 5), torch.zeros(2, 3, 5, 5, dtype=torch.int64)),
        {"input_size": (9, 8), **POOL},
        lambda x: F.max_pool2d(x, **POOL),
    ),
    "avg_pool2d_backward": (
        (torch.zeros(2, 3, 5, 5),),
        {"input_size": (9, 8), **POOL},
        lambda x: F.avg_pool2d(x, **POOL),
    ),
}


SIDES: Any = {"padding": (2, 1, 0, 3)}


@pytest.mark.parametrize(
    ("mode", "torchs"), [("zeros", "constant"), ("reflect", "reflect"), ("replicate", "replicate")]
)
def test_padding_counts_as_its_torch_twin_in_both_directions(mode, torchs):
    def twin(x):
        return F.pad(x, SIDES["padding"], mode=torchs)

    x = IMAGE.clone().requires_grad_()
    assert of_native("pad2d", IMAGE, mode=mode, **SIDES) == of_direction("forward", twin, x)
    assert of_native("pad2d_backward", twin(IMAGE), mode=mode, **SIDES) == of_direction("backward", twin, x)


def test_circular_padding_counts_less_than_torch_by_what_torch_copies_twice():
    # torch copies the image and then, side by side, whole borders from the result; its backward pass undoes each copy
    def twin(x):
        return F.pad(x, SIDES["padding"], mode="circular")

    (N, C, _, _), (_, _, H_out, W_out) = IMAGE.shape, twin(IMAGE).shape
    left, right, top, bottom = SIDES["padding"]
    borders = N * C * ((left + right) * H_out + (top + bottom) * W_out)
    native, model = kernels.count("pad2d", IMAGE, mode="circular", **SIDES), count_model(twin, IMAGE, strict=True).total
    assert (model.loads, model.stores) == (IMAGE.numel() + borders, IMAGE.numel() + borders)
    assert (native.loads, native.stores) == (IMAGE.numel(), N * C * H_out * W_out)
    assert (native.launches, model.launches) == (1, 1 + 3)


@pytest.mark.parametrize("kernel", BACKWARD_TWINS)
def test_gradients_count_as_the_backward_pass_of_the_torch_twin(kernel):
    arrays, options, twin = BACKWARD_TWINS[kernel]
    x = (IMAGE if "pool" in kernel else X).clone().requires_grad_()
    assert of_native(kernel, *arrays, **options) == of_direction("backward", twin, x)


def test_layer_norm_counts_as_its_torch_twin_in_both_directions():
    module = torch.nn.LayerNorm(5)
    x, w = X.clone().requires_grad_(), module.weight.detach()
    kept = X[..., 0]
    assert of_native("layer_norm", X, w, w, return_statistics=True) == of_direction("forward", module, x)
    assert of_native("layer_norm_backward", X, X, kept, kept, w) == of_direction("backward", module, x)


def test_max_pool_with_indices_counts_as_its_torch_twin():
    x = IMAGE.clone().requires_grad_()
    twin = of_direction("forward", lambda x: F.max_pool2d(x, **POOL), x)
    assert of_native("max_pool2d", IMAGE, return_indices=True, **POOL) == twin


@pytest.mark.parametrize(
    ("kernel", "arrays", "twin"),
    [
        ("leaky_relu", (X,), F.leaky_relu),
        ("log_softmax", (X,), lambda x: F.log_softmax(x, -1)),
        ("add", (X, X + 1), lambda x, y: x + y),
        ("positional_encoding", (X, X[0] + 1), lambda x, table: x + table),
        ("nchw_to_nhwc", (IMAGE,), lambda x: x.permute(0, 2, 3, 1).contiguous()),
        ("nhwc_to_nchw", (IMAGE,), lambda x: x.permute(0, 3, 1, 2).contiguous()),
        ("merge_heads", (IMAGE,), lambda x: x.transpose(1, 2).contiguous()),
        ("concat_channels", (IMAGE, IMAGE + 1), lambda x, y: torch.cat([x, y], 1)),
        ("embedding", (torch.tensor([[1, 2], [0, 0]]), X[0] + 0), F.embedding),
        ("embedding", (torch.zeros(70, dtype=torch.int64), X[0] + 0), F.embedding),
    ],
)
def test_forward_counts_as_the_torch_twin(kernel, arrays, twin):
    model = count_model(twin, *arrays, strict=True).total
    assert of_native(kernel, *arrays) == {name: getattr(model, name) for name in SHARED}


@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize(("optimiser", "states"), [("sgd", 0), ("momentum", 1), ("adam", 2)])
def test_steps_count_as_the_model_counters(optimiser, states, decay):
    module = torch.nn.Linear(7, 3, bias=False)
    w = module.weight.detach()
    options: Any = {"lr": 0.1, "weight_decay": decay, **({"step": 1} if optimiser == "adam" else {})}
    native = of_native(f"{optimiser}_step", w, *[w] * (1 + states), **options)
    model = count_optimizer_step(module, optimiser, weight_decay=bool(decay)).total
    assert native == {name: getattr(model, name) for name in SHARED}
    counts = kernels.count(f"{optimiser}_step", w, *[w] * (1 + states), **options)
    assert counts.weight_load_bytes == model.weight_load_bytes == w.numel() * 4
