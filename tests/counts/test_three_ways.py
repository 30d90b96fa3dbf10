"""Closed form == CountingOps == independent loops, on ragged shapes, for work and for both bases of traffic."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from energybench import kernels


def normal(seed, *shape, dtype="float32"):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


CONVOLUTIONS = [
    ((1, 1, 1, 1), (1, 1, 1, 1), False, {}),
    ((2, 3, 5, 7), (4, 3, 3, 3), True, {}),
    ((2, 3, 5, 7), (4, 3, 3, 3), True, {"padding": (1, 1)}),
    ((1, 4, 9, 6), (6, 2, 3, 2), True, {"padding": (2, 1), "stride": (3, 2), "dilation": (2, 1), "groups": 2}),
    ((2, 5, 6, 6), (5, 1, 3, 3), False, {"padding": (1, 1), "groups": 5}),
    ((1, 2, 2, 3), (3, 2, 2, 2), True, {"padding": (5, 4), "stride": (2, 3)}),
    ((1, 1, 1, 2), (1, 1, 3, 3), False, {"padding": (2, 2), "dilation": (2, 2)}),
    ((2, 2, 3, 75), (5, 2, 2, 3), True, {"padding": (1, 1)}),
    ((2, 2, 5, 7), (5, 2, 1, 1), True, {}),
    ((2, 9, 11, 13), (14, 9, 1, 1), True, {}),
    ((2, 6, 9, 16), (8, 3, 1, 1), True, {"groups": 2}),
    ((1, 3, 1, 12), (2, 3, 1, 5), True, {"padding": (0, 4), "stride": (1, 3)}),
    ((1, 2, 3, 2), (37, 2, 1, 1), True, {}),
    ((1, 1, 2, 240), (1, 1, 1, 2), True, {"stride": (1, 2)}),
    ((1, 3, 1, 2), (2, 3, 1, 2), False, {"padding": (0, 1)}),
    ((1, 2, 4, 21), (2, 1, 3, 3), False, {"padding": (3, 5), "groups": 2}),
    ((1, 2, 1, 3), (2, 1, 3, 3), True, {"padding": (4, 1), "groups": 2}),
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("x", "w", "with_bias", "options"), CONVOLUTIONS)
def test_conv2d(agree, x, w, with_bias, options, dtype):
    bias = normal(3, w[0], dtype=dtype) if with_bias else None
    for algorithm in ("im2col", "direct"):
        arrays = [normal(1, *x, dtype=dtype)], [normal(2, *w, dtype=dtype), bias]
        agree("conv2d", *arrays, algorithm=algorithm, **options)


def test_conv2d_of_blocks_of_images(agree):
    """Blocks of one image, of which two go round among two threads; of two images, and one more."""
    for images, columns in ((3, 400), (5, 300)):
        x, w = normal(1, images, 1, 350, columns), normal(2, 6, 1, 2, 3)
        agree("conv2d", [x], [w, normal(3, 6)], stride=(11, 12), padding=(1, 1))


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_conv2d(agree, data):
    size = st.integers(1, 5)
    groups, per_in, per_out = (data.draw(st.integers(1, 3)) for _ in range(3))
    H, W, KH, KW = (data.draw(size) for _ in range(4))
    pair = st.tuples(st.integers(1, 3), st.integers(1, 3))
    options = {"stride": data.draw(pair), "dilation": data.draw(pair), "groups": groups}
    options["padding"] = data.draw(st.tuples(st.integers(0, 4), st.integers(0, 4)))
    (dh, dw), (ph, pw) = options["dilation"], options["padding"]
    assume(H + 2 * ph > dh * (KH - 1) and W + 2 * pw > dw * (KW - 1))
    bias = normal(3, groups * per_out) if data.draw(st.booleans()) else None
    x, w = normal(1, data.draw(st.integers(1, 2)), groups * per_in, H, W), normal(2, groups * per_out, per_in, KH, KW)
    agree("conv2d", [x], [w, bias], **options)
    agree("conv2d_backward", *gradient_arrays(x.shape, w.shape, options), has_bias=bias is not None, **options)


def gradient_arrays(x, w, options, dtype="float32"):
    """A gradient of y that fits, x and w."""
    import torch

    convolve = torch.nn.functional.conv1d if len(x) == 3 else torch.nn.functional.conv2d
    y = convolve(torch.empty(x, device="meta"), torch.empty(w, device="meta"), **options)
    return [normal(4, *y.shape, dtype=dtype), normal(1, *x, dtype=dtype)], [normal(2, *w, dtype=dtype)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("x", "w", "with_bias", "options"), CONVOLUTIONS)
def test_conv2d_backward(agree, x, w, with_bias, options, dtype):
    for algorithm in ("im2col", "direct"):
        arrays = gradient_arrays(x, w, options, dtype)
        agree("conv2d_backward", *arrays, algorithm=algorithm, has_bias=with_bias, **options)


def test_conv2d_backward_of_many_pixels(agree):
    """The tuned rungs sum up 2048 pixels of a weight's gradient at a time."""
    agree("conv2d_backward", *gradient_arrays((1, 1, 3, 700), (5, 1, 1, 1), {}))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("x", "w", "with_bias", "options"),
    [
        ((1, 1, 1), (1, 1, 1), False, {}),
        ((2, 3, 19), (7, 3, 4), True, {"stride": 2, "padding": 3, "dilation": 2}),
        ((1, 4, 40), (6, 2, 3), True, {"groups": 2, "padding": 1}),
    ],
)
def test_conv1d(agree, x, w, with_bias, options, dtype):
    bias = normal(3, w[0], dtype=dtype) if with_bias else None
    agree("conv1d", [normal(1, *x, dtype=dtype)], [normal(2, *w, dtype=dtype), bias], **options)
    for algorithm in ("im2col", "direct"):
        arrays = gradient_arrays(x, w, options, dtype)
        agree("conv1d_backward", *arrays, has_bias=with_bias, algorithm=algorithm, **options)


