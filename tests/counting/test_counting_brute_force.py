"""Random shapes against loops that look at every multiplication."""

from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from energybench.counting import count_model

META = torch.device("meta")
few = settings(max_examples=40, deadline=None)


def meta(*shape):
    return torch.empty(*shape, device=META)


@st.composite
def convolutions(draw):
    dims = draw(st.integers(1, 3))
    side = st.integers(1, 5 if dims < 3 else 3)
    groups = draw(st.integers(1, 3))
    kernel = [draw(st.integers(1, 3)) for _ in range(dims)]
    case = {
        "groups": groups,
        "c_in": groups * draw(st.integers(1, 2)),
        "c_out": groups * draw(st.integers(1, 2)),
        "kernel": kernel,
        "stride": [draw(st.integers(1, 3)) for _ in range(dims)],
        "dilation": [draw(st.integers(1, 2)) for _ in range(dims)],
        "padding": [draw(st.integers(0, 2)) for _ in range(dims)],
        "transposed": draw(st.booleans()),
        "bias": draw(st.booleans()),
        "batch": draw(st.integers(1, 2)),
    }
    case["side"] = [
        draw(side) + (0 if case["transposed"] else case["dilation"][i] * (kernel[i] - 1)) for i in range(dims)
    ]
    return case


def multiplications(case, out_side):
    """Every (batch, output channel, input channel, output position, tap) whose tap lies inside the image."""
    inner, outer = (out_side, case["side"]) if case["transposed"] else (case["side"], out_side)
    inside = 0
    for position in itertools.product(*(range(n) for n in outer)):
        for tap in itertools.product(*(range(k) for k in case["kernel"])):
            at = [
                o * s - p + k * d
                for o, s, p, k, d in zip(position, case["stride"], case["padding"], tap, case["dilation"], strict=True)
            ]
            inside += all(0 <= a < n for a, n in zip(at, inner, strict=True))
    same_group = sum(
        co // (case["c_out"] // case["groups"]) == ci // (case["c_in"] // case["groups"])
        for co in range(case["c_out"])
        for ci in range(case["c_in"])
    )
    return case["batch"] * inside * same_group


@few
@given(convolutions())
def test_convolution(case):
    dims = len(case["kernel"])
    kind = getattr(nn, f"Conv{'Transpose' if case['transposed'] else ''}{dims}d")
    layer = kind(
        case["c_in"], case["c_out"], tuple(case["kernel"]), stride=tuple(case["stride"]),
        padding=tuple(case["padding"]),
        dilation=tuple(case["dilation"]), groups=case["groups"], bias=case["bias"], device=META,
    )  # fmt: skip
    x = meta(case["batch"], case["c_in"], *case["side"]).requires_grad_()
    try:
        y = layer(x)
    except RuntimeError:
        return  # a transposed convolution whose padding leaves no output
    counts = count_model(layer, x, backward=True, strict=True)
    macs = multiplications(case, y.shape[2:])
    assert counts.forward.macs == macs
    assert counts.backward.macs == 2 * macs  # groups included: each product has one partner in each gradient
    assert counts.forward.adds == (y.numel() if case["bias"] else 0)
    outer = case["side"] if case["transposed"] else y.shape[2:]
    window = torch.Size(case["kernel"]).numel() * torch.Size(outer).numel()
    assert counts.forward.nominal_macs == case["batch"] * window * layer.weight.shape[0] * layer.weight.shape[1]
    assert counts.forward.loads == x.numel() + sum(p.numel() for p in layer.parameters())
    assert counts.forward.stores == y.numel()
    assert counts.forward.weight_load_bytes == 4 * sum(p.numel() for p in layer.parameters())


def test_grouped_weight_gradient_by_autograd():
    """The weight gradient's products, counted by what each weight element touches."""
    batch, c_in, c_out, groups, side = 2, 8, 12, 4, 5
    layer = nn.Conv2d(c_in, c_out, 3, padding=1, groups=groups, bias=False)
    counts = count_model(layer, meta(batch, c_in, side, side), backward=True, strict=True)
    # with ones as input and as gradient, each weight's gradient is the number of products summed in it
    F.conv2d(torch.ones(batch, c_in, side, side), layer.weight, padding=1, groups=groups).sum().backward()
    assert layer.weight.grad is not None
    assert counts.backward.macs == int(layer.weight.grad.sum())


