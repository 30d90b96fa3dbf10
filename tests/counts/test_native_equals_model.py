"""What a native kernel counts is what its torch twin counts, on any shape: coefficients fitted on one fit the other."""

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import energybench as eb
from energybench.counting import count_model
from energybench.records.op_counts import OpCounts

SHARED = ("macs", "nominal_macs", "other_flops", "load_bytes", "store_bytes")
some = settings(max_examples=40, deadline=None)


def shared(counts):
    return {name: getattr(counts, name) for name in SHARED}


def of_direction(model, direction):
    """The layer's own rows: torch also hands a zero gradient of the unused last state through its stack of layers."""
    rows = [row for row in model.rows if row.direction == direction and row.operator.startswith("gru")]
    return shared(OpCounts.sum([row.counts for row in rows]))


def backward_pass(module, x):
    """What the model counter says of a module's backward pass."""
    rows = count_model(module, x, strict=True, backward=True).rows
    assert sum(row.counts.launches for row in rows if row.direction == "backward") == 1
    return OpCounts.sum([row.counts for row in rows if row.direction == "backward"])


def assert_equal_counts(kernel, arrays, twin, inputs, **options):
    native = eb.kernels.count(kernel, *arrays, **options)
    model = eb.count(twin, *inputs, strict=True).total
    assert shared(native) == shared(model)
    assert native.macs > 0 or native.nominal_macs > 0


def assert_equal_gradients(kernel, arrays, twin, inputs, **options):
    """The gradient kernel against the rows of the twin's backward pass; the inputs require their gradients."""
    native = eb.kernels.count(kernel, *arrays, **options)
    model = count_model(twin, *inputs, strict=True, backward=True)
    backward = OpCounts.sum([row.counts for row in model.rows if row.direction == "backward"])
    assert shared(native) == shared(backward)
    assert native.launches == backward.launches
    assert native.macs > 0


@some
@given(data=st.data(), dtype=st.sampled_from([torch.float32, torch.float64]))
def test_conv2d(data, dtype):
    groups, per_in, per_out, batch = (data.draw(st.integers(1, 3)) for _ in range(4))
    side, pair = st.integers(1, 6), st.tuples(st.integers(1, 3), st.integers(1, 3))
    height, width, kh, kw = (data.draw(side) for _ in range(4))
    padding = data.draw(st.tuples(st.integers(0, 4), st.integers(0, 4)))
    options = {"stride": data.draw(pair), "padding": padding, "dilation": data.draw(pair), "groups": groups}
    assume(height + 2 * padding[0] > options["dilation"][0] * (kh - 1))
    assume(width + 2 * padding[1] > options["dilation"][1] * (kw - 1))
    module = torch.nn.Conv2d(
        groups * per_in, groups * per_out, (kh, kw), bias=data.draw(st.booleans()), dtype=dtype, **options
    ).requires_grad_(False)
    x = torch.zeros(batch, groups * per_in, height, width, dtype=dtype)
    assert_equal_counts("conv2d", (x, module.weight, module.bias), module, (x,), **options)

    module.requires_grad_(True)
    grad = torch.zeros_like(module(x)).detach()
    arrays = (grad, x, module.weight.detach())
    native = eb.kernels.count("conv2d_backward", *arrays, has_bias=module.bias is not None, **options)
    model = shared(backward_pass(module, x.requires_grad_()))
    assert shared(native) == model
    with torch.no_grad():
        channels_last = [array.permute(0, 2, 3, 1) for array in arrays]
    of_pixels = eb.kernels.count("conv2d_nhwc_backward", *channels_last, has_bias=module.bias is not None, **options)
    assert shared(of_pixels) == model


@some
@given(sizes=st.tuples(*[st.integers(1, 3)] * 4), window=st.tuples(*[st.integers(1, 3)] * 3), bias=st.booleans())
def test_gradients_of_conv1d(sizes, window, bias):
    groups, per_in, per_out, batch = sizes
    kernel, stride, dilation = window
    options = {"stride": stride, "padding": 1, "dilation": dilation, "groups": groups}
    module = torch.nn.Conv1d(groups * per_in, groups * per_out, kernel, bias=bias, **options)
    x = torch.zeros(batch, groups * per_in, 7, requires_grad=True)
    arrays = torch.zeros_like(module(x)).detach(), x.detach(), module.weight.detach()
    native = eb.kernels.count("conv1d_backward", *arrays, has_bias=bias, **options)
    assert shared(native) == shared(backward_pass(module, x))
    assert native.macs > 0


@some
@given(sizes=st.tuples(*[st.integers(1, 6)] * 4), bias=st.booleans(), dtype=st.sampled_from(["float32", "float64"]))
def test_gru(sizes, bias, dtype):
    steps, batch, inputs, hidden = sizes
    kind = getattr(torch, dtype)
    module = torch.nn.GRU(inputs, hidden, bias=bias, dtype=kind).requires_grad_(False)
    x, h0 = torch.zeros(steps, batch, inputs, dtype=kind), torch.zeros(batch, hidden, dtype=kind)
    assert_equal_counts("gru", (x, h0, *module.parameters()), module, (x, h0.unsqueeze(0)))


