"""conv1d and the convolution with channels innermost: one rounding on every rung, and torch in float64."""

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - the name that torch's own documentation uses

from energybench import kernels
from energybench.errors import UsageError
from energybench.kernels.repeat import table_of

DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
# name: N, C_in, L, C_out, K, options
TEMPORAL: dict[str, tuple[Any, ...]] = {
    "one element": (1, 1, 1, 1, 1, {}),
    "odd": (3, 5, 23, 7, 3, {}),
    "strided, padded, dilated": (2, 3, 41, 9, 4, {"stride": 2, "padding": 5, "dilation": 3}),
    "grouped": (1, 6, 17, 12, 3, {"groups": 3, "padding": 1}),
    "depthwise": (2, 7, 35, 7, 5, {"groups": 7, "padding": 2}),
}
# name: N, C_in, H, W, C_out, KH, KW, options
SPATIAL: dict[str, tuple[Any, ...]] = {
    "one element": (1, 1, 1, 1, 1, 1, 1, {}),
    "odd": (3, 5, 7, 9, 4, 3, 3, {}),
    "padded": (2, 19, 5, 6, 37, 3, 3, {"padding": 1}),
    "strided, uneven": (2, 3, 11, 8, 5, 3, 2, {"stride": (3, 2), "padding": (2, 1)}),
    "dilated": (1, 2, 13, 12, 3, 3, 3, {"dilation": (2, 3), "padding": (1, 4)}),
    "grouped": (2, 6, 6, 5, 9, 3, 2, {"groups": 3, "padding": (0, 1)}),
    "many channels": (1, 33, 4, 5, 8, 3, 3, {"padding": 1}),
    "two taps": (2, 3, 1, 2, 4, 1, 2, {"padding": (0, 1)}),
    "1x1": (2, 40, 5, 7, 13, 1, 1, {}),
    "more pixels than a chunk": (2, 3, 19, 17, 50, 5, 4, {"stride": 2, "padding": 2}),
    "depthwise": (2, 37, 8, 13, 37, 3, 3, {"groups": 37, "padding": 1}),
    "depthwise, strided": (1, 16, 9, 21, 16, 5, 3, {"groups": 16, "padding": (2, 1), "stride": 2, "dilation": (1, 2)}),
    "depthwise of two": (1, 3, 8, 5, 6, 3, 3, {"groups": 3, "padding": 1}),
    "padding beyond the kernel": (1, 2, 2, 3, 2, 2, 2, {"padding": (3, 4), "stride": 2}),
    "taps wholly outside": (1, 1, 1, 2, 1, 3, 3, {"padding": 2, "dilation": 2, "groups": 1}),
}


PAIR: Any = (1, 1)