@few
@given(st.lists(st.integers(1, 4), min_size=0, max_size=3), st.integers(1, 6), st.integers(1, 6), st.booleans())
def test_linear(leading, inputs, outputs, bias):
    x = meta(*leading, inputs).requires_grad_()
    counts = count_model(nn.Linear(inputs, outputs, bias=bias), x, backward=True, strict=True)
    rows = 1
    for n in leading:
        rows *= n
    assert counts.forward.macs == rows * inputs * outputs
    assert counts.backward.macs == 2 * rows * inputs * outputs
    assert counts.forward.adds == (rows * outputs if bias else 0)


@few
@given(
    st.integers(1, 3), st.integers(1, 3), st.integers(1, 7), st.integers(1, 7), st.integers(1, 4), st.integers(1, 4),
    st.booleans(), st.booleans(),
)  # fmt: skip
def test_attention(batch, heads, queries, keys, d, d_v, causal, masked):
    q, k, v = meta(batch, heads, queries, d), meta(batch, heads, keys, d), meta(batch, heads, keys, d_v)
    q, k, v = (t.requires_grad_() for t in (q, k, v))
    masked = masked and not causal
    mask = meta(queries, keys) if masked else None
    counts = count_model(
        F.scaled_dot_product_attention, q, k, v, attn_mask=mask, is_causal=causal, backward=True, strict=True
    )
    pairs = sum(j <= i or not causal for i in range(queries) for j in range(keys)) * batch * heads
    assert counts.forward.macs == pairs * (d + d_v)
    assert counts.forward.other_flops == pairs * (1 + 1 + 2 + 1 + 1 + masked)
    assert counts.forward.loads == q.numel() + k.numel() + v.numel() + (queries * keys if masked else 0)
    assert counts.forward.stores == batch * heads * queries * (d_v + 1)  # and a log-sum-exp for the backward pass
    assert counts.backward.macs == pairs * (3 * d + 2 * d_v)


@few
@given(
    st.sampled_from(["GRU", "LSTM", "RNN"]), st.integers(1, 4), st.integers(1, 3), st.integers(1, 4), st.integers(1, 4),
    st.integers(1, 2), st.booleans(), st.booleans(), st.booleans(),
)  # fmt: skip
def test_recurrent(kind, steps, batch, inputs, hidden, layers, bidirectional, bias, batch_first):
    gates = {"GRU": 3, "LSTM": 4, "RNN": 1}[kind]
    other = {"GRU": 14, "LSTM": 19, "RNN": 2}[kind]
    model = getattr(nn, kind)(inputs, hidden, layers, bias=bias, batch_first=batch_first, bidirectional=bidirectional)
    directions = 2 if bidirectional else 1
    x = meta(batch, steps, inputs) if batch_first else meta(steps, batch, inputs)
    state = meta(layers * directions, batch, hidden)
    given_state = (state, state.clone()) if kind == "LSTM" else state
    counts = count_model(model, x, given_state, strict=True)
    macs = loads = 0
    for layer, _direction, _step in itertools.product(range(layers), range(directions), range(steps)):
        width = inputs if layer == 0 else directions * hidden
        macs += batch * gates * hidden * (width + hidden)
    for layer, _direction in itertools.product(range(layers), range(directions)):
        width = inputs if layer == 0 else directions * hidden
        loads += steps * batch * width + batch * hidden * (2 if kind == "LSTM" else 1)
        loads += gates * hidden * (width + hidden + (2 if bias else 0))
    assert counts.total.macs == macs
    assert counts.total.other_flops == other * steps * batch * hidden * layers * directions
    assert counts.total.loads == loads
    states = 2 if kind == "LSTM" else 1
    assert counts.total.stores == layers * directions * (steps * batch * hidden + states * batch * hidden)
    assert counts.total.launches == layers * directions


class Product(torch.autograd.Function):
    """a·bᵀ, which notes its multiplications and those of each gradient that autograd asks for."""

    multiplications = 0

    @staticmethod
    def forward(ctx, a, b):
        ctx.save_for_backward(a, b)
        Product.multiplications += a.shape[0] * a.shape[1] * b.shape[0]
        return a @ b.t()

    @staticmethod
    def backward(ctx, *grads):
        (grad,) = grads
        a, b = ctx.saved_tensors
        Product.multiplications += sum(ctx.needs_input_grad) * a.shape[0] * a.shape[1] * b.shape[0]
        first = grad @ b if ctx.needs_input_grad[0] else None
        return first, grad.t() @ a if ctx.needs_input_grad[1] else None


