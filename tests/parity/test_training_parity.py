"""Batch normalisation, cross-entropy and dropout, forward and backward, on every rung that runs here.

The reference is torch in float64, gradients by autograd; dropout's mask is held equal to a numpy statement of its
generator, which is held equal to the published answers of that generator.
"""

import math
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - the name that torch's own documentation uses

from energybench import kernels
from energybench.errors import NativeModuleError, UsageError

UNIT = {torch.float32: 2.0**-24, torch.float64: 2.0**-53}
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])


def normal(*shape, dtype=torch.float32, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.fixture
def each_run(rungs_here):
    """(rung, threads) of a kernel, all that there are here."""
    return lambda kernel: product(rungs_here(kernel), (1, 2))


def double(tensor):
    return None if tensor is None else tensor.detach().clone().double()


# ---- batch normalisation
#: Planes shorter than a vector, of some vectors and a rest, of more than four; channels of two elements.
IMAGES = [(2, 3), (2, 1, 1), (3, 4, 5), (2, 3, 7, 9), (5, 2, 3, 45), (1, 2, 131)]


@DTYPES
@pytest.mark.parametrize("affine", ["none", "weight", "bias", "both"])
@pytest.mark.parametrize("shape", IMAGES)
def test_batch_norm_in_training(shape, affine, dtype, assert_within, each_run):
    C, m = shape[1], math.prod(shape) // shape[1]
    x, grad = normal(*shape, dtype=dtype) + 3, normal(*shape, dtype=dtype, seed=1)
    w = normal(C, dtype=dtype, seed=2) if affine in ("weight", "both") else None
    b = normal(C, dtype=dtype, seed=3) if affine in ("bias", "both") else None
    old = normal(C, dtype=dtype, seed=4), normal(C, dtype=dtype, seed=5).abs()
    inputs: list[Any] = [a.requires_grad_() if a is not None else None for a in map(double, (x, w, b))]
    mean, var = double(old[0]), double(old[1])
    reference = F.batch_norm(inputs[0], mean, var, inputs[1], inputs[2], training=True, momentum=0.3, eps=1e-2)
    slopes = iter(torch.autograd.grad(reference, [a for a in inputs if a is not None], grad.double()))
    expected = [None if a is None else next(slopes) for a in inputs]
    # sums of m terms (relative m·u) of values whose mean is a few standard deviations away
    spread = float(x.double().abs().max()) / 0.1
    unit = 8 * (m + 8) * UNIT[dtype]
    size = 1.0 if w is None else max(1.0, float(w.abs().max()))
    for variant, threads in each_run("batch_norm"):
        run: Any = {"variant": variant, "threads": threads}
        options: Any = {"momentum": 0.3, "eps": 1e-2, **run}
        found: Any = kernels.batch_norm(x, w, b, *old, return_statistics=True, **options)
        assert_within(found.y, reference.detach(), unit * spread * size)
        assert_within(found.running_mean, mean, unit * spread)
        assert_within(found.running_var, var, unit * spread**2)
        bare = kernels.batch_norm(x, w, b, **options)
        assert torch.equal(bare.y, found.y)
        assert bare[1:] == (None,) * 4
        given = grad, x, found.mean, found.rstd, w
        gradients = kernels.batch_norm_backward(*given, has_bias=b is not None, **run)
        steep = float(found.rstd.max()) * float(grad.abs().max()) * math.sqrt(m)
        bounds = (unit * spread * size * steep, unit * spread * m * 4, unit * m * 4)
        for gradient, slope, bound in zip(gradients, expected, bounds, strict=True):
            assert (gradient is None) == (slope is None)
            if slope is not None:
                assert_within(gradient, slope, bound)


@DTYPES
@pytest.mark.parametrize("affine", ["none", "weight", "bias", "both"])
@pytest.mark.parametrize("shape", IMAGES)
def test_batch_norm_in_inference(shape, affine, dtype, assert_within, each_run):
    C, m = shape[1], math.prod(shape) // shape[1]
    x, grad = normal(*shape, dtype=dtype), normal(*shape, dtype=dtype, seed=1)
    w = normal(C, dtype=dtype, seed=2) if affine in ("weight", "both") else None
    b = normal(C, dtype=dtype, seed=3) if affine in ("bias", "both") else None
    mean, var = normal(C, dtype=dtype, seed=4), normal(C, dtype=dtype, seed=5).abs()
    inputs: list[Any] = [a.requires_grad_() if a is not None else None for a in map(double, (x, w, b))]
    reference = F.batch_norm(inputs[0], mean.double(), var.double(), inputs[1], inputs[2], eps=1e-2)
    slopes = iter(torch.autograd.grad(reference, [a for a in inputs if a is not None], grad.double()))
    expected = [None if a is None else next(slopes) for a in inputs]
    size = 10 * (1 + float(x.abs().max()) + float(mean.abs().max())) * (1 if w is None else 1 + float(w.abs().max()))
    for variant, threads in each_run("batch_norm"):
        run: Any = {"training": False, "eps": 1e-2, "variant": variant, "threads": threads}
        found = kernels.batch_norm(x, w, b, mean, var, **run)
        assert_within(found.y, reference.detach(), 8 * UNIT[dtype] * size)
        assert found[1:] == (None,) * 4
        gradients = kernels.batch_norm_backward(grad, x, mean, var, w, has_bias=b is not None, **run)
        terms = UNIT[dtype] * 8 * size * float(grad.abs().max())
        for gradient, slope, bound in zip(gradients, expected, (terms, terms * m * m, terms * m * m), strict=True):
            assert (gradient is None) == (slope is None)
            if slope is not None:
                assert_within(gradient, slope, bound)


def test_a_nan_spoils_its_channel_and_no_other(each_run):
    x = normal(2, 3, 37)
    x[1, 1, 36] = math.nan
    for variant, threads in each_run("batch_norm"):
        found = kernels.batch_norm(x, return_statistics=True, variant=variant, threads=threads)
        given = (torch.ones_like(x), x, found.mean, found.rstd)
        dx, _, _ = kernels.batch_norm_backward(*given, variant=variant, threads=threads)
        for result in (found.y, dx):
            assert torch.isnan(result[:, 1]).all()
            assert not torch.isnan(result[:, [0, 2]]).any()


# ---- cross-entropy
@DTYPES
@pytest.mark.parametrize("shape", [(1, 1), (5, 7), (33, 10), (4, 131)])
def test_cross_entropy(shape, dtype, assert_within, each_run):
    rows, n = shape
    x = 10 * normal(*shape, dtype=dtype)
    targets = torch.randint(n, (rows,), generator=torch.Generator().manual_seed(1))
    wide = double(x).requires_grad_()
    reference = F.cross_entropy(wide, targets)
    grad = torch.tensor(1.75, dtype=dtype)
    (slope,) = torch.autograd.grad(reference, wide, grad.double())
    relative = (2 * float(x.abs().max()) + n + 16) * UNIT[dtype]  # as of a softmax
    for variant, threads in each_run("cross_entropy"):
        run: Any = {"variant": variant, "threads": threads}
        loss, y = kernels.cross_entropy(x, targets, **run)
        assert loss.shape == ()
        assert_within(loss, reference.detach(), relative + (rows + 2) * UNIT[dtype] * float(reference.detach()))
        assert_within(y, torch.log_softmax(x.double(), -1), 2 * relative + 4 * UNIT[dtype] * 2 * float(x.abs().max()))
        dx = kernels.cross_entropy_backward(grad, y, targets, **run)
        assert_within(dx, slope, 8 * relative * float(grad) / rows)
        assert torch.equal(dx, kernels.cross_entropy_backward(grad, y, targets, variant=variant, threads=3))


@pytest.mark.parametrize("target", [-1, 7, 2**40, -100])
def test_a_target_that_is_no_class_is_refused(target, each_run):
    targets = torch.tensor([0, 6, target, 1])
    x = normal(4, 7)
    for variant, threads in each_run("cross_entropy"):
        run: Any = {"variant": variant, "threads": threads}
        with pytest.raises(NativeModuleError, match="a target is no class"):
            kernels.cross_entropy(x, targets, **run)
        with pytest.raises(NativeModuleError, match="a target is no class"):
            kernels.cross_entropy_backward(torch.tensor(1.0), x, targets, **run)


# ---- dropout: the generator stated in numpy
def philox(seed: int, counters: np.ndarray) -> np.ndarray:
    """Philox4x32-10 of 64-bit counters: four words each, by the paper's definition."""
    mask, word = np.uint64(0xFFFFFFFF), np.zeros((4, len(counters)), np.uint64)
    word[0], word[1] = counters & mask, counters >> np.uint64(32)
    keys = [seed & 0xFFFFFFFF, seed >> 32]
    for _ in range(10):
        a, b = np.uint64(0xD2511F53) * word[0], np.uint64(0xCD9E8D57) * word[2]
        high = [p >> np.uint64(32) for p in (a, b)]
        word[0], word[2] = high[1] ^ word[1] ^ np.uint64(keys[0]), high[0] ^ word[3] ^ np.uint64(keys[1])
        word[1], word[3] = b & mask, a & mask
        keys = [(key + step) & 0xFFFFFFFF for key, step in zip(keys, (0x9E3779B9, 0xBB67AE85), strict=True)]
    return word


def uniforms(seed: int, n: int) -> np.ndarray:
    """Element i of block i // 64 is word (i % 64) // 16 of counter 16·block + i % 16, in steps of 2⁻²⁴."""
    i = np.arange(n)
    words = philox(seed, (16 * (i // 64) + i % 16).astype(np.uint64))
    return (words[i % 64 // 16, i] >> np.uint64(8)).astype(np.float64) * 2.0**-24


def test_the_statement_of_the_generator_gives_published_numbers():
    # known answers of Random123 (kat_vectors: philox4x32, 10 rounds, counter and key 0; both all ones in the low half)
    assert [int(w) for w in philox(0, np.zeros(1, np.uint64))[:, 0]] == [
        0x6627E8D5,
        0xE169C58D,
        0xBC57AC4C,
        0x9B00DBD8,
    ]


@DTYPES
@pytest.mark.parametrize("seed", [0, 12345, 2**64 - 1])
@pytest.mark.parametrize("shape", [(), (1,), (63,), (64,), (5, 41)])
def test_dropout(shape, seed, dtype, each_run):
    x, grad = normal(*shape, dtype=dtype), normal(*shape, dtype=dtype, seed=1)
    p = 0.3
    keep = float(torch.tensor(1 - p, dtype=dtype))  # the kernel's threshold is of its element type
    expected = torch.from_numpy(uniforms(seed, x.numel()) < keep).reshape(x.shape)
    scale = torch.tensor(1 / (1 - p), dtype=dtype)
    for variant, threads in each_run("dropout"):
        y, mask = kernels.dropout(x, p=p, seed=seed, variant=variant, threads=threads)
        assert mask.dtype == torch.uint8
        assert torch.equal(mask, expected.to(torch.uint8))
        assert torch.equal(y, torch.where(expected, x * scale, x * 0))
        dx = kernels.dropout_backward(grad, mask, p=p, variant=variant, threads=threads)
        assert torch.equal(dx, torch.where(expected, grad * scale, grad * 0))


def test_dropout_keeps_the_share_it_is_told_to_and_no_two_seeds_alike():
    x = torch.ones(200_000)
    for p in (0.0, 0.1, 0.5, 0.9):
        _, mask = kernels.dropout(x, p=p, seed=7)
        # six standard deviations of a binomial share
        assert float(mask.float().mean()) == pytest.approx(1 - p, abs=6 * math.sqrt(p * (1 - p) / len(x)) + 1e-12)
    one, two = (kernels.dropout(x, p=0.5, seed=seed)[1].float() for seed in (7, 8))
    assert float((one == two).float().mean()) == pytest.approx(0.5, abs=6 * math.sqrt(0.25 / len(x)))
    after = float((one[1:] == one[:-1]).float().mean())
    assert after == pytest.approx(0.5, abs=6 * math.sqrt(0.25 / len(x)))


def test_arrays_that_are_not_dense_or_not_aligned(rungs_here):
    x, w = normal(2, 3, 21), normal(3)
    shifted = torch.cat([torch.zeros(1), x.flatten()])[1:].view(x.shape)
    strided = torch.stack([x, x], -1)[..., 0]
    statistics = kernels.batch_norm(x, return_statistics=True)[1:3]
    for variant in rungs_here("batch_norm"):
        calls: list[Any] = [
            lambda x, v=variant: kernels.batch_norm(x, w, variant=v).y,
            lambda x, v=variant: kernels.batch_norm_backward(x, x, *statistics, w, variant=v)[0],
            lambda x, v=variant: kernels.dropout(x, p=0.5, seed=1, variant=v)[0],
            lambda x, v=variant: kernels.cross_entropy(x[0], torch.tensor([1, 2, 3]), variant=v)[1],
        ]
        for run in calls:
            assert torch.equal(run(x), run(shifted))
            assert torch.equal(run(x), run(strided))


@pytest.mark.parametrize(
    ("bad_call", "message"),
    [
        (lambda x: kernels.batch_norm(x[0]), "x has 1 dimension; give at least 2"),
        (lambda x: kernels.batch_norm(x[:1]), "one element per channel"),
        (lambda x: kernels.batch_norm(x, x), "weight has 2 dimensions"),
        (lambda x: kernels.batch_norm(x, x[0, :1]), r"weight has shape \[1\], expected \[3\]"),
        (lambda x: kernels.batch_norm(x, running_mean=x[0]), "give both or neither"),
        (lambda x: kernels.batch_norm(x, training=False), "inference needs running_mean and running_var"),
        (
            lambda x: kernels.batch_norm(x, None, None, x[0], x[0], training=False, return_statistics=True),
            "makes no statistics",
        ),
        (lambda x: kernels.batch_norm(x, eps=-1.0), "eps=-1.0 is not valid"),
        (lambda x: kernels.batch_norm(x, momentum=2.0), "momentum=2.0 is not valid"),
        (lambda x: kernels.batch_norm_backward(x, x[:1], x[0], x[0]), r"grad has shape \[2, 3\] and x \[1, 3\]"),
        (lambda x: kernels.batch_norm_backward(x, x, x[0, :1], x[0]), "mean has shape"),
        (lambda x: kernels.cross_entropy(x, x[:, 0]), "targets has element type float32; convert it to int64"),
        (lambda x: kernels.cross_entropy(x, torch.zeros(3).long()), r"targets has shape \[3\], expected \[2\]"),
        (lambda x: kernels.cross_entropy_backward(x[0], x, torch.zeros(2).long()), "grad has shape"),
        (lambda x: kernels.dropout(x, p=1.0, seed=0), "p=1.0 is not valid"),
        (lambda x: kernels.dropout(x, p=0.5, seed=-1), "seed=-1 is not valid"),
        (lambda x: kernels.dropout(x, p=0.5, seed=2**64), "is not valid; give an integer from 0"),
        (lambda x: kernels.dropout_backward(x, x, p=0.5), "mask has element type float32; convert it to uint8"),
    ],
)
def test_a_call_that_cannot_work_is_refused(bad_call, message):
    with pytest.raises(UsageError, match=message):
        bad_call(torch.ones(2, 3))
