"""Padding, layouts, joins and rows of a table: bit for bit torch's, on every rung that runs here."""

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - the name that torch's own documentation uses

from energybench import kernels
from energybench.errors import NativeModuleError, UsageError

DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
TORCHS = {"zeros": "constant", "reflect": "reflect", "replicate": "replicate", "circular": "circular"}
MODES = pytest.mark.parametrize("mode", TORCHS)


UNKNOWN: Any = "mirror"


def normal(*shape, dtype=torch.float32, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.fixture
def assert_every_rung_gives(rungs_here):
    """Every rung, with one thread and with three, has exactly these bits."""

    def check(expected, kernel, *arrays, **options):
        for variant in rungs_here(kernel):
            for threads in (1, 3):
                result = getattr(kernels, kernel)(*arrays, variant=variant, threads=threads, **options)
                assert torch.equal(result, expected), (kernel, variant, threads)
                assert result.is_contiguous()

    return check


#: shape, and (left, right, top, bottom)
PADS: list[tuple[tuple[int, ...], tuple[int, int, int, int]]] = [
    ((1, 1, 1, 1), (0, 0, 0, 0)),
    ((2, 3, 4, 5), (2, 1, 0, 3)),
    ((1, 2, 3, 3), (2, 2, 2, 2)),
    ((2, 1, 9, 47), (1, 0, 4, 2)),
    ((3, 5, 7, 16), (0, 15, 6, 0)),
]


@MODES
@DTYPES
@pytest.mark.parametrize(("shape", "padding"), PADS)
def test_padding(shape, padding, dtype, mode, assert_every_rung_gives):
    x = normal(*shape, dtype=dtype)
    padded = F.pad(x, padding, mode=TORCHS[mode])
    assert_every_rung_gives(padded, "pad2d", x, padding=padding, mode=mode)

    # few small integers add up without rounding, whatever the order
    grad = torch.randint(-9, 9, padded.shape, generator=torch.Generator().manual_seed(1)).to(dtype)
    inputs = x.double().requires_grad_()
    (dx,) = torch.autograd.grad(F.pad(inputs, padding, mode=TORCHS[mode]), inputs, grad.double())
    assert_every_rung_gives(dx.to(dtype), "pad2d_backward", grad, padding=padding, mode=mode)


@MODES
def test_gradients_of_padding_round_alike_on_every_rung(mode, rungs_here, assert_within):
    grad = normal(2, 3, 13, 41)
    results = [kernels.pad2d_backward(grad, padding=(3, 2), mode=mode, variant=v) for v in rungs_here("pad2d_backward")]
    assert all(torch.equal(r, results[0]) for r in results)
    inputs = torch.zeros(2, 3, 7, 37, dtype=torch.float64, requires_grad=True)
    padded = F.pad(inputs, (2, 2, 3, 3), mode=TORCHS[mode])
    (dx,) = torch.autograd.grad(padded, inputs, grad.double())
    assert_within(results[0], dx, 12 * 2.0**-24 * 12 * float(grad.abs().max()))  # at most 4 · 3 gradients a pixel


def test_one_number_pads_all_sides_and_two_are_height_and_width():
    x = normal(1, 1, 3, 4)
    assert torch.equal(kernels.pad2d(x, padding=2), F.pad(x, (2, 2, 2, 2)))
    assert torch.equal(kernels.pad2d(x, padding=(1, 2)), F.pad(x, (2, 2, 1, 1)))


@DTYPES
@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 3, 4, 5), (1, 64, 7, 9), (3, 33, 5, 13), (1, 8, 4, 4)])
def test_layouts(shape, dtype, assert_every_rung_gives):
    x = normal(*shape, dtype=dtype)
    assert_every_rung_gives(x.permute(0, 2, 3, 1).contiguous(), "nchw_to_nhwc", x)
    assert_every_rung_gives(x.permute(0, 3, 1, 2).contiguous(), "nhwc_to_nchw", x)
    B, Hn, S, D = shape
    merged = x.transpose(1, 2).reshape(B, S, Hn * D)
    assert_every_rung_gives(merged, "merge_heads", x)
    assert_every_rung_gives(x, "split_heads", merged, heads=Hn)


@DTYPES
def test_joins(dtype, assert_every_rung_gives):
    parts = [normal(2, c, 3, 11, dtype=dtype, seed=c) for c in (1, 5, 2)]
    assert_every_rung_gives(torch.cat(parts, 1), "concat_channels", *parts)
    assert_every_rung_gives(parts[0], "concat_channels", parts[0])
    flat = [normal(3, c, dtype=dtype) for c in (40, 1)]
    assert_every_rung_gives(torch.cat(flat, 1), "concat_channels", *flat)


@DTYPES
def test_rows_of_a_table(dtype, assert_every_rung_gives):
    table, indices = normal(7, 21, dtype=dtype), torch.tensor([[6, 0, 3], [3, 3, 1]])
    assert_every_rung_gives(F.embedding(indices, table), "embedding", indices, table)


@pytest.mark.parametrize("index", [-1, 7, 2**40])
def test_an_index_outside_the_table_is_refused(index, rungs_here):
    for variant in rungs_here("embedding"):
        with pytest.raises(NativeModuleError, match="an index is no row of the table"):
            kernels.embedding(torch.tensor([0, index]), normal(7, 5), variant=variant)


def test_views_unaligned_memory_and_numpy():
    x = normal(4, 6, 5, 8)
    view = x[::2, :, :, ::2]
    assert torch.equal(kernels.pad2d(view, padding=1, mode="reflect"), F.pad(view, (1, 1, 1, 1), mode="reflect"))
    image = x.numpy()
    unaligned = np.frombuffer(b"\0" + image.tobytes(), np.uint8)[1:].view(np.float32).reshape(image.shape)
    assert not unaligned.flags.aligned
    np.testing.assert_array_equal(kernels.nchw_to_nhwc(unaligned), image.transpose(0, 2, 3, 1))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: kernels.pad2d(x, padding=-1), "padding=-1 is not valid"),
        (lambda x: kernels.pad2d(x, padding=(1, 2, 3)), "give one integer, two .* or four"),
        (lambda x: kernels.pad2d(x, padding=1, mode=UNKNOWN), "mode='mirror' is unknown; choose one of zeros"),
        (lambda x: kernels.pad2d(x, padding=(0, 4), mode="reflect"), "reflect padding of 4 .* W=4 .* pad at most 3"),
        (lambda x: kernels.pad2d(x, padding=(4, 0), mode="circular"), "circular padding of 4 .* H=3 .* pad at most 3"),
        (lambda x: kernels.pad2d_backward(x, padding=2), "all of it padding"),
        (lambda x: kernels.split_heads(x[0], heads=3), "heads=3 is not valid; .* divides E=4"),
        (
            lambda x: kernels.concat_channels(x, x[:, :, :2]),
            r"part 1 has shape \[1, 2, 2, 4\], expected \[1, 2, 3, 4\]",
        ),
        (lambda x: kernels.concat_channels(*[x] * 17), "17 arrays were given to join; give 1 to 16"),
        (lambda x: kernels.embedding(x, x[0, 0]), "element type float32; convert it to int64"),
    ],
)
def test_a_call_that_cannot_work_is_refused(call: Any, message):
    with pytest.raises(UsageError, match=message):
        call(torch.ones(1, 2, 3, 4))
