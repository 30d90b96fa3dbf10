"""The independent count: plain Python loops that compute a kernel number by number and tally what they do.

They share nothing with the closed forms or the C++: each loop follows the definition in the operator's page
(docs/kernels/), tallies where it computes, and returns its outputs too, so that a test can see that the loops do
the work they claim.
"""

import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest


class Machine:
    """Arithmetic and memory that tally themselves."""

    def __init__(self, weights: tuple[Any, ...] = ()) -> None:
        self.tally: Counter[str] = Counter()
        self._weights = [id(w) for w in weights]

    def read(self, array: Any, index: Any) -> float:
        self.tally["loads"] += 1
        self.tally["load_bytes"] += array.itemsize
        if id(array) in self._weights:
            self.tally["weight_load_bytes"] += array.itemsize
        return float(array[index])

    def write(self, array: Any, index: Any, value: float) -> None:
        self.tally["stores"] += 1
        self.tally["store_bytes"] += array.itemsize
        array[index] = value

    def mac(self, a: float, b: float, c: float) -> float:
        self.tally["macs"] += 1
        self.tally["nominal_macs"] += 1
        return a * b + c

    def do(self, name: str, value: float) -> float:
        self.tally[name] += 1
        return value

    def sigmoid(self, a: float) -> float:
        self.tally.update(specials=1, adds=1, divs=1)
        return 1 / (1 + math.exp(-a))

    def tanh(self, a: float) -> float:
        self.tally["specials"] += 1
        return math.tanh(a)


def conv2d(x, w, bias=None, *, stride=(1, 1), padding=(0, 0), dilation=(1, 1), groups=1, algorithm="auto"):
    del algorithm  # the work is the same
    m = Machine((w, bias))
    N, _, H, W = x.shape
    C_out, channels, KH, KW = w.shape
    H_out = len(range(-padding[0], H + padding[0] - dilation[0] * (KH - 1), stride[0]))
    W_out = len(range(-padding[1], W + padding[1] - dilation[1] * (KW - 1), stride[1]))
    y = np.zeros((N, C_out, H_out, W_out), x.dtype)
    for n, co, oh, ow in np.ndindex(*y.shape):
        group = co // (C_out // groups)
        acc = 0.0
        for ci, kh, kw in np.ndindex(channels, KH, KW):
            ih, iw = oh * stride[0] - padding[0] + kh * dilation[0], ow * stride[1] - padding[1] + kw * dilation[1]
            if 0 <= ih < H and 0 <= iw < W:
                acc = m.mac(m.read(w, (co, ci, kh, kw)), m.read(x, (n, group * channels + ci, ih, iw)), acc)
            else:
                m.tally["nominal_macs"] += 1
        if bias is not None:
            acc = m.do("adds", acc + m.read(bias, co))
        m.write(y, (n, co, oh, ow), acc)
    return (y,), m.tally


def conv1d(x, w, bias=None, *, stride=1, padding=0, dilation=1, groups=1, algorithm="auto"):
    """Images of one row."""
    del algorithm
    pairs = {"stride": (1, stride), "padding": (0, padding), "dilation": (1, dilation), "groups": groups}
    (y,), tally = conv2d(x[:, :, None], w[:, :, None], bias, **pairs)
    return (y[:, :, 0],), tally


def channels_first(array):
    return array.transpose(0, 3, 1, 2)


def conv2d_nhwc(x, w, bias=None, **options):
    """The same sums and reads in another layout."""
    (y,), tally = conv2d(channels_first(x), channels_first(w), bias, **options)
    return (y.transpose(0, 2, 3, 1),), tally


def conv2d_backward(
    grad, x, w, *, has_bias=False, stride=(1, 1), padding=(0, 0), dilation=(1, 1), groups=1, algorithm="auto"
):
    del algorithm
    m = Machine((w,))
    channels, (H, W) = w.shape[1], x.shape[2:]
    pairs = []  # each product of the forward pass, by its output, its weight and its input
    for n, co, oh, ow in np.ndindex(*grad.shape):
        first = co // (len(w) // groups) * channels
        for ci, kh, kw in np.ndindex(*w.shape[1:]):
            ih, iw = oh * stride[0] - padding[0] + kh * dilation[0], ow * stride[1] - padding[1] + kw * dilation[1]
            if 0 <= ih < H and 0 <= iw < W:
                pairs.append(((n, co, oh, ow), (co, ci, kh, kw), (n, first + ci, ih, iw)))
            else:
                m.tally["nominal_macs"] += 2
    dx, dw, db = np.zeros_like(x), np.zeros_like(w), np.zeros(len(w), x.dtype) if has_bias else None
    for of_grad, of_w, of_x in pairs:
        dx[of_x] = m.mac(m.read(grad, of_grad), m.read(w, of_w), dx[of_x])
        dw[of_w] = m.mac(m.read(grad, of_grad), m.read(x, of_x), dw[of_w])
    for result in (dx, dw):
        for index in np.ndindex(*result.shape):
            m.write(result, index, result[index])
    if has_bias:
        for co in range(len(w)):
            total = 0.0
            for n, oh, ow in np.ndindex(len(x), *grad.shape[2:]):
                total = m.do("adds", total + m.read(grad, (n, co, oh, ow)))
            m.write(db, co, total)
    return (dx, dw, db), m.tally


def copies_of_layout(tally, *arrays):
    """A copy of each array, with channels in its last dimension, whose layout changes."""
    for array in arrays:
        if array.shape[1] * array.shape[2] > 1 and array.shape[3] > 1:
            tally.update(loads=array.size, stores=array.size, load_bytes=array.nbytes, store_bytes=array.nbytes)


def conv2d_nhwc_backward(grad, x, w, **options):
    (dx, dw, db), tally = conv2d_backward(*map(channels_first, (grad, x, w)), **options)
    copies_of_layout(tally, grad, x, w, x, w)
    return (dx.transpose(0, 2, 3, 1), dw.transpose(0, 2, 3, 1), db), tally


def conv1d_backward(grad, x, w, *, has_bias=False, stride=1, padding=0, dilation=1, groups=1, algorithm="auto"):
    pairs = {"stride": (1, stride), "padding": (0, padding), "dilation": (1, dilation), "groups": groups}
    rows = (array[:, :, None] for array in (grad, x, w))
    (dx, dw, db), tally = conv2d_backward(*rows, has_bias=has_bias, algorithm=algorithm, **pairs)
    return (dx[:, :, 0], dw[:, :, 0], db), tally


def gru(x, h0, w_ih, w_hh, b_ih=None, b_hh=None, *, output_gate=None, return_gates=False):
    w_io, w_ho, b_io, b_ho = output_gate or (None,) * 4
    m = Machine((w_ih, w_hh, b_ih, b_hh, w_io, w_ho, b_io, b_ho))
    T, B, I = x.shape  # noqa: E741
    H = h0.shape[1]
    y, h_n, states = np.zeros((T, B, H), x.dtype), np.zeros((B, H), x.dtype), np.zeros((T, B, H), x.dtype)
    kept = np.zeros((T, B, 6 if output_gate else 4, H), x.dtype)
    for t, b, j in np.ndindex(T, B, H):
        before, row = (states, (t - 1, b)) if t else (h0, (b,))
        # one row of each gate's weights, the inputs read once for all gates
        gates = [(w_ih, w_hh, b_ih, b_hh, g * H + j) for g in range(3)]
        if output_gate:
            gates.append((w_io, w_ho, b_io, b_ho, j))
        i_side = [m.read(bi, r) if bi is not None else 0.0 for _, _, bi, _, r in gates]
        for i in range(I):
            value = m.read(x, (t, b, i))
            i_side = [m.mac(m.read(wi, (r, i)), value, a) for (wi, _, _, _, r), a in zip(gates, i_side, strict=True)]
        h_side = [m.read(bh, r) if bh is not None else 0.0 for _, _, _, bh, r in gates]
        for i in range(H):
            value = m.read(before, (*row, i))
            h_side = [m.mac(m.read(wh, (r, i)), value, a) for (_, wh, _, _, r), a in zip(gates, h_side, strict=True)]
        reset = m.sigmoid(m.do("adds", i_side[0] + h_side[0]))
        update = m.sigmoid(m.do("adds", i_side[1] + h_side[1]))
        candidate = m.tanh(m.do("adds", i_side[2] + m.do("muls", reset * h_side[2])))
        difference = m.do("adds", m.read(before, (*row, j)) - candidate)
        state = m.do("adds", candidate + m.do("muls", update * difference))
        states[t, b, j] = state
        for slot, value in enumerate((reset, update, candidate, h_side[2]) if return_gates else ()):
            m.write(kept, (t, b, slot, j), value)
        if output_gate:
            m.tally.update(stores=1, store_bytes=x.itemsize)  # the state, which y does not hold
            out = m.sigmoid(m.do("adds", i_side[3] + h_side[3]))
            for slot, value in enumerate((out, state) if return_gates else (), 4):
                m.write(kept, (t, b, slot, j), value)
            m.write(y, (t, b, j), m.do("muls", out * m.tanh(state)))
        else:
            m.write(y, (t, b, j), state)
        if t == T - 1:
            m.write(h_n, (b, j), state)
    return ((y, h_n, kept) if return_gates else (y, h_n)), m.tally