def normal(*shape, dtype=torch.float32, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def nhwc(tensor):
    return tensor.permute(0, 2, 3, 1).contiguous()


@pytest.fixture
def check(rungs_here, assert_within, dot_bound):
    """Every rung with one thread and with two, its bits and its error; with a bias and without."""

    def run(kernel, twin, x, w, of_kernel=lambda t: t, of_result=lambda t: t, **options):
        dtype = str(x.dtype).removeprefix("torch.")
        for bias in (normal(len(w), dtype=x.dtype, seed=2), None):
            arrays = [of_kernel(x), of_kernel(w), bias]
            results = [
                getattr(kernels, kernel)(*arrays, variant=variant, threads=threads, **options)
                for variant in rungs_here(kernel)
                for threads in (1, 2)
            ]
            assert all(torch.equal(y, results[0]) for y in results)
            reference = twin(x.double(), w.double(), None if bias is None else bias.double(), **options)
            absolute = twin(
                x.double().abs(), w.double().abs(), None if bias is None else bias.double().abs(), **options
            )
            bound = 2 * dot_bound(dtype, w[0].numel() + 1, of_result(absolute))
            assert_within(results[0], of_result(reference), bound)

    return run


@DTYPES
@pytest.mark.parametrize("case", TEMPORAL)
def test_conv1d(case, dtype, check):
    N, C_in, L, C_out, K, options = TEMPORAL[case]
    w = normal(C_out, C_in // options.get("groups", 1), K, dtype=dtype, seed=1)
    check("conv1d", F.conv1d, normal(N, C_in, L, dtype=dtype), w, **options)


@DTYPES
@pytest.mark.parametrize("case", SPATIAL)
def test_conv2d_nhwc(case, dtype, check):
    N, C_in, H, W, C_out, KH, KW, options = SPATIAL[case]
    w = normal(C_out, C_in // options.get("groups", 1), KH, KW, dtype=dtype, seed=1)
    x = normal(N, C_in, H, W, dtype=dtype)
    check("conv2d_nhwc", F.conv2d, x, w, of_kernel=nhwc, of_result=nhwc, **options)


@pytest.fixture
def check_gradients(rungs_here, assert_within, dot_bound):
    """dx, dw and db of every rung and both numbers of threads against autograd in float64."""

    def run(kernel, twin, x, w, of_kernel=lambda t: t, algorithms=({},), **options):
        dtype = str(x.dtype).removeprefix("torch.")
        grad = normal(*twin(x, w, **options).shape, dtype=x.dtype, seed=3)

        def of(x, w, grad):
            x, w = (t.double().clone().requires_grad_() for t in (x, w))
            dx, dw = torch.autograd.grad(twin(x, w, **options), (x, w), grad.double())
            return of_kernel(dx), of_kernel(dw), grad.double().sum((0, *range(2, grad.ndim)))

        reference, absolute = of(x, w, grad), of(x.abs(), w.abs(), grad.abs())
        terms = w.shape[0] * w[0, 0].numel(), grad[:, 0].numel(), grad[:, 0].numel()
        arrays = [of_kernel(t) for t in (grad, x, w)]
        gradient = getattr(kernels, kernel)
        for variant in rungs_here(kernel):
            for algorithm in algorithms:
                how = {**options, **algorithm, "variant": variant}
                ours = gradient(*arrays, has_bias=True, threads=1, **how)
                for result, expected, size, n in zip(ours, reference, absolute, terms, strict=True):
                    assert result.dtype == x.dtype
                    assert_within(result, expected, 2 * dot_bound(dtype, n, size))
                *again, none = gradient(*arrays, threads=2, **how)
                assert none is None
                assert all(torch.equal(a, b) for a, b in zip(ours[:2], again, strict=True)), "bits depend on threads"

    return run


@DTYPES
@pytest.mark.parametrize("case", TEMPORAL)
def test_conv1d_backward(case, dtype, check_gradients):
    N, C_in, L, C_out, K, options = TEMPORAL[case]
    w = normal(C_out, C_in // options.get("groups", 1), K, dtype=dtype, seed=1)
    x = normal(N, C_in, L, dtype=dtype)
    ways = {"algorithm": "im2col"}, {"algorithm": "direct"}
    check_gradients("conv1d_backward", F.conv1d, x, w, algorithms=ways, **options)


@DTYPES
@pytest.mark.parametrize("case", SPATIAL)
def test_conv2d_nhwc_backward(case, dtype, check_gradients):
    N, C_in, H, W, C_out, KH, KW, options = SPATIAL[case]
    w = normal(C_out, C_in // options.get("groups", 1), KH, KW, dtype=dtype, seed=1)
    check_gradients("conv2d_nhwc_backward", F.conv2d, normal(N, C_in, H, W, dtype=dtype), w, of_kernel=nhwc, **options)


@pytest.mark.parametrize("case", SPATIAL)
def test_gradients_have_the_bits_of_the_other_layout(case, rungs_here):
    N, C_in, H, W, C_out, KH, KW, options = SPATIAL[case]
    x, w = normal(N, C_in, H, W), normal(C_out, C_in // options.get("groups", 1), KH, KW, seed=1)
    grad = normal(*F.conv2d(x, w, **options).shape, seed=2)
    for variant in rungs_here("conv2d_nhwc_backward"):
        how = {**options, "variant": variant, "has_bias": True}
        dx, dw, db = kernels.conv2d_backward(grad, x, w, **how)
        ours = kernels.conv2d_nhwc_backward(*map(nhwc, (grad, x, w)), **how)
        for mine, other in zip(ours, (nhwc(dx), nhwc(dw), db), strict=True):
            assert torch.equal(mine, other), variant


def test_conv2d_nhwc_beyond_one_block_of_each_size(check):
    # 1600 pixels, 300 values of k and 1100 output channels: more than a block of the matrix product in every dimension
    x, w = normal(1, 12, 40, 40), normal(1100, 12, 5, 5, seed=1)
    for variant in ("avx2", "blocked"):
        y = kernels.conv2d_nhwc(nhwc(x[:, :, :, :40]), nhwc(w), variant=variant, padding=2)
        assert torch.allclose(y, nhwc(F.conv2d(x, w, padding=2)), rtol=1e-4, atol=1e-3)


def test_channels_last_memory_is_taken_as_it_lies():
    x = normal(2, 6, 5, 7).to(memory_format=torch.channels_last)
    w = normal(4, 6, 3, 3, seed=1).to(memory_format=torch.channels_last)
    as_it_lies = x.permute(0, 2, 3, 1), w.permute(0, 2, 3, 1)
    assert all(t.is_contiguous() for t in as_it_lies)
    y = kernels.conv2d_nhwc(*as_it_lies, variant="naive")
    assert torch.equal(y, kernels.conv2d_nhwc(nhwc(x.contiguous()), nhwc(w.contiguous()), variant="naive"))


def test_views_unaligned_memory_and_numpy():
    x, w = normal(1, 6, 7, 5), normal(8, 3, 3, 5, seed=1)
    wide = torch.full((1, 12, 14, 5), float("nan"))
    wide[:, ::2, ::2] = x
    y = kernels.conv2d_nhwc(wide[:, ::2, ::2], w)
    assert torch.equal(y, kernels.conv2d_nhwc(x, w))
    image = x.numpy()
    unaligned = np.frombuffer(b"\0" + image.tobytes(), np.uint8)[1:].view(np.float32).reshape(image.shape)
    assert not unaligned.flags.aligned
    np.testing.assert_array_equal(kernels.conv2d_nhwc(unaligned, w.numpy()), y.numpy())
    rows = normal(1, 6, 12)[:, :, ::2]
    taps = normal(2, 6, 3, seed=2)
    assert torch.equal(kernels.conv1d(rows, taps), kernels.conv1d(rows.contiguous(), taps))
    grad = normal(1, 2, 8, seed=3)[:, :, ::2]
    of_copies = kernels.conv1d_backward(grad.contiguous(), rows.contiguous(), taps)
    for of_views, of_copy in zip(kernels.conv1d_backward(grad, rows, taps)[:2], of_copies[:2], strict=True):
        assert torch.equal(of_views, of_copy)


def test_gradients_of_views_unaligned_memory_and_numpy():
    x, w, grad = normal(1, 6, 7, 5), normal(8, 3, 3, 5, seed=1), normal(1, 4, 5, 8, seed=2)
    of_dense = kernels.conv2d_nhwc_backward(grad, x, w, has_bias=True)
    wide = torch.full((1, 12, 14, 10), float("nan"))
    wide[:, ::2, ::2, ::2] = x
    apart = grad.permute(0, 3, 1, 2).contiguous().permute(0, 2, 3, 1)
    assert not apart.is_contiguous()
    image = x.numpy()
    unaligned = np.frombuffer(b"\0" + image.tobytes(), np.uint8)[1:].view(np.float32).reshape(image.shape)
    assert not unaligned.flags.aligned
    of_views = kernels.conv2d_nhwc_backward(apart, wide[:, ::2, ::2, ::2], w, has_bias=True)
    of_unaligned = kernels.conv2d_nhwc_backward(grad.numpy(), unaligned, w.numpy(), has_bias=True)
    for dense, view, numpys in zip(of_dense, of_views, of_unaligned, strict=True):
        assert torch.equal(view, dense)
        np.testing.assert_array_equal(numpys, dense.numpy())


def test_non_finite_numbers_reach_the_gradients_that_they_are_part_of():
    x, w, grad = normal(1, 2, 9), normal(3, 2, 3, seed=1), normal(1, 3, 7, seed=2)
    x[0, 1, 4], grad[0, 0, 3] = float("inf"), float("-inf")
    ours = kernels.conv1d_backward(grad, x, w, has_bias=True)
    inputs = [t.double().requires_grad_() for t in (x, w)]
    of_torch = torch.autograd.grad(F.conv1d(*inputs), inputs, grad.double())
    for mine, torchs in zip(ours, (*of_torch, grad.double().sum((0, 2))), strict=True):
        assert not torch.isnan(mine).all()
        assert torch.equal(torch.isnan(mine), torch.isnan(torchs))
        infinite = torch.isinf(torchs)
        assert torch.equal(mine[infinite].double(), torchs[infinite])


def test_later_calls_of_a_kind_go_the_short_way():
    x, w = normal(1, 2, 13), normal(3, 2, 3, seed=1)
    kernels.conv1d(x, w, threads=1)
    kernels.conv1d_backward(normal(1, 3, 11), x, w, threads=1)
    kernels.conv2d_nhwc_backward(normal(1, 11, 1, 3), normal(1, 13, 1, 2), normal(3, 3, 1, 2), threads=1)
    for name in ("conv1d", "conv1d_backward", "conv2d_nhwc_backward"):
        assert len(table_of(name) or ()) > 0, name


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: kernels.conv1d(torch.ones(1, 2, 3), torch.ones(1, 2, 5)),
            "5 taps with dilation 1 do not fit in 3 steps",
        ),
        (
            lambda: kernels.conv1d(torch.ones(1, 2, 3), torch.ones(1, 2, 1), stride=PAIR),
            r"stride=\(1, 1\) is not valid",
        ),
        (lambda: kernels.conv1d(torch.ones(1, 2, 3, 4), torch.ones(1, 2, 1)), "x has 4 dimensions .* give 3"),
        (lambda: kernels.conv1d(torch.ones(1, 2, 3), torch.ones(1, 2, 1), padding=-1), "padding=-1 is not valid"),
        (
            lambda: kernels.conv1d_backward(torch.ones(1, 1, 9), torch.ones(1, 2, 3), torch.ones(1, 2, 1)),
            "grad has shape",
        ),
        (
            lambda: kernels.conv1d_backward(torch.ones(1, 1), torch.ones(1, 2, 3), torch.ones(1, 2, 1)),
            "grad has 2 dimensions .* give 3: .N, C_out, L_out.",
        ),
        (
            lambda: kernels.conv1d_backward(torch.ones(1, 1, 1), torch.ones(1, 2, 3), torch.ones(1, 2, 5)),
            "5 taps with dilation 1 do not fit in 3 steps",
        ),
        (lambda: kernels.conv2d_nhwc(torch.ones(1, 4, 4, 3), torch.ones(1, 3, 3, 4)), "w has shape"),
        (
            lambda: kernels.conv2d_nhwc_backward(
                torch.ones(1, 2, 4, 1), torch.ones(1, 4, 4, 3), torch.ones(1, 3, 3, 3)
            ),
            r"grad has shape \[1, 2, 4, 1\], expected \[1, 2, 2, 1\] = .N, H_out, W_out, C_out.",
        ),
        (
            lambda: kernels.conv2d_nhwc_backward(
                torch.ones(1, 2, 2, 1).double(), torch.ones(1, 4, 4, 3), torch.ones(1, 3, 3, 3)
            ),
            "grad is float64 and x is float32",
        ),
        (
            lambda: kernels.conv2d_nhwc_backward(
                torch.ones(1, 2, 2, 1), torch.ones(1, 4, 4, 3), torch.ones(1, 3, 3, 3), padding=2**31 - 1
            ),
            "y .* give smaller sizes",
        ),
        (lambda: kernels.conv2d_nhwc(torch.ones(4, 4, 3), torch.ones(1, 3, 3, 3)), "give 4: .N, H, W, C_in."),
    ],
)
def test_a_call_that_cannot_work_is_refused(call, message):
    with pytest.raises(UsageError, match=message):
        call()
