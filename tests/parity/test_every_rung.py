"""Rows, pointwise functions, pooling and optimiser steps, forward and backward, on every rung that runs here.

The reference is torch in float64, gradients by autograd. Shapes are ragged: shorter than a vector, one longer, several
vectors and a rest; rows beyond one chunk of the layer norm's sums.
"""

import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - the name that torch's own documentation uses

from energybench import kernels
from energybench.errors import NativeModuleError, UsageError

UNIT = {torch.float32: 2.0**-24, torch.float64: 2.0**-53}
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
RUNGS = tuple(s.variant for s in kernels.list_kernels() if s.name == "relu" and s.dtype == "float32" and s.runnable)
EACH_RUNG = pytest.mark.parametrize("variant", RUNGS)
ROWS = [(3, 1), (5, 7), (2, 3, 33), (70, 40)]


def normal(*shape, dtype=torch.float32, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def call(kernel, *arrays, **options):
    """The result with one thread, after a look that two give the same bits."""
    one, two = (getattr(kernels, kernel)(*arrays, threads=threads, **options) for threads in (1, 2))
    for a, b in zip(*((r if isinstance(r, tuple) else (r,)) for r in (one, two)), strict=True):
        assert (a is None and b is None) or a.numpy().tobytes() == b.numpy().tobytes()
    return one


def double(*tensors):
    return [t.detach().clone().double().requires_grad_() for t in tensors]


def gradients(function, grad, *tensors):
    """The result in float64 and its gradients, by autograd."""
    inputs = double(*tensors)
    result = function(*inputs)
    return result.detach(), torch.autograd.grad(result, inputs, grad.double())


def test_the_rungs_of_this_processor_are_tested():
    # one processor in the lab without AVX-512 must not silently test less than it can
    assert RUNGS[:2] == ("naive", "blocked")
    assert {s.variant for s in kernels.list_kernels() if s.name == "relu" and s.runnable} == set(RUNGS)


# ---- pointwise
FUNCTIONS: dict[str, Any] = {
    "relu": torch.relu,
    "leaky_relu": lambda x: F.leaky_relu(x, 0.2),
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "gelu": F.gelu,
}
OPTIONS: dict[str, dict[str, Any]] = {"leaky_relu": {"negative_slope": 0.2}}
#: Those whose gradient is made from the function's result.
FROM_RESULT = ("relu", "sigmoid", "tanh")


@EACH_RUNG
@DTYPES
@pytest.mark.parametrize("function", FUNCTIONS)
def test_pointwise(function, dtype, variant, assert_within):
    # more than the 512 elements that a thread asks for ahead, for each of two
    x = torch.cat([normal(2097, dtype=dtype), torch.linspace(-30, 30, 61, dtype=dtype)]).reshape(2, 1079)
    grad, options = normal(2, 1079, dtype=dtype, seed=1), OPTIONS.get(function, {})
    reference, (slope,) = gradients(FUNCTIONS[function], grad, x)
    y = call(function, x, variant=variant, **options)
    # vector functions are within 4 units in the last place; gelu's 1 + erf cancels far below zero: error u·|x|
    size = x.double().abs() + 1 if function == "gelu" else reference.abs()
    assert_within(y, reference, 12 * UNIT[dtype] * size + 1e-44)
    kept = y if function in FROM_RESULT else x
    dx = call(f"{function}_backward", grad, kept, variant=variant, **options)
    # from a rounded y: 1 − y and 1 − y² are known to u, not to u·(1 − y); gelu's sum of two terms likewise
    bound = 40 * UNIT[dtype] * (grad.double().abs() * (1 + x.double().abs() * (function == "gelu")))
    assert_within(dx, slope, bound + 1e-44)


@EACH_RUNG
@pytest.mark.parametrize("function", ["relu", "leaky_relu", "sigmoid", "tanh"])
def test_non_finite_values_compute_as_in_torch(function, variant):
    x = torch.tensor([math.inf, math.nan, -math.inf, 0.0, -0.0, 1.0] * 7)
    options = OPTIONS.get(function, {})
    y = call(function, x, variant=variant, **options)
    np.testing.assert_allclose(y.numpy(), FUNCTIONS[function](x.double()).float().numpy(), rtol=1e-6)
    kept = FUNCTIONS[function](x) if function in FROM_RESULT else x
    grad = torch.ones_like(x)
    gradients_of: dict[str, Any] = {
        "relu": lambda g, y: torch.ops.aten.threshold_backward(g, y, 0),
        "leaky_relu": lambda g, x: torch.ops.aten.leaky_relu_backward(g, x, 0.2, False),
        "sigmoid": torch.ops.aten.sigmoid_backward,
        "tanh": torch.ops.aten.tanh_backward,
    }
    aten = gradients_of[function]
    dx = call(f"{function}_backward", grad, kept, variant=variant, **options)
    np.testing.assert_allclose(dx.numpy(), aten(grad, kept).numpy(), rtol=1e-6, atol=1e-7)


@EACH_RUNG
@DTYPES
def test_sums_are_exact(dtype, variant):
    x, other, table = normal(3, 5, 21, dtype=dtype), normal(3, 5, 21, dtype=dtype, seed=1), normal(5, 21, dtype=dtype)
    assert torch.equal(call("add", x, other, variant=variant), x + other)
    assert torch.equal(call("positional_encoding", x, table, variant=variant), x + table)


def test_sinusoids_are_those_of_the_paper():
    table = kernels.sinusoids(50, 7, "float64")
    for position, column in ((0, 0), (0, 1), (49, 4), (13, 5), (31, 6)):
        angle = position / 10_000 ** ((column - column % 2) / 7)
        assert table[position, column] == pytest.approx(math.cos(angle) if column % 2 else math.sin(angle), abs=1e-12)


# ---- rows
@EACH_RUNG
@DTYPES
@pytest.mark.parametrize("shape", ROWS)
@pytest.mark.parametrize("function", ["softmax", "log_softmax"])
def test_softmax(function, shape, dtype, variant, assert_within):
    x, grad = 10 * normal(*shape, dtype=dtype), normal(*shape, dtype=dtype, seed=1)
    reference, (slope,) = gradients(lambda x: getattr(torch, function)(x, -1), grad, x)
    y = call(function, x, variant=variant)
    # each exponential: a rounded difference of at most 2·max|x|, then a sum of n terms
    relative = (2 * float(x.abs().max()) + shape[-1] + 16) * UNIT[dtype]
    assert_within(y, reference, relative * (reference.abs() if function == "softmax" else 1) + 1e-44)
    dx = call(f"{function}_backward", grad, y, variant=variant)
    share = reference if function == "softmax" else reference.exp()
    total = (grad.double().abs() * (share if function == "softmax" else 1)).sum(-1, keepdim=True)
    assert_within(dx, slope, 4 * relative * (grad.double().abs() + share * total) + 1e-44)


@EACH_RUNG
def test_softmax_does_not_overflow(variant):
    x = torch.tensor([[1e30, 1e30, -1e30], [-3e38, 3e38, 0.0]])
    assert call("softmax", x, variant=variant).tolist() == [[0.5, 0.5, 0.0], [0.0, 1.0, 0.0]]
    wide = torch.full((2, 53), -1e30)
    wide[:, 52] = 3.0
    assert call("softmax", wide, variant=variant)[:, 52].tolist() == [1.0, 1.0]


@EACH_RUNG
@pytest.mark.parametrize("position", [0, 9, 36])
def test_a_nan_makes_its_row_nan_and_no_other(position, variant):
    x = normal(3, 37)
    x[1, position] = math.nan
    for function in ("softmax", "log_softmax", "layer_norm"):
        y = call(function, x, variant=variant)
        assert torch.isnan(y[1]).all()
        assert not torch.isnan(y[[0, 2]]).any()


@EACH_RUNG
@DTYPES
@pytest.mark.parametrize("weights", ["none", "weight", "both"])
@pytest.mark.parametrize("shape", [(2,), *ROWS[1:]])
def test_layer_norm(shape, weights, dtype, variant, assert_within):
    n = shape[-1]
    x, grad = normal(*shape, dtype=dtype) + 3, normal(*shape, dtype=dtype, seed=3)
    w = normal(n, dtype=dtype, seed=1) if weights != "none" else None
    b = normal(n, dtype=dtype, seed=2) if weights == "both" else None
    given = [t for t in (x, w, b) if t is not None]
    reference, slopes = gradients(lambda x, w=None, b=None: F.layer_norm(x, (n,), w, b, 1e-3), grad, *given)
    options: Any = {"variant": variant}
    y, mean, rstd = call("layer_norm", x, w, b, eps=1e-3, return_statistics=True, **options)
    assert torch.equal(y, call("layer_norm", x, w, b, eps=1e-3, **options))
    # sums of n terms (relative n·u) of values whose mean is a few standard deviations away
    spread = float(x.double().abs().max() / (x.double().var(-1, correction=0) + 1e-3).sqrt().min())
    scale = max(1.0, 1.0 if w is None else float(w.abs().max()))
    bound = 4 * (n + 8) * UNIT[dtype] * spread * scale
    assert_within(y, reference, bound)
    assert_within(mean, x.double().mean(-1), 4 * (n + 2) * UNIT[dtype] * x.double().abs().max())
    dx, dweight, dbias = call("layer_norm_backward", grad, x, mean, rstd, w, has_bias=b is not None, **options)
    # the gradient is a projection times rstd: what y errs by, times rstd and the gradient's size
    steep = float(rstd.max()) * float(grad.abs().max()) * (1 + float(reference.abs().max())) * math.sqrt(n)
    assert_within(dx, slopes[0], bound * steep)
    rows = math.prod(shape[:-1])
    size = float(grad.abs().max()) * (spread + 1)
    assert (dweight is None, dbias is None) == (w is None, b is None)
    if dweight is not None:
        assert_within(dweight, slopes[1], 4 * (rows + n + 8) * UNIT[dtype] * spread * size * rows)
    if dbias is not None:
        assert_within(dbias, slopes[2], 2 * rows * UNIT[dtype] * grad.double().abs().reshape(rows, n).sum(0) + 1e-300)


# ---- pooling
POOLS: list[tuple[tuple[int, ...], dict[str, Any]]] = [
    ((1, 1, 1, 1), {"kernel_size": 1}),
    ((2, 3, 7, 9), {"kernel_size": (3, 2)}),
    ((2, 3, 6, 45), {"kernel_size": 3, "stride": (2, 1), "padding": 1}),
    ((2, 1, 9, 67), {"kernel_size": 3, "stride": 2, "padding": 1}),
    ((1, 2, 5, 70), {"kernel_size": (2, 3), "stride": 3}),
    ((1, 2, 2, 3), {"kernel_size": (4, 2), "stride": (1, 2), "padding": (2, 1)}),
]


@EACH_RUNG
@DTYPES
@pytest.mark.parametrize(("shape", "options"), POOLS)
def test_pools(shape, options, dtype, variant, assert_within):
    x, run = normal(*shape, dtype=dtype), {"variant": variant}
    expected, places = F.max_pool2d(x, return_indices=True, **options)
    assert torch.equal(call("max_pool2d", x, **run, **options), expected)
    y, indices = call("max_pool2d", x, return_indices=True, **run, **options)
    assert torch.equal(y, expected)
    assert torch.equal(indices, places)
    grad, size = normal(*y.shape, dtype=dtype, seed=1), shape[2:]
    _, (slope,) = gradients(lambda x: F.max_pool2d(x, **options), grad, x)
    dx = call("max_pool2d_backward", grad, indices, input_size=size, **run, **options)
    window = 9 * UNIT[dtype]
    assert_within(dx, slope, window * slope.abs().max() * 9 + 1e-300)

    average, (share,) = gradients(lambda x: F.avg_pool2d(x, **options), grad, x)
    bound = 20 * UNIT[dtype] * F.avg_pool2d(x.double().abs(), **options)
    assert_within(call("avg_pool2d", x, **run, **options), average, bound + 1e-300)
    dx = call("avg_pool2d_backward", grad, input_size=size, **run, **options)
    assert_within(dx, share, window * float(grad.abs().max()) * 9 + 1e-300)


@EACH_RUNG
@pytest.mark.parametrize("width", [9, 41])
def test_dilated_max_pool(width, variant):
    x = normal(2, 1, 11, width)
    options: Any = {"kernel_size": (3, 2), "stride": (2, 1), "padding": (1, 1), "dilation": (2, 3)}
    y, indices = call("max_pool2d", x, variant=variant, return_indices=True, **options)
    expected, places = F.max_pool2d(x, return_indices=True, **options)
    assert torch.equal(y, expected)
    assert torch.equal(indices, places)


@EACH_RUNG
def test_winners_of_equal_infinite_and_nan_elements_are_torchs(variant):
    x = torch.zeros(1, 4, 6, 40)
    x[0, 1] = -math.inf
    x[0, 2, ::2, ::3] = math.nan
    x[0, 3] = normal(6, 40).round()
    windows: list[dict[str, Any]] = [{"kernel_size": 2}, {"kernel_size": 3, "stride": 1, "padding": 1}]
    for options in windows:
        y, indices = call("max_pool2d", x, variant=variant, return_indices=True, **options)
        expected, places = F.max_pool2d(x, return_indices=True, **options)
        np.testing.assert_array_equal(y.numpy(), expected.numpy())
        np.testing.assert_array_equal(indices.numpy(), places.numpy())


@EACH_RUNG
@pytest.mark.parametrize("place", [-1, 16, 2**40])
def test_a_winner_outside_the_image_is_refused_and_nothing_is_written_there(place, variant):
    indices = torch.zeros(1, 1, 2, 2, dtype=torch.int64)
    indices[0, 0, 1, 1] = place
    with pytest.raises(NativeModuleError, match="a winner lies outside the image"):
        call("max_pool2d_backward", torch.ones(1, 1, 2, 2), indices, input_size=(4, 4), kernel_size=2, variant=variant)


# ---- optimiser steps
@EACH_RUNG
@DTYPES
@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize("optimiser", ["sgd", "momentum", "adam"])
def test_optimiser_steps(optimiser, decay, dtype, variant, assert_within):
    w = normal(3, 29, dtype=dtype)
    parameter = w.double().clone().requires_grad_()
    make: Any = {
        "sgd": lambda p: torch.optim.SGD(p, lr=0.05, weight_decay=decay),
        "momentum": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.8, weight_decay=decay),
        "adam": lambda p: torch.optim.Adam(p, lr=0.05, betas=(0.8, 0.95), eps=1e-6, weight_decay=decay),
    }[optimiser]
    torchs = make([parameter])
    options: Any = {"variant": variant, "weight_decay": decay, "lr": 0.05}
    state = [torch.zeros_like(w)] * {"sgd": 0, "momentum": 1, "adam": 2}[optimiser]
    for step in (1, 2, 3):
        grad = normal(3, 29, dtype=dtype, seed=step)
        parameter.grad = grad.double()
        torchs.step()
        before = w.clone()
        if optimiser == "sgd":
            w = call("sgd_step", w, grad, **options)
        elif optimiser == "momentum":
            w, *state = call("momentum_step", w, grad, *state, momentum=0.8, **options)
        else:
            w, *state = call("adam_step", w, grad, *state, step=step, betas=(0.8, 0.95), eps=1e-6, **options)
        assert not torch.equal(w, before)
    assert_within(w, parameter.detach(), 40 * UNIT[dtype] * (1 + w.double().abs()))


