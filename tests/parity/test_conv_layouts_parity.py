"""conv1d and the convolution with channels innermost: one rounding on every rung, and torch in float64."""

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - the name that torch's own documentation uses

from energybench import kernels
from energybench.errors import UsageError

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
    "1x1": (2, 40, 5, 7, 13, 1, 1, {}),
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
        (lambda: kernels.conv2d_nhwc(torch.ones(1, 4, 4, 3), torch.ones(1, 3, 3, 4)), "w has shape"),
        (lambda: kernels.conv2d_nhwc(torch.ones(4, 4, 3), torch.ones(1, 3, 3, 3)), "give 4: .N, H, W, C_in."),
    ],
)
def test_a_call_that_cannot_work_is_refused(call, message):
    with pytest.raises(UsageError, match=message):
        call()
