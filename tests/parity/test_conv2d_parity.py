from typing import Any

import numpy as np
import pytest
import torch

from energybench import kernels

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
}


def operands(case: str, dtype: torch.dtype, seed: int = 0):
    N, C_in, H, W, C_out, KH, KW, options = CASES[case]
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(N, C_in, H, W, generator=generator, dtype=dtype)
    w = torch.randn(C_out, C_in // options.get("groups", 1), KH, KW, generator=generator, dtype=dtype)
    return x, w, torch.randn(C_out, generator=generator, dtype=dtype), options


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