def gru_backward(grad, grad_h, x, h0, y, gates, w_ih, w_hh, *, has_bias, output_gate=None):
    w_io, w_ho, *_ = output_gate or (None,) * 4
    m = Machine((w_ih, w_hh, w_io, w_ho))
    (T, B, I), H = x.shape, h0.shape[1]  # noqa: E741
    names = ["r", "z", "n", "o"] if output_gate else ["r", "z", "n"]
    sums = {name: np.zeros((T, B, H)).astype(x.dtype) for name in (*names, "hn")}
    carry, shapes = np.zeros((B, H), x.dtype), [(T, B, I), (B, H), (3 * H, I), (3 * H, H), (3 * H,), (3 * H,)]
    shapes += [(H, I), (H, H), (H,), (H,)]
    dx, dh0, dw_ih, dw_hh, db_ih, db_hh, dw_io, dw_ho, db_io, db_ho = (np.zeros(shape, x.dtype) for shape in shapes)

    def before(t, b, j):
        if t == 0:
            return m.read(h0, (b, j))
        return m.read(gates, (t - 1, b, 5, j)) if output_gate else m.read(y, (t - 1, b, j))

    def matrices(name, j):  # input weights, recurrent weights, row of both, sums of either side
        g = names.index(name)
        pair = (w_io, w_ho, j) if name == "o" else (w_ih, w_hh, g * H + j)
        return (*pair, sums[name], sums["hn" if name == "n" else name])

    for t, b, j in ((t, b, j) for t in reversed(range(-1, T)) for b, j in np.ndindex(B, H)):
        d = m.read(grad_h, (b, j)) if t == T - 1 and grad_h is not None else 0.0
        if t < T - 1:
            d = m.read(carry, (b, j))
            for name, k in ((name, k) for name in names for k in range(H)):
                _, recurrent, row, _, slopes = matrices(name, k)
                d = m.mac(m.read(recurrent, (row, j)), m.read(slopes, (t + 1, b, k)), d)
        if t < 0:
            m.write(dh0, (b, j), d)
            continue
        r, z, n, hn, *more = (m.read(gates, (t, b, slot, j)) for slot in range(gates.shape[2]))
        g, mul = m.read(grad, (t, b, j)), lambda *a: m.do("muls", a[0] * a[1])
        of_one = lambda a: m.do("adds", 1 - a)  # noqa: E731
        if output_gate:
            o, c = more[0], m.tanh(more[1])
            m.write(sums["o"], (t, b, j), mul(mul(g, c), mul(o, of_one(o))))
            g = mul(mul(g, o), of_one(mul(c, c)))
        d = m.do("adds", d + g)
        stays = of_one(z)
        difference = m.do("adds", before(t, b, j) - n)
        m.write(sums["z"], (t, b, j), mul(mul(d, difference), mul(z, stays)))
        candidate = mul(mul(d, stays), of_one(mul(n, n)))
        m.write(sums["n"], (t, b, j), candidate)
        m.write(sums["r"], (t, b, j), mul(mul(candidate, hn), mul(r, of_one(r))))
        m.write(sums["hn"], (t, b, j), mul(candidate, r))
        m.write(carry, (b, j), mul(d, z))
    for t, b, i in np.ndindex(T, B, I):
        total = 0.0
        for name, k in ((name, k) for name in names for k in range(H)):
            w, _, row, slopes, _ = matrices(name, k)
            total = m.mac(m.read(w, (row, i)), m.read(slopes, (t, b, k)), total)
        m.write(dx, (t, b, i), total)
    for name, j in ((name, j) for name in names for j in range(H)):
        _, _, row, of_input, of_state = matrices(name, j)
        for side, result in ((x, dw_io if name == "o" else dw_ih), (None, dw_ho if name == "o" else dw_hh)):
            for i in range(result.shape[1]):
                total = 0.0
                for t, b in np.ndindex(T, B):
                    value = before(t, b, i) if side is None else m.read(side, (t, b, i))
                    total = m.mac(m.read(of_state if side is None else of_input, (t, b, j)), value, total)
                m.write(result, (row, i), total)
        if not has_bias:
            continue
        both = (db_io, db_ho) if name == "o" else (db_ih, db_hh)
        for slopes, results in ((of_input, both),) if name != "n" else ((of_input, both[:1]), (of_state, both[1:])):
            total = 0.0
            for t, b in np.ndindex(T, B):
                total = m.do("adds", total + m.read(slopes, (t, b, j)))
            for result in results:
                m.write(result, row, total)
    cell = (dx, dh0, dw_ih, dw_hh, *((db_ih, db_hh) if has_bias else (None, None)))
    gate = (dw_io, dw_ho, *((db_io, db_ho) if has_bias else (None, None)))
    return (*cell, *(gate if output_gate else (None,) * 4)), m.tally


def attention(q, k, v, *, causal=False):
    m = Machine()
    B, Hn, S_q, D = q.shape
    S_k = k.shape[2]
    y, scores = np.zeros_like(q), np.zeros(S_k, q.dtype)
    for b, h, i in np.ndindex(B, Hn, S_q):
        visible = [j for j in range(S_k) if not (causal and j > i)]
        m.tally["nominal_macs"] += 2 * D * (S_k - len(visible))
        largest = -math.inf
        for j in visible:
            acc = 0.0
            for d in range(D):
                acc = m.mac(m.read(q, (b, h, i, d)), m.read(k, (b, h, j, d)), acc)
            score = m.do("muls", acc / math.sqrt(D))
            largest = m.do("compares", max(largest, score))
            m.write(scores, j, score)
        total = 0.0
        for j in visible:
            e = m.do("specials", math.exp(m.do("adds", m.read(scores, j) - largest)))
            total = m.do("adds", total + e)
            m.write(scores, j, e)
        for j in visible:
            m.write(scores, j, m.do("divs", m.read(scores, j) / total))
        for d in range(D):
            acc = 0.0
            for j in visible:
                acc = m.mac(m.read(scores, j), m.read(v, (b, h, j, d)), acc)
            m.write(y, (b, h, i, d), acc)
    return (y,), m.tally


def online_attention(q, k, v, *, causal=False):
    m = Machine()
    B, Hn, S_q, D = q.shape
    S_k = k.shape[2]
    y, lse, scores = np.zeros_like(q), np.zeros(q.shape[:3], q.dtype), np.zeros(64, q.dtype)
    for b, h, i in np.ndindex(B, Hn, S_q):
        visible = [j for j in range(S_k) if not (causal and j > i)]
        m.tally["nominal_macs"] += 2 * D * (S_k - len(visible))
        largest, total = -math.inf, 0.0
        for first in range(0, len(visible), 64):
            block, before, correction = visible[first : first + 64], largest, 1.0
            for j in block:
                acc = 0.0
                for d in range(D):
                    acc = m.mac(m.read(q, (b, h, i, d)), m.read(k, (b, h, j, d)), acc)
                score = m.do("muls", acc / math.sqrt(D))
                largest = m.do("compares", max(largest, score))
                m.write(scores, j - first, score)
            if first:
                correction = m.do("specials", math.exp(m.do("adds", before - largest)))
                total = m.do("muls", total * correction)
            for j in block:
                e = m.do("specials", math.exp(m.do("adds", m.read(scores, j - first) - largest)))
                total = m.do("adds", total + e)
                m.write(scores, j - first, e)
            for d in range(D):
                acc = m.do("muls", m.read(y, (b, h, i, d)) * correction) if first else 0.0
                for j in block:
                    acc = m.mac(m.read(scores, j - first), m.read(v, (b, h, j, d)), acc)
                m.write(y, (b, h, i, d), m.do("divs", acc / total) if block[-1] == visible[-1] else acc)
        m.write(lse, (b, h, i), m.do("adds", largest + m.do("specials", math.log(total))))
    return (y, lse), m.tally


