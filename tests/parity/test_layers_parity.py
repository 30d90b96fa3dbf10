"""Linear, softmax, layer normalisation, pointwise functions and pooling against torch in float64."""

import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - the name that torch's own documentation uses

from energybench import kernels
from energybench.errors import UsageError

UNIT = {torch.float32: 2.0**-24, torch.float64: 2.0**-53}
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
THREADS = pytest.mark.parametrize("threads", [1, 2])


def normal(*shape, dtype=torch.float32, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@THREADS
@DTYPES
@pytest.mark.parametrize("with_bias", [False, True])
@pytest.mark.parametrize(("M", "K", "N"), [(1, 1, 1), (5, 300, 7), (13, 17, 31), (3, 1, 64), (100, 257, 45)])
def test_linear(M, K, N, with_bias, dtype, threads, assert_within, dot_bound):
    x, w, b = normal(M, K, dtype=dtype), normal(N, K, dtype=dtype, seed=1), normal(N, dtype=dtype, seed=2)
    y = kernels.linear(x, w, b if with_bias else None, threads=threads)
    assert y.dtype == dtype
    reference = F.linear(x.double(), w.double(), b.double() if with_bias else None)
    absolute = F.linear(x.double().abs(), w.double().abs(), b.double().abs())
    assert_within(y, reference, 2 * dot_bound(str(dtype).removeprefix("torch."), K + 1, absolute))


@THREADS
@DTYPES
@pytest.mark.parametrize("shape", [(1,), (3, 1), (2, 3, 37), (5, 1001)])
def test_softmax(shape, dtype, threads, assert_within):
    x = 10 * normal(*shape, dtype=dtype)
    # each exponential: a rounded difference of at most 2·max|x|, then a sum of n terms
    bound = (2 * float(x.abs().max()) + shape[-1] + 8) * UNIT[dtype]
    reference = torch.softmax(x.double(), -1)
    assert_within(kernels.softmax(x, threads=threads), reference, bound * reference + 1e-44)


def test_softmax_does_not_overflow():
    x = torch.tensor([[1e30, 1e30, -1e30], [-3e38, 3e38, 0.0]])
    assert kernels.softmax(x).tolist() == [[0.5, 0.5, 0.0], [0.0, 1.0, 0.0]]


@THREADS
@DTYPES
@pytest.mark.parametrize("weights", [False, True])
@pytest.mark.parametrize("shape", [(2,), (3, 2), (2, 3, 37), (5, 1001)])
def test_layer_norm(shape, weights, dtype, threads, assert_within):
    n = shape[-1]
    x = normal(*shape, dtype=dtype) + 3
    w, b = (normal(n, dtype=dtype, seed=1), normal(n, dtype=dtype, seed=2)) if weights else (None, None)
    y = kernels.layer_norm(x, w, b, eps=1e-3, threads=threads)
    reference = F.layer_norm(
        x.double(), (n,), None if w is None else w.double(), None if b is None else b.double(), 1e-3
    )
    # sums of n terms (relative n·u) of values whose mean is a few standard deviations away
    spread = float(x.double().abs().max() / (x.double().var(-1, correction=0) + 1e-3).sqrt().min())
    scale = 1.0 if w is None else float(w.abs().max())
    assert_within(y, reference, 4 * (n + 8) * UNIT[dtype] * spread * max(1.0, scale))


def test_layer_norm_of_equal_elements_is_its_bias():
    x, b = torch.full((3, 4), 2.5), normal(4)
    assert torch.equal(kernels.layer_norm(x, torch.ones(4), b), b.expand(3, 4))


FUNCTIONS = {"relu": torch.relu, "sigmoid": torch.sigmoid, "tanh": torch.tanh, "gelu": F.gelu}


@THREADS
@DTYPES
@pytest.mark.parametrize("function", FUNCTIONS)
def test_pointwise(function, dtype, threads, assert_within):
    x = torch.cat([normal(97, dtype=dtype), torch.linspace(-30, 30, 61, dtype=dtype)]).reshape(2, 79)
    reference = FUNCTIONS[function](x.double())
    # gelu's 1 + erf cancels where x is far below zero: an absolute error of u·|x|
    bound = 8 * UNIT[dtype] * (x.double().abs() + 1 if function == "gelu" else reference.abs()) + 1e-44
    assert_within(getattr(kernels, function)(x, threads=threads), reference, bound)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_pointwise_of_non_finite_values(function):
    x = torch.tensor([math.inf, math.nan, -math.inf])
    y, reference = getattr(kernels, function)(x), FUNCTIONS[function](x.double()).float()
    if function == "gelu":  # -inf·0 is NaN by the formula; torch says the same
        assert torch.isnan(y[1])
        assert y[0] == math.inf
        return
    np.testing.assert_array_equal(y.numpy(), reference.numpy())


POOLS = [
    ((1, 1, 1, 1), {"kernel_size": 1}),
    ((2, 3, 7, 9), {"kernel_size": (3, 2)}),
    ((2, 3, 6, 5), {"kernel_size": 3, "stride": (2, 1), "padding": 1}),
    ((1, 2, 2, 3), {"kernel_size": (4, 2), "stride": (1, 2), "padding": (2, 1)}),
]


@THREADS
@DTYPES
@pytest.mark.parametrize(("shape", "options"), POOLS)
def test_pools(shape, options, dtype, threads, assert_within):
    x = normal(*shape, dtype=dtype)
    assert torch.equal(kernels.max_pool2d(x, threads=threads, **options), F.max_pool2d(x, **options))
    reference = F.avg_pool2d(x.double(), **options)
    bound = 20 * UNIT[dtype] * F.avg_pool2d(x.double().abs(), **options)
    assert_within(kernels.avg_pool2d(x, threads=threads, **options), reference, bound + 1e-300)


def test_dilated_max_pool():
    x = normal(2, 1, 11, 9)
    options: Any = {"kernel_size": (3, 2), "stride": (2, 1), "padding": (1, 1), "dilation": (2, 3)}
    assert torch.equal(kernels.max_pool2d(x, **options), F.max_pool2d(x, **options))


@pytest.mark.parametrize("position", range(4))
def test_a_nan_in_the_window_is_its_maximum(position):
    x = torch.tensor([3.0, 1.0, 2.0, -1.0])
    x[position] = math.nan
    assert torch.isnan(kernels.max_pool2d(x.reshape(1, 1, 2, 2), kernel_size=2)).all()
    x[position] = -math.inf
    assert kernels.max_pool2d(x.reshape(1, 1, 2, 2), kernel_size=2).item() == x.max().item()


def test_views_and_numpy():
    x = normal(6, 10)
    view = x.t()[::2]
    assert torch.equal(kernels.softmax(view), kernels.softmax(view.contiguous()))
    assert isinstance(kernels.gelu(x.numpy()), np.ndarray)
    np.testing.assert_array_equal(kernels.gelu(x.numpy()), kernels.gelu(x).numpy())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: kernels.linear(torch.ones(2, 3), torch.ones(4, 2)), r"w has shape \[4, 2\], expected \[4, 3\]"),
        (lambda: kernels.linear(torch.ones(3), torch.ones(4, 3)), "x has 1 dimensions .* give 2"),
        (lambda: kernels.linear(torch.ones(2, 3), torch.ones(4, 3), torch.ones(3)), "bias has shape"),
        (lambda: kernels.softmax(torch.tensor(1.0)), "give at least 1"),
        (lambda: kernels.layer_norm(torch.ones(2, 3), torch.ones(2)), "weight has shape"),
        (lambda: kernels.layer_norm(torch.ones(2, 3), eps=-1.0), "eps=-1.0 is not valid"),
        (lambda: kernels.relu(torch.ones(0, 3)), "x is empty"),
        (lambda: kernels.max_pool2d(torch.ones(1, 1, 4, 4), kernel_size=3, padding=2), "exceeds half the window"),
        (lambda: kernels.max_pool2d(torch.ones(1, 1, 2, 2), kernel_size=3), "does not fit in 2x2"),
        (lambda: kernels.avg_pool2d(torch.ones(1, 1, 4, 4), kernel_size=0), "kernel_size=0 is not valid"),
        (lambda: kernels.tanh(torch.ones(2).int()), "element type int32"),
    ],
)
def test_a_call_that_cannot_work_is_refused(call, message):
    with pytest.raises(UsageError, match=message):
        call()
