from typing import Any

import numpy as np
import pytest
import torch

from energybench import kernels
from energybench.errors import UsageError

# name: N, C_in, H, W, C_out, KH, KW, options
CASES: dict[str, tuple[Any, ...]] = {
    "one element": (1, 1, 1, 1, 1, 1, 1, {}),
    "odd": (3, 5, 7, 9, 4, 3, 3, {}),
    "padded": (2, 3, 5, 6, 4, 3, 3, {"padding": 1}),
    "strided, uneven": (2, 3, 11, 8, 5, 3, 2, {"stride": (3, 2), "padding": (2, 1)}),
    "dilated": (1, 2, 13, 12, 3, 3, 3, {"dilation": (2, 3), "padding": (1, 4)}),
    "grouped": (2, 6, 6, 5, 9, 3, 2, {"groups": 3, "padding": (0, 1)}),
    "depthwise": (2, 7, 8, 5, 14, 3, 3, {"groups": 7, "padding": 1}),
    "padding beyond the kernel": (1, 2, 2, 3, 2, 2, 2, {"padding": (3, 4), "stride": 2}),
    "taps wholly outside": (1, 1, 1, 2, 1, 3, 3, {"padding": 2, "dilation": 2}),
    "temporal": (2, 4, 1, 17, 3, 1, 5, {"padding": (0, 2), "stride": (1, 3)}),
    "1x1": (2, 8, 5, 7, 3, 1, 1, {}),
    "1x1 of many pixels": (2, 300, 11, 13, 17, 1, 1, {}),
    "1x1 grouped": (1, 12, 9, 16, 14, 1, 1, {"groups": 2}),
    "1x1 strided": (2, 3, 5, 7, 37, 1, 1, {"stride": 2}),
    "more than a strip of channels": (1, 3, 9, 9, 50, 3, 3, {"padding": 1}),
    "more than a chunk of columns": (1, 2, 2, 250, 5, 2, 3, {"padding": 1, "stride": (1, 2)}),
    "depthwise, strided": (2, 5, 9, 40, 5, 3, 3, {"groups": 5, "padding": 1, "stride": 2}),
    "depthwise, wide": (1, 3, 7, 75, 3, 3, 3, {"groups": 3, "padding": (0, 2)}),
    "depthwise, padding beyond the kernel": (2, 3, 4, 21, 3, 3, 3, {"groups": 3, "padding": (3, 4)}),
    "depthwise, rows beyond the kernel": (1, 2, 4, 9, 2, 3, 3, {"groups": 2, "padding": (3, 1)}),
    "depthwise, columns beyond the kernel": (1, 2, 4, 9, 2, 3, 3, {"groups": 2, "padding": (1, 4)}),
    "stride beyond the kernel": (1, 2, 9, 11, 6, 2, 1, {"stride": (4, 3), "padding": (1, 0)}),
}

#: Too large for the naive rung. Of positive numbers, so that half a sum is missed beyond the bound of its roundings.
LARGE: dict[str, tuple[Any, ...]] = {
    "an image a thread": (2, 16, 256, 256, 5, 1, 1, {"padding": 1}),
    "blocks that do not go round": (5, 6, 140, 150, 10, 2, 2, {"padding": 1, "groups": 2}),
}