def attention_backward(grad, q, k, v, y, lse, *, causal=False):
    m = Machine()
    S_k, D = k.shape[2:]
    dq, dk, dv = np.zeros_like(q), np.zeros_like(k), np.zeros_like(v)
    for array, i in [(a, i) for a in (dq, dk, dv) for i in np.ndindex(*a.shape)]:
        m.write(array, i, 0.0)
    for b, h, i in np.ndindex(*q.shape[:3]):
        visible = [j for j in range(S_k) if not (causal and j > i)]
        m.tally["nominal_macs"] += 5 * D * (S_k - len(visible))
        delta, sums = 0.0, m.read(lse, (b, h, i))
        for d in range(D):
            delta = m.do("adds", delta + m.do("muls", m.read(grad, (b, h, i, d)) * m.read(y, (b, h, i, d))))
        for j in visible:
            score, slope = 0.0, 0.0
            for d in range(D):
                score = m.mac(m.read(q, (b, h, i, d)), m.read(k, (b, h, j, d)), score)
                slope = m.mac(m.read(grad, (b, h, i, d)), m.read(v, (b, h, j, d)), slope)
            p = m.do("specials", math.exp(m.do("adds", m.do("muls", score / math.sqrt(D)) - sums)))
            ds = m.do("muls", m.do("muls", p * m.do("adds", slope - delta)) / math.sqrt(D))
            for d in range(D):
                for result, row, source, column, factor in (
                    (dq, i, k, j, ds),
                    (dk, j, q, i, ds),
                    (dv, j, grad, i, p),
                ):
                    at = (b, h, row, d)
                    m.write(result, at, m.mac(m.read(source, (b, h, column, d)), factor, m.read(result, at)))
    return (dq, dk, dv), m.tally


def as_stored(layout, plain):
    """Indices (row, column) of a matrix as it lies: in order where its layout is the plain one."""
    return (lambda row, column: (row, column)) if layout == plain else (lambda row, column: (column, row))


def linear(x, w, bias=None, *, x_layout="mk", w_layout="nk"):
    m = Machine((w, bias))
    of_x, of_w = as_stored(x_layout, "mk"), as_stored(w_layout, "nk")
    (M, K), (N, _) = of_x(*x.shape), of_w(*w.shape)
    y = np.zeros((M, N), x.dtype)
    for row, column in np.ndindex(M, N):
        acc = 0.0
        for k in range(K):
            acc = m.mac(m.read(w, of_w(column, k)), m.read(x, of_x(row, k)), acc)
        if bias is not None:
            acc = m.do("adds", acc + m.read(bias, column))
        m.write(y, (row, column), acc)
    return (y,), m.tally


def linear_backward(grad, x, w, *, has_bias=True, x_layout="mk", w_layout="nk"):
    m = Machine((w,))
    of_x, of_w = as_stored(x_layout, "mk"), as_stored(w_layout, "nk")
    (M, N), (_, K) = grad.shape, of_x(*x.shape)
    dx, dw = np.zeros_like(x), np.zeros_like(w)
    for row, k in np.ndindex(M, K):
        acc = 0.0
        for n in range(N):
            acc = m.mac(m.read(w, of_w(n, k)), m.read(grad, (row, n)), acc)
        m.write(dx, of_x(row, k), acc)
    for n, k in np.ndindex(N, K):
        acc = 0.0
        for row in range(M):
            acc = m.mac(m.read(grad, (row, n)), m.read(x, of_x(row, k)), acc)
        m.write(dw, of_w(n, k), acc)
    if not has_bias:
        return (dx, dw, None), m.tally
    db = np.zeros(N, x.dtype)
    for n in range(N):
        total = 0.0
        for row in range(M):
            total = m.do("adds", total + m.read(grad, (row, n)))
        m.write(db, n, total)
    return (dx, dw, db), m.tally


def softmax(x):
    m, y = Machine(), np.zeros_like(x)
    columns = range(x.shape[-1])
    for row in np.ndindex(*x.shape[:-1]):
        largest, total = -math.inf, 0.0
        for i in columns:
            largest = m.do("compares", max(largest, m.read(x, (*row, i))))
        for i in columns:
            e = m.do("specials", math.exp(m.do("adds", m.read(x, (*row, i)) - largest)))
            total = m.do("adds", total + e)
            m.write(y, (*row, i), e)
        for i in columns:
            m.write(y, (*row, i), m.do("divs", m.read(y, (*row, i)) / total))
    return (y,), m.tally


def layer_norm(x, weight=None, bias=None, *, eps=1e-5):
    m, y = Machine((weight, bias)), np.zeros_like(x)
    n = x.shape[-1]
    for row in np.ndindex(*x.shape[:-1]):
        total, squares = 0.0, 0.0
        for i in range(n):
            total = m.do("adds", total + m.read(x, (*row, i)))
        mean = m.do("divs", total / n)
        for i in range(n):
            difference = m.do("adds", m.read(x, (*row, i)) - mean)
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
    return (y,), m.tally


def elementwise(function):
    def loops(x):
        m, y = Machine(), np.zeros_like(x)
        for i in np.ndindex(*x.shape):
            m.write(y, i, function(m, m.read(x, i)))
        return (y,), m.tally

    return loops


def gelu_of(m, x):
    phi = m.do("adds", 1 + m.do("specials", math.erf(m.do("muls", x / math.sqrt(2)))))
    return m.do("muls", m.do("muls", 0.5 * x) * phi)


def pool(kind):
    def loops(x, *, kernel_size, stride, padding=(0, 0), dilation=(1, 1)):
        m = Machine()
        N, C, H, W = x.shape
        (KH, KW), (dh, dw) = kernel_size, dilation
        rows = range(-padding[0], H + padding[0] - dh * (KH - 1), stride[0])
        columns = range(-padding[1], W + padding[1] - dw * (KW - 1), stride[1])
        y = np.zeros((N, C, len(rows), len(columns)), x.dtype)
        for n, c, oh, ow in np.ndindex(*y.shape):
            acc = -math.inf if kind == "max" else 0.0
            for kh, kw in np.ndindex(KH, KW):
                ih, iw = rows[oh] + kh * dh, columns[ow] + kw * dw
                if 0 <= ih < H and 0 <= iw < W:
                    value = m.read(x, (n, c, ih, iw))
                    acc = m.do("compares", max(acc, value)) if kind == "max" else m.do("adds", acc + value)
            m.write(y, (n, c, oh, ow), acc if kind == "max" else m.do("divs", acc / (KH * KW)))
        return (y,), m.tally

    return loops


@pytest.fixture(scope="session")
def brute_force() -> dict[str, Callable[..., Any]]:
    """Kernel name → loops that return outputs and tallies."""
    return {
        "conv2d": conv2d,
        "conv1d": conv1d,
        "conv2d_nhwc": conv2d_nhwc,
        "conv2d_backward": conv2d_backward,
        "conv1d_backward": conv1d_backward,
        "conv2d_nhwc_backward": conv2d_nhwc_backward,
        "gru": gru,
        "gru_backward": gru_backward,
        "attention": attention,
        "online_attention": online_attention,
        "attention_backward": attention_backward,
        "linear": linear,
        "linear_backward": linear_backward,
        "softmax": softmax,
        "layer_norm": layer_norm,
        "relu": elementwise(lambda m, x: m.do("compares", max(x, 0.0))),
        "sigmoid": elementwise(lambda m, x: m.sigmoid(x)),
        "tanh": elementwise(lambda m, x: m.tanh(x)),
        "gelu": elementwise(gelu_of),
        "max_pool2d": pool("max"),
        "avg_pool2d": pool("avg"),
    }