def nhwc(array):
    return np.ascontiguousarray(array.transpose(0, 2, 3, 1))


#: Depthwise: whole blocks of four pixels, channels beyond two vectors, no pixel whose taps are all inside. More output
#: channels than one block of columns.
OF_CHANNELS = [
    ((1, 37, 5, 13), (37, 1, 3, 3), True, {"padding": (1, 1), "groups": 37}),
    ((2, 5, 6, 11), (5, 1, 3, 2), False, {"padding": (2, 1), "stride": (2, 2), "dilation": (1, 3), "groups": 5}),
    ((1, 3, 2, 3), (3, 1, 5, 5), True, {"padding": (2, 2), "groups": 3}),
    ((1, 19, 5, 4), (35, 19, 3, 3), True, {"padding": (1, 1)}),
    ((1, 1, 2, 3), (1030, 1, 2, 2), False, {"padding": (1, 0)}),
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("x", "w", "with_bias", "options"), [*CONVOLUTIONS, *OF_CHANNELS])
def test_conv2d_nhwc(agree, x, w, with_bias, options, dtype):
    bias = normal(3, w[0], dtype=dtype) if with_bias else None
    agree("conv2d_nhwc", [nhwc(normal(1, *x, dtype=dtype))], [nhwc(normal(2, *w, dtype=dtype)), bias], **options)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("x", "w", "with_bias", "options"), [*CONVOLUTIONS, *OF_CHANNELS])
def test_conv2d_nhwc_backward(agree, x, w, with_bias, options, dtype):
    inputs, weights = gradient_arrays(x, w, options, dtype)
    agree("conv2d_nhwc_backward", [*map(nhwc, inputs)], [*map(nhwc, weights)], has_bias=with_bias, **options)