def operands(case: str, dtype: torch.dtype, seed: int = 0):
    N, C_in, H, W, C_out, KH, KW, options = {**CASES, **LARGE}[case]
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(N, C_in, H, W, generator=generator, dtype=dtype)
    w = torch.randn(C_out, C_in // options.get("groups", 1), KH, KW, generator=generator, dtype=dtype)
    arrays = x, w, torch.randn(C_out, generator=generator, dtype=dtype)
    return *(array.abs() if case in LARGE else array for array in arrays), options


CPU_RUNGS = [s.variant for s in kernels.list_kernels() if s.kernel_id.startswith("conv2d_forward") and s.runnable]


@pytest.mark.parametrize("algorithm", ["im2col", "direct"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("case", CASES)
def test_every_rung_gives_the_bits_of_the_naive_one(case, dtype, algorithm):
    x, w, bias, options = operands(case, dtype)
    naive = kernels.conv2d(x, w, bias, variant="naive", **options)
    for variant in CPU_RUNGS:
        for threads in (1, 2):
            y = kernels.conv2d(x, w, bias, variant=variant, algorithm=algorithm, threads=threads, **options)
            assert torch.equal(y, naive), variant


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("with_bias", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("case", CASES)
def test_conv2d_equals_torch_in_float64(case, dtype, with_bias, threads, assert_within, dot_bound):
    x, w, bias, options = operands(case, dtype)
    b = bias if with_bias else None
    y = kernels.conv2d(x, w, b, threads=threads, **options)
    assert y.dtype == dtype
    reference = torch.nn.functional.conv2d(x.double(), w.double(), None if b is None else b.double(), **options)
    absolute = torch.nn.functional.conv2d(x.double().abs(), w.double().abs(), bias.double().abs(), **options)
    terms = w[0].numel() + 1
    # both sides round in float64, hence twice the bound there
    assert_within(y, reference, 2 * dot_bound(str(dtype).removeprefix("torch."), terms, absolute))


def test_conv2d_takes_and_gives_numpy():
    x, w, bias, options = operands("strided, uneven", torch.float32)
    from_torch = kernels.conv2d(x, w, bias, **options)
    from_numpy = kernels.conv2d(x.numpy(), w.numpy(), bias.numpy(), **options)
    assert isinstance(from_numpy, np.ndarray)
    np.testing.assert_array_equal(from_numpy, from_torch.numpy())


def test_conv2d_of_views_equals_that_of_copies():
    x, w, bias, options = operands("odd", torch.float32)
    wide = torch.full((6, 5, 14, 18), float("nan"))
    wide[::2, :, ::2, ::2] = x
    y = kernels.conv2d(wide[::2, :, ::2, ::2], w.permute(1, 0, 2, 3).contiguous().permute(1, 0, 2, 3), bias)
    assert torch.equal(y, kernels.conv2d(x, w, bias, **options))
    unaligned = np.frombuffer(b"\0" + x.numpy().tobytes(), np.uint8)[1:].view(np.float32).reshape(x.shape)
    assert not unaligned.flags.aligned
    np.testing.assert_array_equal(kernels.conv2d(unaligned, w.numpy(), bias.numpy()), y.numpy())


def test_conv2d_with_non_finite_inputs_computes_as_ieee_says():
    x, w, bias, options = operands("odd", torch.float32)
    x[0, 1, 3, 4], x[1, 0, 0, 0], x[2, 4, 6, 8] = float("inf"), float("nan"), float("-inf")
    w[2, 3, 1, 1] = float("inf")
    y = kernels.conv2d(x, w, bias, **options)
    reference = torch.nn.functional.conv2d(x.double(), w.double(), bias.double(), **options).float()
    assert torch.equal(torch.isnan(y), torch.isnan(reference))
    assert torch.equal(torch.isinf(y), torch.isinf(reference))
    assert not torch.isnan(reference).all()
    assert torch.equal(y[torch.isinf(y)], reference[torch.isinf(y)])


def test_naive_conv2d_skips_padding_instead_of_multiplying_zeros():
    # an infinite weight on padding would make NaN of 0·inf; the tap is not executed
    x, w = torch.ones(1, 1, 2, 2), torch.ones(1, 1, 3, 3)
    w[0, 0, 0, 0] = float("inf")
    y = kernels.conv2d(x, w, padding=1, variant="naive")
    assert y[0, 0].tolist() == [[4.0, 4.0], [4.0, float("inf")]]


def test_conv2d_gives_the_same_bits_with_any_number_of_threads():
    x, w, bias, options = operands("grouped", torch.float32)
    one = kernels.conv2d(x, w, bias, threads=1, **options)
    for threads in (2, 3, 16):
        assert torch.equal(kernels.conv2d(x, w, bias, threads=threads, **options), one)


def gradients(case, dtype, **calls):
    """Ours on one rung, torch's in float64, and the sums of magnitudes that bound their difference."""
    x, w, _, options = operands(case, dtype)

    def of(x, w, grad):
        x, w = (t.double().requires_grad_() for t in (x, w))
        y = torch.nn.functional.conv2d(x, w, torch.zeros(len(w), dtype=torch.float64, requires_grad=True), **options)
        return (*torch.autograd.grad(y, (x, w), grad.double()), grad.double().sum((0, 2, 3)))

    y = torch.nn.functional.conv2d(x, w, **options)
    grad = torch.randn(y.shape, generator=torch.Generator().manual_seed(7), dtype=dtype)
    grad = grad.abs() if case in LARGE else grad
    ours = kernels.conv2d_backward(grad, x, w, has_bias=True, **options, **calls)
    terms = (w.shape[0] * w[0, 0].numel(), grad[:, 0].numel(), grad[:, 0].numel())
    return ours, of(x, w, grad), of(x.abs(), w.abs(), grad.abs()), terms


@pytest.mark.parametrize("algorithm", ["im2col", "direct"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("case", CASES)
def test_gradients_equal_those_of_autograd_in_float64(case, dtype, algorithm, assert_within, dot_bound):
    name = str(dtype).removeprefix("torch.")
    for variant in CPU_RUNGS:
        ours, reference, absolute, terms = gradients(case, dtype, variant=variant, algorithm=algorithm, threads=1)
        for result, expected, size, n in zip(ours, reference, absolute, terms, strict=True):
            assert result.dtype == dtype
            assert_within(result, expected, 2 * dot_bound(name, n, size))
        again, *_ = gradients(case, dtype, variant=variant, algorithm=algorithm, threads=2)
        assert all(torch.equal(a, b) for a, b in zip(ours, again, strict=True)), "bits depend on the threads"


@pytest.mark.parametrize("case", LARGE)
def test_images_that_are_padded_in_turn(case, assert_within, dot_bound):
    """More than 2¹⁸ elements with their margins: blocks of images, of a thread each or of the team."""
    x, w, bias, options = operands(case, torch.float32)
    y = torch.nn.functional.conv2d(x.double(), w.double(), bias.double(), **options)
    magnitude = torch.nn.functional.conv2d(x.double().abs(), w.double().abs(), bias.double().abs(), **options)
    sums = w[0].numel() + 1
    for variant in CPU_RUNGS[1:]:
        how: Any = {"variant": variant, "algorithm": "im2col"}
        alone = kernels.conv2d(x, w, bias, threads=1, **options, **how)
        assert_within(alone, y, 2 * dot_bound("float32", sums, magnitude))
        ours, reference, absolute, terms = gradients(case, torch.float32, threads=1, **how)
        for result, expected, size, n in zip(ours, reference, absolute, terms, strict=True):
            assert_within(result, expected, 2 * dot_bound("float32", n, size))
        for threads in (2, 3):
            assert torch.equal(kernels.conv2d(x, w, bias, threads=threads, **options, **how), alone)
            again, *_ = gradients(case, torch.float32, threads=threads, **how)
            assert all(torch.equal(a, b) for a, b in zip(ours, again, strict=True)), "bits depend on the threads"


@pytest.mark.parametrize("case", CASES)
def test_dx_in_panels_has_the_bits_of_the_naive_rung(case):
    (naive, *_), *_ = gradients(case, torch.float32, variant="naive")
    for variant in CPU_RUNGS[1:]:
        (dx, *_), *_ = gradients(case, torch.float32, variant=variant, algorithm="im2col")
        assert torch.equal(dx, naive), variant


def test_gradients_of_views_equal_those_of_copies():
    x, w, *_ = operands("odd", torch.float32)
    grad = torch.randn(3, 4, 5, 7, generator=torch.Generator().manual_seed(7))
    expected = kernels.conv2d_backward(grad, x, w)
    assert expected[2] is None
    wide = torch.full((6, 4, 10, 14), float("nan"))
    wide[::2, :, ::2, ::2] = grad
    of_views = kernels.conv2d_backward(wide[::2, :, ::2, ::2], x.mT.contiguous().mT, w)
    unaligned = np.frombuffer(b"\0" + x.numpy().tobytes(), np.uint8)[1:].view(np.float32).reshape(x.shape)
    of_numpy = kernels.conv2d_backward(grad.numpy(), unaligned, w.numpy())
    for a, b, c in zip(expected[:2], of_views[:2], of_numpy[:2], strict=True):
        assert torch.equal(a, b)
        np.testing.assert_array_equal(a.numpy(), c)


def test_non_finite_gradients_compute_as_ieee_says():
    x, w, _, options = operands("odd", torch.float32)
    grad = torch.randn(3, 4, 5, 7, generator=torch.Generator().manual_seed(7))
    grad[0, 1, 3, 4], grad[1, 0, 0, 0], x[2, 4, 6, 8] = float("inf"), float("nan"), float("-inf")
    xs, ws = x.double().requires_grad_(), w.double().requires_grad_()
    reference = torch.autograd.grad(torch.nn.functional.conv2d(xs, ws, **options), (xs, ws), grad.double())
    for ours, expected in zip(kernels.conv2d_backward(grad, x, w, **options)[:2], reference, strict=True):
        assert torch.equal(torch.isnan(ours), torch.isnan(expected))
        assert torch.equal(torch.isinf(ours), torch.isinf(expected))


def test_padding_too_large_to_copy_is_read_directly():
    x, w = torch.ones(1, 1, 2, 2), torch.ones(8, 1, 1, 1)
    options: Any = {"padding": 20_000, "stride": 20_001}
    y = kernels.conv2d(x, w, **options)
    assert torch.equal(y, torch.nn.functional.conv2d(x, w, **options))
    with pytest.raises(UsageError, match="too large to copy with it; choose algorithm='direct'"):
        kernels.conv2d(x, w, algorithm="im2col", **options)
