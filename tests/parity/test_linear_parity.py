"""The fully connected layer stored either way, and its gradients, on every rung that runs here, against float64."""

from itertools import product
from typing import Any, cast

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - the name that torch's own documentation uses

from energybench import kernels
from energybench.errors import UsageError

DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
LAYOUTS = pytest.mark.parametrize(("x_layout", "w_layout"), [("mk", "nk"), ("km", "nk"), ("mk", "kn"), ("km", "kn")])
#: One number, fewer rows than share a panel, whole and ragged tiles, several blocks of the summed index.
SHAPES = pytest.mark.parametrize(
    ("M", "K", "N"),
    [
        (1, 1, 1),
        (1, 300, 70),
        (3, 5, 131),
        (4, 33, 64),
        (5, 17, 3),
        (26, 31, 66),
        (13, 300, 45),
        (270, 7, 9),
        (32, 9, 515),
        (37, 4, 530),
    ],
)


def normal(*shape, dtype=torch.float32, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed + sum(shape)), dtype=dtype)


def stored(layout, matrix):
    return matrix.t().contiguous() if layout in ("km", "kn") else matrix


def same_bits(one, two):
    return all(a is b is None or a.numpy().tobytes() == b.numpy().tobytes() for a, b in zip(one, two, strict=True))


@DTYPES
@LAYOUTS
@SHAPES
def test_linear_stored_either_way(M, K, N, x_layout, w_layout, dtype, rungs_here, assert_within, dot_bound):
    x, w, bias = normal(M, K, dtype=dtype), normal(N, K, dtype=dtype, seed=1), normal(N, dtype=dtype, seed=2)
    name = str(dtype).removeprefix("torch.")
    reference = F.linear(x.double(), w.double(), bias.double())
    bound = 2 * dot_bound(name, K + 1, F.linear(x.double().abs(), w.double().abs(), bias.double().abs()))
    given = stored(x_layout, x), stored(w_layout, w), bias
    options = {"x_layout": x_layout, "w_layout": w_layout}
    for variant in rungs_here("linear"):
        one, two = (kernels.linear(*given, variant=variant, threads=threads, **options) for threads in (1, 2))
        assert same_bits([one], [two])
        assert_within(one, reference, bound)


@DTYPES
@LAYOUTS
@SHAPES
def test_linear_backward(M, K, N, x_layout, w_layout, dtype, rungs_here, assert_within, dot_bound):
    x, w, grad = normal(M, K, dtype=dtype), normal(N, K, dtype=dtype, seed=1), normal(M, N, dtype=dtype, seed=2)
    name = str(dtype).removeprefix("torch.")
    inputs = [t.double().clone().requires_grad_() for t in (x, w, torch.zeros(N))]
    slopes = torch.autograd.grad(F.linear(*inputs), inputs, grad.double())
    sizes = (
        grad.double().abs() @ w.double().abs(),
        grad.double().abs().t() @ x.double().abs(),
        grad.double().abs().sum(0),
    )
    layouts = (x_layout, w_layout, None)
    given = grad, stored(x_layout, x), stored(w_layout, w)
    options: Any = {"x_layout": x_layout, "w_layout": w_layout}
    oracle = None
    for variant in rungs_here("linear_backward"):
        one, two = (kernels.linear_backward(*given, variant=variant, threads=threads, **options) for threads in (1, 2))
        assert same_bits(one, two)
        for gradient, slope, size, terms, layout in zip(one, slopes, sizes, (N, M, M), layouts, strict=True):
            assert_within(gradient, stored(layout, slope), 2 * dot_bound(name, terms, stored(layout, size)))
        oracle = oracle or one
        assert same_bits(one, oracle), f"{variant} does not give the naive rung's bits"
        dx, dw, db = kernels.linear_backward(*given, has_bias=False, variant=variant, **options)
        assert db is None
        assert same_bits((dx, dw), one[:2])


def test_non_finite_numbers_reach_exactly_the_gradients_that_they_belong_to(rungs_here):
    x, w, grad = normal(6, 35), normal(9, 35, seed=1), normal(6, 9, seed=2)
    grad[2, 3] = torch.nan
    for variant in rungs_here("linear_backward"):
        dx, dw, db = kernels.linear_backward(grad, x, w, variant=variant)
        assert db is not None
        assert torch.equal(torch.isnan(dx).any(1), torch.arange(6) == 2)
        assert torch.isnan(dx[2]).all()
        assert torch.equal(torch.isnan(dw).all(1), torch.arange(9) == 3)
        assert torch.equal(torch.isnan(db), torch.arange(9) == 3)
        assert int(torch.isnan(dw).sum()) == 35


def test_arrays_that_are_not_dense_or_not_aligned(rungs_here):
    x, w, grad = normal(6, 35), normal(9, 35, seed=1), normal(6, 9, seed=2)
    shifted = [torch.cat([torch.zeros(1), a.flatten()])[1:].view(a.shape) for a in (grad, x, w)]
    strided = [a.t().contiguous().t() for a in (grad, x, w)]
    for variant, given in product(rungs_here("linear_backward"), (shifted, strided)):
        assert same_bits(
            kernels.linear_backward(*given, variant=variant), kernels.linear_backward(grad, x, w, variant=variant)
        )


def test_numpy_in_numpy_out():
    x, w, grad = normal(6, 35), normal(9, 35, seed=1), normal(6, 9, seed=2)
    results = kernels.linear_backward(grad.numpy(), x.numpy(), w.numpy())
    for result, expected in zip(results, kernels.linear_backward(grad, x, w), strict=True):
        assert isinstance(result, np.ndarray)
        np.testing.assert_array_equal(result, expected.numpy())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda g, x, w: kernels.linear_backward(g.t(), x, w), r"grad has shape \[4, 2\], expected \[2, 4\]"),
        (lambda g, x, w: kernels.linear_backward(g, x, w.t()), r"w has shape \[3, 4\], expected \[3, 3\] = \[N, K\]"),
        (lambda g, x, w: kernels.linear_backward(g, x, w, has_bias=cast(Any, 1)), "has_bias=1 is not valid"),
        (lambda g, x, w: kernels.linear_backward(g.double(), x, w), "grad is float64 and x is float32"),
        (lambda g, x, w: kernels.linear(x, w, x_layout="row"), "x_layout='row' is unknown; choose mk or km"),
        (lambda g, x, w: kernels.linear(x, w, w_layout="kn"), r"w has shape \[4, 3\], expected \[3, 3\] = \[K, N\]"),
        (lambda g, x, w: kernels.linear(x[0], w), r"x has 1 dimensions \[3\]; give 2: \[M, K\]"),
    ],
)
def test_a_call_that_cannot_work_is_refused(call, message):
    with pytest.raises(UsageError, match=message):
        call(torch.ones(2, 4), torch.ones(2, 3), torch.ones(4, 3))