def gru_arrays(T, B, I, H, bias, gate, dtype="float32"):  # noqa: E741
    def make(*shape):
        return normal(sum(shape), *shape, dtype=dtype)

    biases = [make(3 * H), make(3 * H)] if bias else [None, None]
    extra = (make(H, I), make(H, H), *([make(H), make(H)] if bias else [None, None]))
    options = {"output_gate": extra} if gate else {}
    return [make(T, B, I), make(B, H)], [make(3 * H, I), make(3 * H, H), *biases], options


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("gate", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(("T", "B", "I", "H"), [(1, 1, 1, 1), (1, 2, 3, 5), (5, 3, 2, 4), (3, 7, 6, 33)])
def test_gru(agree, T, B, I, H, bias, gate, dtype):  # noqa: E741
    inputs, weights, options = gru_arrays(T, B, I, H, bias, gate, dtype)
    agree("gru", inputs, weights, **options)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("gate", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(("T", "B", "I", "H"), [(1, 1, 1, 1), (1, 2, 3, 5), (4, 3, 2, 3), (2, 7, 6, 17)])
def test_gru_backward(agree, T, B, I, H, bias, gate, dtype):  # noqa: E741
    inputs, weights, options = gru_arrays(T, B, I, H, bias, gate, dtype)
    agree("gru", inputs, weights, return_gates=True, **options)
    y, h_n, gates = kernels.gru(*inputs, *weights, return_gates=True, **options)
    extra = {"output_gate": (*options["output_gate"][:2], None, None)} if gate else {}
    given = [normal(9, *y.shape, dtype=dtype), h_n if bias else None, *inputs, None if gate else y, gates]
    agree("gru_backward", given, weights[:2], has_bias=bias, **extra)


def test_gru_backward_of_many_rows(agree):
    """The weights' gradients are products over all steps and sequences, which are taken 256 at a time."""
    inputs, weights, _ = gru_arrays(130, 2, 1, 2, bias=True, gate=False)
    y, _, gates = kernels.gru(*inputs, *weights, return_gates=True)
    agree("gru_backward", [normal(9, *y.shape) / 9, None, *inputs, y, gates], weights[:2], has_bias=True)


def test_gru_of_many_rows(agree):
    """The tuned rungs take the input side of 1024 rows at a time."""
    inputs, weights, options = gru_arrays(1030, 1, 1, 2, bias=True, gate=True)
    agree("gru", inputs, weights, **options)


@settings(max_examples=30, deadline=None)
@given(sizes=st.tuples(*[st.integers(1, 5)] * 4), bias=st.booleans(), gate=st.booleans())
def test_any_gru(agree, sizes, bias, gate):
    T, B, I, H = sizes  # noqa: E741
    inputs, weights, options = gru_arrays(T, B, I, H, bias, gate)
    agree("gru", inputs, weights, **options)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(
    ("B", "Hn", "S_q", "S_k", "D"),
    [(1, 1, 1, 1, 1), (2, 3, 5, 5, 4), (1, 2, 3, 7, 5), (2, 1, 7, 3, 2), (1, 1, 22, 71, 19)],
)
def test_attention(agree, B, Hn, S_q, S_k, D, causal, dtype):
    q, k, v = (normal(s, B, Hn, s, D, dtype=dtype) for s in (S_q, S_k, S_k))
    agree("attention", [q, k, v], [], causal=causal)


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.tuples(st.integers(1, 2), st.integers(1, 3), st.integers(1, 6), st.integers(1, 6), st.integers(1, 4)),
    causal=st.booleans(),
)
def test_any_attention(agree, sizes, causal):
    B, Hn, S_q, S_k, D = sizes
    agree("attention", [normal(s, B, Hn, s, D) for s in (S_q, S_k, S_k)], [], causal=causal)


#: One pair, ragged tiles, several blocks of 64 keys, several chunks of 64 queries, a mask that ends within both.
LONG = pytest.mark.parametrize(
    ("B", "Hn", "S_q", "S_k", "D"),
    [(1, 1, 1, 1, 1), (2, 3, 5, 5, 4), (1, 2, 7, 3, 2), (1, 1, 9, 23, 19), (1, 1, 67, 67, 3), (1, 1, 66, 130, 1)],
)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("causal", [False, True])
@LONG
def test_online_attention(agree, B, Hn, S_q, S_k, D, causal, dtype):
    q, k, v = (normal(s, B, Hn, s, D, dtype=dtype) for s in (S_q, S_k, S_k))
    agree("online_attention", [q, k, v], [], causal=causal)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("causal", [False, True])
@LONG
def test_attention_backward(agree, B, Hn, S_q, S_k, D, causal, dtype):
    grad, q, k, v, y = (normal(7 + i, B, Hn, s, D, dtype=dtype) for i, s in enumerate((S_q, S_q, S_k, S_k, S_q)))
    agree("attention_backward", [grad, q, k, v, y, 4 + normal(1, B, Hn, S_q, dtype=dtype)], [], causal=causal)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("with_bias", [False, True])
@pytest.mark.parametrize(
    ("M", "K", "N"), [(1, 1, 1), (3, 5, 7), (4, 19, 9), (8, 1, 2), (7, 9, 17), (13, 300, 3), (33, 257, 5)]
)
def test_linear(agree, M, K, N, with_bias, dtype):
    bias = normal(3, N, dtype=dtype) if with_bias else None
    agree("linear", [normal(1, M, K, dtype=dtype)], [normal(2, N, K, dtype=dtype), bias])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_product_too_few_of_small_numbers_is_beyond_the_bound(rounding_bounds, brute_force, dtype):
    x, w = ((0.5 + np.abs(normal(seed, rows, 300))).astype(dtype) / 1000 for seed, rows in ((1, 3), (2, 5)))
    outputs, tally = brute_force["linear"](x, w, None)
    (bound,) = rounding_bounds("linear", [x, w, None], outputs, tally, {})
    assert (np.abs(x.astype("float64") @ w.T.astype("float64") - outputs[0]) <= bound).all()
    assert (np.abs(x[:, :-1] @ w[:, :-1].T - outputs[0]) > bound).all()
    assert bound.max() < 1e-7


LAYOUTS = pytest.mark.parametrize(("x_layout", "w_layout"), [("mk", "nk"), ("km", "nk"), ("mk", "kn"), ("km", "kn")])
PRODUCTS = pytest.mark.parametrize(
    ("M", "K", "N"),
    [(1, 1, 1), (3, 5, 7), (4, 19, 9), (8, 1, 2), (2, 40, 37), (7, 9, 17), (5, 3, 66), (33, 6, 35), (35, 3, 515)],
)


def stored(layout, array):
    return np.ascontiguousarray(array.T) if layout in ("km", "kn") else array


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@LAYOUTS
@PRODUCTS
def test_linear_of_stored_transposed(agree, M, K, N, x_layout, w_layout, dtype):
    x, w = stored(x_layout, normal(1, M, K, dtype=dtype)), stored(w_layout, normal(2, N, K, dtype=dtype))
    agree("linear", [x], [w, normal(3, N, dtype=dtype)], x_layout=x_layout, w_layout=w_layout)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("has_bias", [False, True])
@LAYOUTS
@PRODUCTS
def test_linear_backward(agree, M, K, N, x_layout, w_layout, has_bias, dtype):
    x, w = stored(x_layout, normal(1, M, K, dtype=dtype)), stored(w_layout, normal(2, N, K, dtype=dtype))
    options = {"has_bias": has_bias, "x_layout": x_layout, "w_layout": w_layout}
    agree("linear_backward", [normal(3, M, N, dtype=dtype), x], [w], **options)


def test_linear_backward_of_several_blocks(agree):
    """Sums of more than 256 products wait in the gradients between two blocks of them."""
    agree("linear_backward", [normal(3, 5, 270), normal(1, 5, 3)], [normal(2, 270, 3)])


ROWS = [(1,), (7,), (3, 1), (2, 3, 5)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", ROWS)
def test_softmax(agree, shape, dtype):
    agree("softmax", [normal(1, *shape, dtype=dtype)], [])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("weights", ["none", "weight", "bias", "both"])
@pytest.mark.parametrize("shape", ROWS)
def test_layer_norm(agree, shape, weights, dtype):
    weight = normal(2, shape[-1], dtype=dtype) if weights in ("weight", "both") else None
    bias = normal(3, shape[-1], dtype=dtype) if weights in ("bias", "both") else None
    agree("layer_norm", [normal(1, *shape, dtype=dtype)], [weight, bias], eps=0.1)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(), (1,), (13,), (3, 2, 5)])
@pytest.mark.parametrize("function", ["relu", "sigmoid", "tanh", "gelu"])
def test_pointwise(agree, function, shape, dtype):
    agree(function, [np.asarray(normal(1, *shape, dtype=dtype))], [])


POOLS = [
    ((1, 1, 1, 1), {"kernel_size": (1, 1), "stride": (1, 1)}),
    ((2, 3, 7, 9), {"kernel_size": (3, 2), "stride": (2, 3)}),
    ((2, 3, 6, 5), {"kernel_size": (3, 3), "stride": (2, 1), "padding": (1, 1)}),
    ((1, 2, 2, 3), {"kernel_size": (4, 2), "stride": (1, 2), "padding": (2, 1)}),
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("shape", "options"), POOLS)
@pytest.mark.parametrize("kind", ["max_pool2d", "avg_pool2d"])
def test_pool(agree, kind, shape, options, dtype):
    agree(kind, [normal(1, *shape, dtype=dtype)], [], **options)


def test_dilated_pool(agree):
    agree("max_pool2d", [normal(1, 2, 1, 8, 9)], [], kernel_size=(3, 2), stride=(2, 1), padding=(1, 1), dilation=(2, 3))