def cell(kind, x, state, weights):
    """One textbook step of a cell; `weights` as torch keeps them, biases left out."""
    h = state[0]
    gi, gh = Product.apply(x, weights[0]), Product.apply(h, weights[1])
    if kind == "RNN":
        return ((gi + gh).tanh(),)
    if kind == "GRU":
        (ri, zi, ni), (rh, zh, nh) = gi.chunk(3, 1), gh.chunk(3, 1)
        r, z = (ri + rh).sigmoid(), (zi + zh).sigmoid()
        n = (ni + r * nh).tanh()
        return (n + z * (h - n),)
    i, f, g, o = (gi + gh).chunk(4, 1)
    c = f.sigmoid() * state[1] + i.sigmoid() * g.tanh()
    h = o.sigmoid() * c.tanh()
    return (h if len(weights) < 3 else Product.apply(h, weights[2]), c)


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from(["GRU", "LSTM", "RNN"]), st.integers(1, 4), st.integers(1, 3), st.integers(1, 4), st.integers(2, 4),
    st.integers(1, 2), st.booleans(), st.booleans(), st.booleans(), st.booleans(),
)  # fmt: skip
def test_recurrent_backward(kind, steps, batch, inputs, hidden, layers, bidirectional, projected, x_grad, h_grad):
    """Against a loop over steps whose products count themselves, in both directions of autograd."""
    project = hidden - 1 if projected and kind == "LSTM" else 0
    model = getattr(nn, kind)(
        inputs, hidden, layers, bias=False, bidirectional=bidirectional, **({"proj_size": project} if project else {})
    )
    directions = 2 if bidirectional else 1
    sizes = [project or hidden, hidden] if kind == "LSTM" else [hidden]
    x = torch.randn(steps, batch, inputs, requires_grad=x_grad)
    states = [torch.zeros(layers * directions, batch, n, requires_grad=h_grad) for n in sizes]
    weights = list(model.parameters())
    per_layer = len(weights) // (layers * directions)

    Product.multiplications = 0
    y = list(x)
    for layer in range(layers):
        sides = []
        for side in range(directions):
            place = layer * directions + side
            state = tuple(s[place] for s in states)
            out = []
            for step in reversed(y) if side else y:
                state = cell(kind, step, state, weights[place * per_layer : (place + 1) * per_layer])
                out.append(state[0])
            sides.append(out[::-1] if side else out)
        y = [torch.cat(parts, 1) for parts in zip(*sides, strict=True)]
    forward, Product.multiplications = Product.multiplications, 0
    torch.stack(y).sum().backward()

    given_states = tuple(meta(*s.shape).requires_grad_(h_grad) for s in states)
    counts = count_model(
        lambda m, z, h: m(z, h)[0],
        model.to(META),
        meta(steps, batch, inputs).requires_grad_(x_grad),
        given_states if kind == "LSTM" else given_states[0],
        backward=True,
        strict=True,
    )
    assert counts.forward.macs == forward
    assert counts.backward.macs == Product.multiplications


@few
@given(st.integers(1, 3), st.integers(1, 9), st.integers(1, 3), st.integers(1, 3), st.integers(0, 1), st.booleans())
def test_pools(channels, side, kernel, stride, padding, average):
    padding = min(padding, kernel // 2)
    if side + 2 * padding < kernel:
        return
    pool = (nn.AvgPool2d if average else nn.MaxPool2d)(kernel, stride, padding)
    counts = count_model(pool, meta(2, channels, side, side), strict=True)
    out = (side + 2 * padding - kernel) // stride + 1
    row = sum(0 <= o * stride - padding + k < side for o in range(out) for k in range(kernel))
    taps, outputs = 2 * channels * row**2, 2 * channels * out**2
    if average:
        assert (counts.total.adds, counts.total.divs) == (taps, outputs)
    else:
        assert counts.total.compares == taps
    assert (counts.total.macs, counts.total.stores) == (0, outputs)


@pytest.mark.parametrize(("n_in", "n_out"), [(7, 3), (5, 5), (4, 9), (10, 1)])
def test_adaptive_pool(n_in, n_out):
    x = torch.ones(1, 1, n_in, requires_grad=True)
    y = F.adaptive_max_pool1d(x, n_out)
    counts = count_model(nn.AdaptiveAvgPool2d((1, n_out)), meta(1, 1, 1, n_in), strict=True)
    windows = sum(-(-(o + 1) * n_in // n_out) - (o * n_in) // n_out for o in range(n_out))
    assert y.shape[-1] == n_out
    assert counts.total.adds == windows