@pytest.mark.parametrize(
    ("bad_call", "message"),
    [
        (lambda x: kernels.relu_backward(x, x[:1]), r"grad has shape \[2, 3\] and y \[1, 3\]; give equal ones"),
        (lambda x: kernels.leaky_relu(x, negative_slope=math.inf), "negative_slope=inf is not valid"),
        (lambda x: kernels.positional_encoding(x[None], x[:1]), r"table has shape \[1, 3\], expected \[2, 3\]"),
        (lambda x: kernels.layer_norm_backward(x, x, x[0], x[0]), "mean has shape"),
        (lambda x: kernels.sgd_step(x, x, lr=-1.0), "lr=-1.0 is not valid"),
        (lambda x: kernels.momentum_step(x, x, x[:1], lr=0.1), "w has shape .* and velocity"),
        (lambda x: kernels.adam_step(x, x, x, x, step=0), "step=0 is not valid"),
        (
            lambda x: kernels.adam_step(x, x, x, x, step=1, betas=(0.9, 1.0)),
            "betas=1.0 is not valid; give a number below",
        ),
        (
            lambda x: kernels.max_pool2d_backward(x[None, None], x[None, None], input_size=(4, 4), kernel_size=2),
            "int64",
        ),
        (lambda x: kernels.avg_pool2d_backward(x[None, None], input_size=(4, 4), kernel_size=2), "grad has shape"),
        (
            lambda x: kernels.avg_pool2d_backward(x[None, None], input_size=(4,), kernel_size=2),
            r"input_size=\(4,\) is not valid",
        ),
        (lambda x: kernels.sinusoids(0, 4), "positive sizes"),
    ],
)
def test_a_call_that_cannot_work_is_refused(bad_call, message):
    with pytest.raises(UsageError, match=message):
        bad_call(torch.ones(2, 3))