#: Rows and columns of a register tile, and lanes of a vector, by rung: csrc/cpu/tuned/isa.h, for float32.
TILES = {"blocked": (4, 3, 1), "avx2": (6, 16, 8), "avx512": (12, 32, 16), "avx512_emulated": (3, 32, 16)}


def tile_of(rung, dtype):
    """The same for an element type: a vector of float64 has half the lanes."""
    rows, columns, lanes = TILES[rung]
    narrow = 1 if lanes == 1 or dtype == "float32" else 2
    return rows, columns // narrow, lanes // narrow


def panel_product(m, M, N, K, rung, dtype, *, read_a, read_b, fresh=True):
    """The loops of a matrix product in panels, strip by strip and tile by tile; `read_a` and `read_b` count a read.

    Unless `fresh` there are sums already to which it is added.
    """
    rows, columns, _ = tile_of(rung, dtype)
    size = np.dtype(dtype).itemsize

    def panel(name, elements):
        m.tally[name] += elements
        m.tally["load_bytes" if name == "loads" else "store_bytes"] += elements * size

    for n0 in range(0, N, 1024 // columns * columns):
        n1 = min(N, n0 + 1024 // columns * columns)
        for k0 in range(0, K, 256):
            depth = min(256, K - k0)
            for n in range(n0, n1, columns):
                for _ in range(depth):
                    read_b(min(columns, n1 - n))
                    panel("stores", columns)
            for m0 in range(0, M, 1536 // rows * rows):
                m1 = min(M, m0 + 1536 // rows * rows)
                for i in range(m0, m1, rows):
                    for _ in range(depth):
                        read_a(min(rows, m1 - i))
                        panel("stores", rows)
                for i in range(m0, m1, rows):
                    for n in range(n0, n1, columns):
                        inside = min(rows, m1 - i) * min(columns, n1 - n)
                        for _ in range(depth):
                            panel("loads", rows + columns)
                            m.tally["tile_macs"] += rows * columns
                        if k0 or not fresh:
                            panel("loads", inside)
                        panel("stores", inside)


class Traffic:
    """Loads and stores of elements of one size, tallied by number."""

    def __init__(self, size):
        self.tally: Counter[str] = Counter()
        self._size = size

    def reads(self, elements, weight=False):
        self.tally["loads"] += elements
        self.tally["load_bytes"] += elements * self._size
        self.tally["weight_load_bytes"] += elements * self._size * weight

    def writes(self, elements):
        self.tally["stores"] += elements
        self.tally["store_bytes"] += elements * self._size


#: Vectors of the register tile for few rows: csrc/cpu/tuned/linear.cpp.
FEW_ROWS_VECTORS = {"blocked": 2, "avx2": 2, "avx512": 6, "avx512_emulated": 2}


def linear_product(m, M, N, K, rung, dtype, *, read_a, read_b, rows_of_b):
    """A product of the fully connected layer: few rows, or few terms, have B where it lies, if its rows are neighbours.

    Rows go four at a time, whose sums stay in registers; a row that is left has its sums in C, from eight terms to
    eight and then from each to the next.
    """
    if not rows_of_b or (M > 32 and K > 4):
        return panel_product(m, M, N, K, rung, dtype, read_a=read_a, read_b=read_b)
    lanes = tile_of(rung, dtype)[2]
    columns = FEW_ROWS_VECTORS[rung] * lanes
    for _ in range(M // 4):
        for n in range(0, N, columns):
            for _ in range(K):
                read_b(min(columns, N - n))
                read_a(4)
                m.tally["tile_macs"] += 4 * columns
            m.writes(4 * min(columns, N - n))
    runs = [range(k, k + 8) for k in range(0, K - 7, 8)] + [range(k, k + 1) for k in range(K - K % 8, K)]
    for piece in (range(n, min(N, n + 512)) for _ in range(M % 4) for n in range(0, N, 512)):
        for run in runs:
            read_a(len(run))
            if run[0] > 0:
                m.reads(len(piece))
            for _ in run:
                read_b(len(piece))
                m.tally["tile_macs"] += len(range(0, len(piece), lanes)) * lanes
            m.writes(len(piece))
    return None


def tuned_linear(rung, x, w, bias=None, *, x_layout="mk", w_layout="nk"):
    m = Traffic(x.itemsize)
    (M, K), (N, _) = as_stored(x_layout, "mk")(*x.shape), as_stored(w_layout, "nk")(*w.shape)
    lanes = tile_of(rung, x.dtype)[2]
    of_w = lambda n: m.reads(n, weight=True)  # noqa: E731
    if (4 if K < 256 else 32) < M or (x_layout, w_layout) != ("mk", "nk"):
        linear_product(m, M, N, K, rung, x.dtype, read_a=m.reads, read_b=of_w, rows_of_b=w_layout == "kn")
    else:
        groups = [range(n, n + 4) for n in range(0, N - 3, 4)] + [range(n, n + 1) for n in range(N - N % 4, N)]
        for columns in groups:
            rows = M
            while rows:  # four at a time where sixteen lanes fold sixteen sums, then two, then one
                block = next(n for n in (4, 2, 1) if n <= rows and (n < 4 or lanes == 16))
                for k in range(0, K, lanes):
                    inside = min(lanes, K - k)
                    m.reads(inside * block)
                    of_w(inside * len(columns))
                    m.tally["tile_macs"] += lanes * block * len(columns)
                m.writes(block * len(columns))
                rows -= block
    if bias is not None:
        of_w(M * N)
    return m.tally


def tuned_linear_backward(rung, grad, x, w, *, has_bias=True, x_layout="mk", w_layout="nk"):
    """Two products, the transposed ones where a gradient lies transposed, and a sum of rows."""
    m = Traffic(x.itemsize)
    (M, N), K = grad.shape, as_stored(x_layout, "mk")(*x.shape)[1]
    of_w = lambda n: m.reads(n, weight=True)  # noqa: E731
    if x_layout == "mk":
        linear_product(m, M, K, N, rung, x.dtype, read_a=m.reads, read_b=of_w, rows_of_b=w_layout == "nk")
    else:
        linear_product(m, K, M, N, rung, x.dtype, read_a=of_w, read_b=m.reads, rows_of_b=False)
    if w_layout == "nk":
        linear_product(m, N, K, M, rung, x.dtype, read_a=m.reads, read_b=m.reads, rows_of_b=x_layout == "mk")
    else:
        linear_product(m, K, N, M, rung, x.dtype, read_a=m.reads, read_b=m.reads, rows_of_b=True)
    if has_bias:
        m.reads(M * N)
        m.writes(N)
    return m.tally


#: Rows of the register tile of a sum over patches, where they are not a product's: csrc/cpu/tuned/patches.h.
PATCH_ROWS = {"avx512": 14}


class Axis:
    """One dimension of a sum over patches: what each result reads, wherever that lies."""

    def __init__(self, size, source, kernel, stride, padding, dilation, *, gradient):
        self.source, self.apart, self.stride = source, min(stride, size) if gradient else 1, stride
        taps = range(kernel)
        if gradient:
            met = [[(i + padding - k * dilation) for k in taps] for i in range(size)]
            self.reads = [[at // stride for at in row if at % stride == 0] for row in met]
        else:
            self.reads = [[i * stride - padding + k * dilation for k in taps] for i in range(size)]
        everywhere = [at for row in self.reads for at in row] or [0]
        self.before = max(0, -min(everywhere))
        self.extent = self.before + max(0, *everywhere) + 1
        self.inside = self.before == 0 and self.extent <= source
        self.one_tap = kernel == 1 and stride == 1 and padding == 0

    def copied(self):
        return sum(0 <= at - self.before < self.source for at in range(self.extent))


class PatchLoops:
    """The loops of csrc/cpu/tuned/patches.h over numbers of elements: packing, tiles, and rows that become columns."""

    def __init__(self, m, rung, dtype, N, groups, outputs, channels, h, w):
        self.m, self.N, self.groups, self.outputs, self.channels, self.h, self.w = m, N, groups, outputs, channels, h, w
        (rows, self.columns, self.lanes), self.size = tile_of(rung, dtype), np.dtype(dtype).itemsize
        self.rows, self.rung, self.dtype = PATCH_ROWS.get(rung, rows), rung, dtype
        self.in_place = h.inside and w.inside
        image = groups * channels * h.extent * w.extent
        at_once = N if self.in_place else max(1, 2**18 // image)
        self.blocks = [min(at_once, N - n) for n in range(0, N, at_once)]
        if not self.in_place:
            self.move("loads", N * groups * channels * h.copied() * w.copied())
            self.move("stores", N * image)

    def move(self, name, elements, weight=False):
        self.m.tally[name] += elements
        self.m.tally["load_bytes" if name == "loads" else "store_bytes"] += elements * self.size
        if weight:
            self.m.tally["weight_load_bytes"] += elements * self.size

    def strips(self):
        """Columns in use of each strip, and columns worked."""
        for _ in range(self.groups):
            for m in range(0, self.outputs, self.columns):
                used = min(self.columns, self.outputs - m)
                yield used, self.columns if used > self.lanes else self.lanes

    def tile(self, depth, used, worked, rows, bias=False, partial=False):
        for _ in range(depth):
            self.move("loads", self.rows + worked)
            self.m.tally["tile_macs"] += self.rows * worked
        self.move("loads", used * bias, weight=True)
        self.move("loads", rows * worked * partial)
        self.move("stores", rows * worked)

    def turn(self, rows, used):
        for _ in range(0, used, self.lanes):
            self.move("loads", rows * self.lanes)
        self.move("stores", rows * used)

    def sums(self, bias):
        """A whole sum."""
        h, w = self.h, self.w
        height, width = len(h.reads), len(w.reads)
        if h.one_tap and w.one_tap and height * width >= 128:
            self.product_of_each_image(height * width, bias)
            return
        groups, span = -(-height // h.apart), 8 * self.rows * w.apart
        together = max(1, 8 * self.rows // -(-width // w.apart)) if width <= span else 1
        everything = self.blocks[0] * groups
        while together > 1 and -(-everything // (together - 1)) == -(-everything // together):
            together -= 1  # chunks of one size
        phases = np.ndindex(h.apart, w.apart)
        weights = self.channels * sum(len(h.reads[i]) * len(w.reads[j]) for i, j in phases)  # those that are met
        for used, worked in self.strips():
            self.move("loads", used * weights, weight=True)
            self.move("stores", self.columns * weights)
            for images in self.blocks:
                lines = [divmod(g, groups) for g in range(images * groups)]
                for g, c in ((g, c) for g in range(0, len(lines), together) for c in range(0, width, span)):
                    for ph, pw in np.ndindex(h.apart, w.apart):
                        rows = [i * h.apart + ph for _, i in lines[g : g + together] if i * h.apart + ph < height]
                        pixels = [(i, j) for i in rows for j in range(c, min(width, c + span)) if j % w.apart == pw]
                        for at in range(0, len(pixels), self.rows):
                            i, j = pixels[at]
                            depth = self.channels * len(h.reads[i]) * len(w.reads[j])
                            self.tile(depth, used, worked, min(self.rows, len(pixels) - at), bias)
                self.turn(images * height * width, used)

    def product_of_each_image(self, pixels, bias):
        """One tap on every pixel: the weights times the image, as they lie."""
        for _ in range(self.N * self.groups):
            panel_product(
                *(self.m, self.outputs, pixels, self.channels, self.rung, self.dtype),
                read_a=lambda n: self.move("loads", n, weight=True),
                read_b=lambda n: self.move("loads", n),
            )
            for _ in range(0, pixels, self.lanes):
                self.move("loads", self.outputs * bias, weight=True)

    def pixel_sums(self, bias):
        """The same with channels innermost: tiles store what is in use where it belongs; with one tap, a product."""
        if self.h.one_tap and self.w.one_tap:
            rows = self.N * len(self.h.reads) * len(self.w.reads)
            for _ in range(self.groups):
                panel_product(
                    *(self.m, rows, self.outputs, self.channels, self.rung, self.dtype),
                    read_a=lambda n: self.move("loads", n),
                    read_b=lambda n: self.move("loads", n, weight=True),
                )
                self.move("loads", rows * self.outputs * bias, weight=True)
            return
        pixels = len(self.h.reads) * len(self.w.reads)
        steps = self.channels * len(self.h.reads[0]) * len(self.w.reads[0])
        for used, worked in self.strips():
            self.move("loads", used * steps, weight=True)
            self.move("stores", self.columns * steps)
            for images in self.blocks:
                for at in range(0, images * pixels, self.rows):
                    self.tile(steps, used, worked, 0, bias)
                    self.move("stores", min(self.rows, images * pixels - at) * used)

    def weight_gradient(self, taps):
        pixels = len(self.h.reads) * len(self.w.reads)
        if self.h.one_tap and self.w.one_tap and pixels >= 128:
            for image in range(self.N * self.groups):
                panel_product(
                    *(self.m, self.outputs, self.channels, pixels, self.rung, self.dtype),
                    read_a=lambda n: self.move("loads", n),
                    read_b=lambda n: self.move("loads", n),
                    fresh=image < self.groups,
                )
            return
        most = min(2048, self.blocks[0] * pixels)
        for used, worked in self.strips():
            partial = False
            for images in self.blocks:
                for q in range(0, images * pixels, most):
                    steps = min(most, images * pixels - q)
                    self.move("loads", used * steps)
                    self.move("stores", self.columns * steps)
                    for k in range(0, taps, self.rows):
                        self.tile(steps, used, worked, min(self.rows, taps - k), partial=partial)
                    partial = True
            self.turn(taps, used)


def patch_loops(m, rung, x, w, stride, padding, dilation, groups, *, gradient=False):
    """Those of the forward pass, or of the gradient of its input."""
    axes = []
    for i in (0, 1):
        size, kernel = x.shape[i + 2], w.shape[i + 2]
        results = len(range(-padding[i], size + padding[i] - dilation[i] * (kernel - 1), stride[i]))
        result, source = (size, results) if gradient else (results, size)
        axes.append(Axis(result, source, kernel, stride[i], padding[i], dilation[i], gradient=gradient))
    channels = (len(w) // groups, w.shape[1])
    return PatchLoops(m, rung, x.dtype, len(x), groups, *(channels[::-1] if gradient else channels), *axes)


class PaddedPlane:
    """A plane of a depthwise convolution with its padding: csrc/kernels/depthwise.h."""

    def __init__(self, x, rows, columns, stride, padding, lanes):
        self.vectors = len(range(0, columns, lanes))
        height, width = (rows - 1) * stride + 3, 0
        while width < self.vectors * lanes * stride + 2:
            width += lanes
        self.size = height * width
        self.copied = sum(0 <= i - padding[0] < x.shape[2] for i in range(height))
        self.copied *= sum(0 <= j - padding[1] < x.shape[3] for j in range(width))


def tuned_conv2d_backward(
    rung, grad, x, w, *, has_bias=False, stride=(1, 1), padding=(0, 0), dilation=(1, 1), groups=1, algorithm="auto"
):
    m, size, lanes, of_group = Machine(), x.itemsize, tile_of(rung, x.dtype)[2], len(w) // groups
    window = (stride, padding, dilation, groups)
    if algorithm == "direct" or (algorithm == "auto" and of_group <= 4):
        back = patch_loops(Machine(), rung, x, w, *window, gradient=True)
        forward = patch_loops(Machine(), rung, x, w, *window)
        pairs = x.shape[0] * x.shape[1] * of_group  # of an image and a channel of each side

        def move(name, elements, weight=0):
            m.tally[name] += elements
            m.tally["load_bytes" if name == "loads" else "store_bytes"] += elements * size
            m.tally["weight_load_bytes"] += weight * size

        small = 1 < groups == x.shape[1] and w.shape[2:] == (3, 3) and dilation == (1, 1) and stride in ((1, 1), (2, 2))
        if small and stride == (1, 1) and of_group == 1:
            flipped = {"padding": (2 - padding[0], 2 - padding[1]), "groups": groups, "algorithm": "direct"}
            of_dy = tuned_conv2d(rung, grad, w, **flipped)
            m.tally.update(of_dy)
        else:
            lines = sum(0 <= at < grad.shape[2] for reads in back.h.reads for at in reads)
            for phase in range(back.w.apart):
                pixels = back.w.reads[phase :: back.w.apart]
                for tap, first in ((t, j) for t in range(len(pixels[0])) for j in range(0, len(pixels), lanes)):
                    inside = sum(0 <= reads[tap] < grad.shape[3] for reads in pixels[first : first + lanes])
                    if inside:
                        move("loads", pairs * lines * (inside + 1), pairs * lines)
                        m.tally["tile_macs"] += pairs * lines * lanes
            move("stores", x.size)
        m.tally["tile_macs"] += w.size * lanes  # each dot product begins with one of zeros
        move("stores", w.size)
        weights = len(x) * len(w) * w.shape[1]
        if small:
            kept = PaddedPlane(x, grad.shape[2], grad.shape[3], stride[0], padding, lanes)
            move("loads", len(x) * len(w) * (kept.copied + grad[0, 0].size))
            move("stores", len(x) * len(w) * kept.size)
            for _ in range(grad.shape[2] * kept.vectors):
                move("loads", len(x) * len(w) * 9 * lanes)
                m.tally["tile_macs"] += len(x) * len(w) * 9 * lanes
        for reads_h in () if small else forward.h.reads:
            for kh, kw in np.ndindex(*w.shape[2:]):
                for j in range(0, grad.shape[3], lanes):
                    vector = [reads[kw] for reads in forward.w.reads[j : j + lanes]]
                    inside = (0 <= reads_h[kh] < x.shape[2]) * sum(0 <= at < x.shape[3] for at in vector)
                    move("loads", 2 * weights * inside)
                    m.tally["tile_macs"] += weights * lanes * (inside > 0)
    else:
        patch_loops(m, rung, x, w, *window, gradient=True).sums(bias=False)
        patch_loops(m, rung, x, w, *window).weight_gradient(w[0].size)
    if has_bias:
        m.tally.update(loads=grad.size, load_bytes=grad.nbytes, stores=len(w), store_bytes=len(w) * size)
    return m.tally


def tuned_conv2d(rung, x, w, bias=None, *, stride=(1, 1), padding=(0, 0), dilation=(1, 1), groups=1, algorithm="auto"):
    m, size, lanes = Machine(), x.itemsize, tile_of(rung, x.dtype)[2]
    (_, channels, KH, KW), of_group = w.shape, len(w) // groups
    if not (algorithm == "direct" or (algorithm == "auto" and of_group <= 4)):
        patch_loops(m, rung, x, w, stride, padding, dilation, groups).sums(bias is not None)
        return m.tally
    rows, columns = (
        range(-padding[i], x.shape[i + 2] + padding[i] - dilation[i] * (w.shape[i + 2] - 1), stride[i]) for i in (0, 1)
    )

    def reads(elements, weight=False):
        m.tally.update(loads=elements, load_bytes=elements * size, weight_load_bytes=elements * size * weight)

    def row_inside(row, kh):
        return 0 <= row + kh * dilation[0] < x.shape[2]

    def inside(row, some_columns, kh, kw):
        return row_inside(row, kh) * sum(0 <= c + kw * dilation[1] < x.shape[3] for c in some_columns)

    if 1 < groups == x.shape[1] and (KH, KW) == (3, 3) and dilation == (1, 1) and stride in ((1, 1), (2, 2)):
        kept = PaddedPlane(x, len(rows), len(columns), stride[0], padding, lanes)
        for _ in range(len(x) * groups):
            reads(kept.copied)
            m.tally.update(stores=kept.size, store_bytes=kept.size * size)
            for _ in range(of_group):
                reads(9 + (bias is not None), True)
                for row in [4] * (len(rows) // 4) + [1] * (len(rows) % 4):
                    for _ in range(kept.vectors):
                        reads(3 * ((row - 1) * stride[0] + 3) * lanes)
                        m.tally["tile_macs"] += row * 9 * lanes
                m.tally.update(stores=len(rows) * len(columns), store_bytes=len(rows) * len(columns) * size)
        return m.tally
    blocks = [4] * (of_group // 4) + [1] * (of_group % 4)
    for _, row, together in ((i, r, b) for i in range(len(x) * groups) for r in rows for b in blocks):
        left = [columns[i : i + lanes] for i in range(0, len(columns), lanes)]
        while left:
            at_once = [1] if stride[1] != 1 else [2, 1] if together == 4 else [4, 2, 1]
            take = next(n for n in at_once if n <= len(left))
            vectors, left = left[:take], left[take:]
            for _, kh in np.ndindex(channels, KH):
                for kw in range(KW * row_inside(row, kh)):
                    reads(sum(inside(row, v, kh, kw) for v in vectors))
                    reads(together, True)
                    m.tally["tile_macs"] += together * take * lanes
            reads(together * (bias is not None), True)
            outputs = together * sum(map(len, vectors))
            m.tally.update(stores=outputs, store_bytes=outputs * size)
    return m.tally


def tuned_conv1d(rung, x, w, bias=None, *, stride=1, padding=0, dilation=1, groups=1, algorithm="auto"):
    pairs = {"stride": (1, stride), "padding": (0, padding), "dilation": (1, dilation)}
    return tuned_conv2d(rung, x[:, :, None], w[:, :, None], bias, groups=groups, algorithm=algorithm, **pairs)


def tuned_conv2d_nhwc_backward(rung, grad, x, w, **options):
    tally = tuned_conv2d_backward(rung, *map(channels_first, (grad, x, w)), **options)
    copies_of_layout(tally, grad, x, w, x, w)
    return tally


def tuned_conv1d_backward(
    rung, grad, x, w, *, has_bias=False, stride=1, padding=0, dilation=1, groups=1, algorithm="auto"
):
    pairs = {"stride": (1, stride), "padding": (0, padding), "dilation": (1, dilation), "groups": groups}
    rows = (array[:, :, None] for array in (grad, x, w))
    return tuned_conv2d_backward(rung, *rows, has_bias=has_bias, algorithm=algorithm, **pairs)


def tuned_conv2d_nhwc(rung, x, w, bias=None, *, stride=(1, 1), padding=(0, 0), dilation=(1, 1), groups=1):
    """Sums over patches of pixels; depthwise, four pixels whose taps are all inside, or one."""
    m, lanes = Machine(), tile_of(rung, x.dtype)[2]
    (N, H, W, C), (C_out, KH, KW, _) = x.shape, w.shape
    rows = range(-padding[0], H + padding[0] - dilation[0] * (KH - 1), stride[0])
    columns = range(-padding[1], W + padding[1] - dilation[1] * (KW - 1), stride[1])
    size = x.itemsize

    def reads(elements, weight=False):
        m.tally.update(loads=elements, load_bytes=elements * size, weight_load_bytes=elements * size * weight)

    def writes(elements):
        m.tally.update(stores=elements, store_bytes=elements * size)

    def taps_inside(start, size, taps, spread):
        return [k for k in range(taps) if 0 <= start + k * spread < size]

    if not groups == C == C_out:
        images, filters = x.transpose(0, 3, 1, 2), w.transpose(0, 3, 1, 2)
        patch_loops(m, rung, images, filters, stride, padding, dilation, groups).pixel_sums(bias is not None)
        return m.tally
    reads(w.size, True)
    writes(w.size)
    for _, row in ((n, r) for n in range(N) for r in rows):
        left = list(columns)
        while left:
            block = left[:4]
            if len(block) < 4 or any(len(taps_inside(c, W, KW, dilation[1])) < KW for c in block):
                block = left[:1]
            left = left[len(block) :]
            for _ in taps_inside(row, H, KH, dilation[0]):
                for _ in taps_inside(block[0], W, KW, dilation[1]):
                    reads(C * (1 + len(block)))
                    m.tally["tile_macs"] += len(block) * len(range(0, C, lanes)) * lanes
            reads(C * (bias is not None), True)
            writes(C * len(block))
    return m.tally


#: Sequences that share a load of the recurrent weights, with three gates and with four: csrc/cpu/tuned/gru.cpp.
SEQUENCES = {"blocked": (2, 1), "avx2": (2, 1), "avx512": (4, 2), "avx512_emulated": (1, 1)}


def sequence_tiles(rung, gates, B):
    """Sequences of each tile: as many as share a load, then half as many."""
    together = SEQUENCES[rung][gates - 3]
    while B:
        together = min(together, 2 ** (B.bit_length() - 1))
        yield together
        B -= together


def tuned_gru(rung, x, h0, w_ih, w_hh, b_ih=None, b_hh=None, *, output_gate=None, return_gates=False):
    """The traffic of the input side's products, of packing, and of each tile of each strip of each step."""
    m = Machine()
    (T, B, I), H = x.shape, h0.shape[1]  # noqa: E741
    gates, bias, (rows, _, lanes) = (4 if output_gate else 3), b_ih is not None, tile_of(rung, x.dtype)
    width, steps = 2 * lanes, max(1, 1024 // B)

    def reads(elements, weight=False):
        m.tally["loads"] += elements
        m.tally["load_bytes"] += elements * x.itemsize
        if weight:
            m.tally["weight_load_bytes"] += elements * x.itemsize

    def writes(elements):
        m.tally["stores"] += elements
        m.tally["store_bytes"] += elements * x.itemsize

    for t0 in range(0, T, steps):
        M = (min(T, t0 + steps) - t0) * B
        for N in (3 * H, H) if output_gate else (3 * H,):
            panel_product(m, M, N, I, rung, x.dtype, read_a=reads, read_b=lambda n: reads(n, True))
            for _ in range(0, M, rows):
                reads(N if bias else 0, True)
    for j in range(0, H, width):
        for _ in range(gates * H):
            reads(min(width, H - j), True)
            writes(width)
    reads(B * H)
    writes(B * H)
    for t in range(T):
        for j in range(0, H, width):
            inside = min(width, H - j)
            for together in sequence_tiles(rung, gates, B):
                reads(gates * inside if bias else 0, True)
                for _ in range(H):
                    reads(together + gates * width)
                    m.tally["tile_macs"] += together * gates * width
                reads(together * inside * (gates + 1))
                writes(together * inside * (gates - 2 + (t == T - 1) + return_gates * (2 * gates - 2)))
    return m.tally


def tuned_gru_backward(rung, grad, grad_h, x, h0, y, gates, w_ih, w_hh, *, has_bias, output_gate=None):
    """The traffic of packing, of each tile of each strip of each step, of the products and of the biases' sums."""
    del y, w_ih, w_hh
    m = Machine()
    (T, B, I), H, size = x.shape, h0.shape[1], x.itemsize  # noqa: E741
    G, width = (4 if output_gate else 3), 2 * tile_of(rung, x.dtype)[2]

    def reads(elements, weight=False):
        m.tally.update(loads=elements, load_bytes=elements * size, weight_load_bytes=elements * size * weight)

    def writes(elements):
        m.tally.update(stores=elements, store_bytes=elements * size)

    for j in range(0, H, width):
        inside = min(width, H - j)
        for _ in range(G * H):
            reads(inside, True)
            writes(width)
        for t in range(-1, T):
            for together in sequence_tiles(rung, G, B):
                if t < T - 1:
                    reads(together * inside)
                    for _ in range(H):
                        reads(G * width + together * G)
                        m.tally["tile_macs"] += together * G * width
                elif grad_h is not None:
                    reads(together * inside)
                if t < 0:
                    writes(together * inside)
                else:
                    reads(together * inside * (2 + gates.shape[2]))
                    writes(together * inside * (G + 2))
    panel_product(m, T * B, I, G * H, rung, x.dtype, read_a=reads, read_b=lambda n: reads(n, True))
    for rows, columns in [(3 * H, I), (2 * H, H), (H, H)] + ([(H, I), (H, H)] if output_gate else []):
        panel_product(m, rows, columns, T * B, rung, x.dtype, read_a=reads, read_b=reads)
    if has_bias:
        reads(T * B * (G + 1) * H)
        writes(2 * G * H)
    return m.tally


#: Vectors of attention's register tile: csrc/cpu/tuned/attention.cpp.
ATTENTION_VECTORS = {"blocked": 2, "avx2": 2, "avx512": 4, "avx512_emulated": 2}


class AttentionTiles(Traffic):
    """What the tiles of rows of the tuned attention kernels move and multiply; `width` columns each."""

    def __init__(self, rung, q, k, *, causal):
        super().__init__(q.itemsize)
        self.heads, self.S_q, self.S_k, self.D = q.shape[0] * q.shape[1], q.shape[2], k.shape[2], q.shape[3]
        self.width = ATTENTION_VECTORS[rung] * tile_of(rung, q.dtype)[2]
        self._seen = [[j for j in range(self.S_k) if not (causal and j > i)] for i in range(self.S_q)]

    def seen(self, i):
        return self._seen[i]

    def pack(self):
        for j in range(0, len(self.seen(self.S_q - 1)), self.width):
            self.reads(min(self.width, self.S_k - j) * self.D)
            self.writes(self.width * self.D)

    def strips(self, keys, rows):
        """Rows with packed keys."""
        for _ in range(0, len(keys), self.width):
            for _ in range(self.D):
                self.reads(rows + self.width)
                self.tally["tile_macs"] += rows * self.width

    def sums(self, terms):
        """Sums of weighted vectors; `terms` of each row. A vector that all rows have is read once."""
        together = set.intersection(*map(set, terms))
        for c in range(0, self.D, self.width):
            inside = min(self.width, self.D - c)
            for _ in together:
                self.reads(len(terms) + inside)
                self.tally["tile_macs"] += len(terms) * self.width
            for own in terms:
                for _ in set(own) - together:
                    self.reads(1 + inside)
                    self.tally["tile_macs"] += self.width

    @staticmethod
    def tiles(first, end):
        """Four rows a tile, and one by one those left over of each sixteen."""
        for task in ([*range(first, end)][i : i + 16] for i in range(0, end - first, 16)):
            while task:
                size = 4 if len(task) >= 4 else 1
                yield task[:size]
                task = task[size:]


def tuned_attention(rung, q, k, v, *, causal=False):
    """Keys packed head by head; then tiles of queries."""
    m = AttentionTiles(rung, q, k, causal=causal)
    for _ in range(m.heads):
        m.pack()
        for queries in m.tiles(0, m.S_q):
            m.strips(m.seen(queries[-1]), len(queries))
            for i in queries:
                m.reads(3 * len(m.seen(i)))
                m.writes(3 * len(m.seen(i)) + m.D)
            m.sums([m.seen(i) for i in queries])
    return m.tally


def tuned_online_attention(rung, q, k, v, *, causal=False):
    """The same block by block of 64 keys; between two blocks the sums of values wait in y."""
    m = AttentionTiles(rung, q, k, causal=causal)
    for _ in range(m.heads):
        m.pack()
        for queries in m.tiles(0, m.S_q):
            for first in range(0, len(m.seen(queries[-1])), 64):
                blocks = [m.seen(i)[first : first + 64] for i in queries]
                m.strips(blocks[-1], len(queries))
                m.sums(blocks)
                for block in filter(None, blocks):
                    m.reads(2 * len(block) + m.D * (first > 0))
                    m.writes(2 * len(block) + m.D)
            m.writes(len(queries))
    return m.tally


def tuned_attention_backward(rung, grad, q, k, v, y, lse, *, causal=False):
    """Keys and values packed; chunks of 64 queries: tiles of queries for p, ds and dq, then tiles of keys."""
    m = AttentionTiles(rung, q, k, causal=causal)
    for _ in range(m.heads):
        m.pack()
        m.pack()
        for first in range(0, m.S_q, 64):
            chunk = range(first, min(m.S_q, first + 64))
            for queries in m.tiles(chunk.start, chunk.stop):
                for i in queries:
                    m.reads(2 * m.D + 1 + len(m.seen(i)))
                    m.writes(2 * len(m.seen(i)) + m.D)
                m.strips(m.seen(queries[-1]), len(queries))
                m.strips(m.seen(queries[-1]), len(queries))
                m.sums([m.seen(i) for i in queries])
            for keys in m.tiles(0, len(m.seen(chunk[-1])) if first else m.S_k):
                for _ in ("dk", "dv"):
                    m.sums([[i for i in chunk if j in m.seen(i)] for j in keys])
                    m.reads(len(keys) * m.D * (first > 0))
                    m.writes(len(keys) * m.D)
    return m.tally


#: Kernel → loops of its tuned rungs, ``(rung, *arrays, **options) -> tally`` of their traffic and tile_macs; a kernel
#: that is not here moves what its naive rung moves.
TUNED: dict[str, Callable[..., Any]] = {
    "conv2d": tuned_conv2d,
    "conv1d": tuned_conv1d,
    "conv2d_nhwc": tuned_conv2d_nhwc,
    "conv2d_backward": tuned_conv2d_backward,
    "conv1d_backward": tuned_conv1d_backward,
    "conv2d_nhwc_backward": tuned_conv2d_nhwc_backward,
    "linear": tuned_linear,
    "linear_backward": tuned_linear_backward,
    "gru": tuned_gru,
    "gru_backward": tuned_gru_backward,
    "attention": tuned_attention,
    "online_attention": tuned_online_attention,
    "attention_backward": tuned_attention_backward,
}
#: Kernels with a launch for each gradient, each of which reads the gradient of y, the first array.
LAUNCH_FOR_EACH_GRADIENT = ("linear_backward",)
TRAFFIC = ("loads", "stores", "load_bytes", "store_bytes", "weight_load_bytes", "tile_macs")


@pytest.fixture(scope="session")
def compulsory_bytes() -> Callable[..., dict[str, int]]:
    """Each tensor once: loads of `inputs` and `weights`, stores of `outputs`."""

    def once(inputs: Any, weights: Any, outputs: Any) -> dict[str, int]:
        inputs, weights, outputs = ([a for a in some if a is not None] for some in (inputs, weights, outputs))
        return {
            "loads": sum(a.size for a in (*inputs, *weights)),
            "load_bytes": sum(a.nbytes for a in (*inputs, *weights)),
            "weight_load_bytes": sum(a.nbytes for a in weights),
            "stores": sum(a.size for a in outputs if a is not None),
            "store_bytes": sum(a.nbytes for a in outputs if a is not None),
        }

    return once


UNIT_ROUNDOFF = {"float32": 2.0**-24, "float64": 2.0**-53}
#: Kernels whose results are sums of products of what they are given, and nothing else.
SUMS_OF_PRODUCTS = tuple(
    f"{name}{way}" for name in ("conv2d", "conv1d", "conv2d_nhwc", "linear") for way in ("", "_backward")
)
#: Roundings of the largest result behind each product, where sums are not all: the largest found in these tests is 1.5
#: (a GRU's gradients over 260 rows; batch normalisation's 0.7), and twice that.
LEEWAY = 3.0


@pytest.fixture(scope="session")
def roundings_of_largest() -> Callable[[Any, int], list[Any]]:
    """How far results may be from the loops': roundings of the largest number of each and the operations behind it.

    `operations` are those of all; places and marks are the loops' to the bit.
    """

    def bounds(outputs: Any, operations: int) -> list[Any]:
        behind_each = operations / outputs[0].size + 16
        return [
            None if o is None else LEEWAY * behind_each * UNIT_ROUNDOFF.get(str(o.dtype), 0.0) * np.abs(o).max()
            for o in outputs
        ]

    return bounds


@pytest.fixture(scope="session")
def agree_with_loops() -> Callable[..., None]:
    """Assert that results are those of the loops within `bounds`, and that counting changed no bit of them."""

    def check(rung: str, of_counting: Any, of_plain: Any, of_loops: Any, bounds: list[Any]) -> None:
        for counted, plain, loops, bound in zip(of_counting, of_plain, of_loops, bounds, strict=True):
            if loops is None:
                assert counted is plain is None
                continue
            assert counted.tobytes() == plain.tobytes(), f"{rung}: outputs of plain and counting differ"
            apart = np.abs(plain - loops)
            assert (apart <= bound).all(), f"{rung}: {(apart - bound).max():.3g} beyond the bound of its roundings"

    return check


@pytest.fixture(scope="session")
def rounding_bounds(brute_force, roundings_of_largest) -> Callable[..., list[Any]]:
    """How far each result of a call may be from the loops', which add up in another order: a bound or an array.

    A sum of n products errs by γ_n = n·u/(1 − n·u) of the sum of their magnitudes, on either side. Both are what the
    loops themselves give: n where all that is given is 1, the magnitudes where it is made positive. For what is more
    than sums (attention, recurrent layers), of the largest result and the products behind each number.
    """

    def bounds(kernel: str, arrays: list[Any], outputs: Any, tally: Any, options: dict[str, Any]) -> list[Any]:
        if kernel not in SUMS_OF_PRODUCTS:
            return list(roundings_of_largest(outputs, tally["macs"]))
        unit = UNIT_ROUNDOFF[str(arrays[0].dtype)]
        ones = [None if a is None else np.ones(a.shape) for a in arrays]
        terms, _ = brute_force[kernel](*ones, **options)
        sizes, _ = brute_force[kernel](*(None if a is None else np.abs(a, dtype="float64") for a in arrays), **options)
        n = [None if t is None else t + 2 for t in terms]
        return [None if t is None else 2 * t * unit / (1 - t * unit) * size for t, size in zip(n, sizes, strict=True)]

    return bounds


@pytest.fixture(scope="session")
def agree(brute_force, compulsory_bytes, rounding_bounds, agree_with_loops) -> Callable[..., None]:
    """Assert that a call counts the same three ways, on both bases, and that counting changes no bit of its outputs."""
    from energybench import kernels
    from energybench.kernels.call import launch
    from energybench.kernels.registry import resolve_operator

    def check(kernel: str, inputs: list[Any], weights: list[Any], **options: Any) -> None:
        rungs = [
            s.variant
            for s in kernels.list_kernels()
            if s.name == kernel and s.dtype == "float32" and "cpu" in s.devices and s.runnable
        ]
        assert rungs[0] == "naive"
        outputs, tally = brute_force[kernel](*inputs, *weights, **options)
        bounds = rounding_bounds(kernel, [*inputs, *weights], outputs, tally, options)
        for rung in rungs:
            check_rung(kernel, inputs, weights, rung, (outputs, tally, bounds), **options)

    def check_rung(
        kernel: str, inputs: list[Any], weights: list[Any], variant: str, of_loops: Any, **options: Any
    ) -> None:
        arrays = [*inputs, *weights]
        dtype = str(inputs[0].dtype)
        counted = kernels.counted_run(kernel, *arrays, variant=variant, threads=2, **options)
        plain = getattr(kernels, kernel)(*arrays, variant=variant, threads=1, **options)
        plain = plain if isinstance(plain, tuple) else (plain,)
        outputs, tally, bounds = of_loops

        issued = kernels.count(kernel, *arrays, variant=variant, basis="issued", **options)
        assert counted.counts == issued, "CountingOps against closed form"
        if variant != "naive":  # the same work, and the traffic of the rung's own loops
            traffic = TUNED[kernel](variant, *arrays, **options) if kernel in TUNED else tally
            tally = {**{n: v for n, v in tally.items() if n not in TRAFFIC}, **{n: traffic[n] for n in TRAFFIC}}
        assert issued.by_dtype[dtype].to_dict() == {n: v for n, v in tally.items() if v}, f"{variant}: against loops"
        assert set(issued.by_dtype) == {dtype}

        compulsory = kernels.count(kernel, *arrays, variant=variant, **options)
        gate = options.get("output_gate") or ()
        launches = sum(o is not None for o in outputs) if kernel in LAUNCH_FOR_EACH_GRADIENT else 1
        traffic = compulsory_bytes([*inputs, *inputs[:1] * (launches - 1)], [*weights, *gate], outputs)
        expected = {**{n: v for n, v in tally.items() if not n.endswith(("loads", "stores", "bytes"))}, **traffic}
        assert compulsory.by_dtype[dtype].to_dict() == {n: v for n, v in expected.items() if v}, "compulsory traffic"
        assert compulsory.launches == issued.launches == launches

        agree_with_loops(variant, counted.outputs, plain, outputs, bounds)
        repeats_on_other_data(kernel, arrays, {**options, "variant": variant, "threads": 1})

    def repeats_on_other_data(kernel: str, arrays: list[Any], options: dict[str, Any]) -> None:
        """The same kind of call on other arrays, by the short way, gives what every check gives."""
        others = [None if array is None else np.array(np.flip(array), order="C") for array in arrays]
        again = getattr(kernels, kernel)(*others, **options)
        again = again if isinstance(again, tuple) else (again,)
        checked = launch(resolve_operator(kernel), *others, **options).outputs
        for a, b in zip(again, checked, strict=True):
            assert (a is None and b is None) or a.tobytes() == b.tobytes(), "a repeated call gives other numbers"

    return check