class FirstResult(torch.nn.GRU):
    """A GRU whose last state nobody uses."""

    def forward(self, *inputs):
        return super().forward(*inputs)[0]


@some
@given(sizes=st.tuples(*[st.integers(1, 6)] * 4), bias=st.booleans(), last=st.booleans())
def test_gru_in_training(sizes, bias, last):
    steps, batch, inputs, hidden = sizes
    module = (torch.nn.GRU if last else FirstResult)(inputs, hidden, bias=bias)
    x, h0 = torch.zeros(steps, batch, inputs, requires_grad=True), torch.zeros(1, batch, hidden, requires_grad=True)
    model = eb.count(module, x, h0, strict=True, backward=True)
    weights = [p.detach() for p in module.parameters()]
    arrays = x.detach(), h0.detach()[0]
    assert shared(eb.kernels.count("gru", *arrays, *weights, return_gates=True)) == of_direction(model, "forward")
    kept, y = torch.zeros(steps, batch, 4, hidden), torch.zeros(steps, batch, hidden)
    given = (y, arrays[1] if last else None, *arrays, y, kept, *weights[:2])
    native = eb.kernels.count("gru_backward", *given, has_bias=bias)
    assert shared(native) == of_direction(model, "backward")
    assert native.macs == 2 * 3 * hidden * (inputs + hidden) * steps * batch


@some
@given(sizes=st.tuples(*[st.integers(1, 6)] * 5), causal=st.booleans())
def test_attention(sizes, causal):
    batch, heads, queries, keys, d = sizes
    q, k, v = (torch.zeros(batch, heads, n, d) for n in (queries, keys, keys))

    def twin(q, k, v):
        return F.scaled_dot_product_attention(q, k, v, is_causal=causal)

    assert_equal_counts("attention", (q, k, v), twin, (q, k, v), causal=causal)
    inputs = [t.clone().requires_grad_() for t in (q, k, v)]
    lse = torch.zeros(batch, heads, queries)
    assert_equal_gradients("attention_backward", (q, q, k, v, q, lse), twin, inputs, causal=causal)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(("queries", "keys"), [(3, 5), (70, 70), (5, 200)])
def test_online_attention_differs_from_its_twin_by_what_its_page_says(queries, keys, causal):
    """A block of 64 keys after a query's first costs a correction; the outputs are divided, not the probabilities."""
    batch, heads, d = 2, 3, 4
    q, k, v = (torch.zeros(batch, heads, n, d, requires_grad=True) for n in (queries, keys, keys))
    model = count_model(
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=causal), q, k, v, backward=True
    )
    twin = OpCounts.sum([row.counts for row in model.rows if row.direction == "forward"])
    native = eb.kernels.count("online_attention", q, k, v, causal=causal)
    seen = [min(i + 1, keys) if causal else keys for i in range(queries)]
    corrections = batch * heads * sum((n - 1) // 64 for n in seen)
    rows, pairs = batch * heads * queries, batch * heads * sum(seen)
    for name in ("macs", "nominal_macs", "compares", "load_bytes", "store_bytes"):
        assert getattr(native, name) == getattr(twin, name), name
    assert native.muls == twin.muls + corrections * (1 + d)
    assert native.adds == twin.adds + corrections + rows
    assert native.specials == twin.specials + corrections + rows
    assert native.divs == twin.divs - pairs + rows * d


@some
@given(
    sizes=st.tuples(*[st.integers(1, 9)] * 3),
    bias=st.booleans(),
    x_layout=st.sampled_from(["mk", "km"]),
    w_layout=st.sampled_from(["nk", "kn"]),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_linear_in_both_directions(sizes, bias, x_layout, w_layout, dtype):
    M, K, N = sizes
    x = torch.zeros(*((M, K) if x_layout == "mk" else (K, M)), dtype=dtype)
    w = torch.zeros(*((N, K) if w_layout == "nk" else (K, N)), dtype=dtype)
    b = torch.zeros(N, dtype=dtype) if bias else None

    def twin(x, w, b=None):
        return F.linear(x if x_layout == "mk" else x.t(), w if w_layout == "nk" else w.t(), b)

    layouts = {"x_layout": x_layout, "w_layout": w_layout}
    given_tensors = [t for t in (x, w, b) if t is not None]
    assert_equal_counts("linear", (x, w, b), twin, given_tensors, **layouts)
    grad, inputs = torch.zeros(M, N, dtype=dtype), [t.clone().requires_grad_() for t in given_tensors]
    assert_equal_gradients("linear_backward", (grad, x, w), twin, inputs, has_bias=bias, **layouts)


@pytest.mark.parametrize("kernel", ["conv2d", "gru", "attention"])
def test_every_kernel_has_a_twin(kernel):
    assert kernel in {spec.operator for spec in eb.kernels.list_kernels()}
