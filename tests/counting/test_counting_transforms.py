"""Fourier transforms, direct solvers and operators that few models use, against loops written out here."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from energybench.counting import count_model

META = torch.device("meta")


def meta(*shape, dtype=torch.float32):
    return torch.empty(*shape, dtype=dtype, device=META)


def grad(*shape):
    return meta(*shape).requires_grad_()


def butterflies(n):
    """A recursive radix-2 transform: two of half the length, then n/2 butterflies."""
    return 0 if n == 1 else 2 * butterflies(n // 2) + n // 2


@pytest.mark.parametrize("n", [2, 8, 64])
def test_fourier_transform(n):
    counts = count_model(torch.fft.fft, meta(3, n, dtype=torch.complex64), strict=True)
    assert (counts.total.muls, counts.total.adds) == (4 * 3 * butterflies(n), 6 * 3 * butterflies(n))
    real = count_model(torch.fft.rfft, meta(3, n), strict=True)
    assert 2 * real.total.muls == counts.total.muls
    assert real.total.by_dtype["float32"].adds == real.total.adds
    both = count_model(lambda x: torch.fft.irfft(torch.fft.rfft(x)), meta(3, n), strict=True)
    assert both.total.muls == 2 * real.total.muls + 3 * n  # the inverse is scaled
    two = count_model(torch.fft.fft2, meta(n, n, dtype=torch.complex64), strict=True)
    assert two.total.adds == 2 * n * 6 * butterflies(n)


def eliminate(n):
    """MACs and divisions of Gaussian elimination."""
    macs = divs = 0
    for k in range(n):
        for _row in range(k + 1, n):
            divs += 1
            macs += n - k - 1
    return macs, divs


def substitute(n):
    return sum(range(n))


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 3), st.integers(1, 6), st.integers(1, 4))
def test_direct_solvers(batch, n, columns):
    a, b = meta(batch, n, n), meta(batch, n, columns)
    macs, divs = eliminate(n)
    solved = count_model(torch.linalg.solve, a, b, strict=True).total
    assert solved.macs == batch * (macs + 2 * columns * substitute(n))
    assert solved.divs == batch * (divs + columns * n)
    inverse = count_model(torch.linalg.inv, a, strict=True).total
    assert inverse.macs == batch * (macs + 2 * n * substitute(n))
    assert count_model(torch.linalg.det, a, strict=True).total.macs == batch * macs
    triangular = count_model(lambda x, y: torch.linalg.solve_triangular(x, y, upper=True), a, b, strict=True).total
    assert (triangular.macs, triangular.divs) == (batch * columns * substitute(n), batch * columns * n)


@pytest.mark.parametrize("n", [1, 5, 13])
def test_cholesky(n):
    counts = count_model(torch.linalg.cholesky, meta(2, n, n), strict=True).total
    assert counts.macs == 2 * sum(j for i in range(n) for j in range(i + 1))  # element (i, j) sums j products
    assert (counts.specials, counts.divs) == (2 * n, 2 * substitute(n))


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
def test_embedding_bag(mode):
    bag = nn.EmbeddingBag(10, 4, mode=mode)
    counts = count_model(bag, torch.zeros(3, 2, dtype=torch.long), backward=mode != "max", strict=True)
    forward = counts.forward.by_dtype["float32"]
    assert forward.compares == (3 * 2 * 4 if mode == "max" else 0)
    assert forward.adds == (0 if mode == "max" else 3 * 2 * 4)
    assert forward.divs == (3 * 4 if mode == "mean" else 0)
    if mode != "max":
        assert counts.backward.by_dtype["float32"].adds == 3 * 2 * 4
        assert counts.backward.by_dtype["float32"].stores == 10 * 4


@pytest.mark.parametrize(("mode", "neighbours"), [("bilinear", 4), ("nearest", 0), ("bicubic", 16)])
def test_grid_sample(mode, neighbours):
    def sample(x, grid):
        return F.grid_sample(x, grid, mode=mode, align_corners=False)

    counts = count_model(sample, grad(1, 2, 5, 5), grad(1, 3, 3, 2), backward=True, strict=True)
    assert counts.forward.muls == 2 * 9 * neighbours
    assert counts.backward.muls == 2 * 9 * neighbours * 3  # the value, and a slope in each direction


def test_distances():
    counts = count_model(torch.cdist, grad(4, 3), grad(5, 3), backward=True, strict=True)
    assert counts.forward.macs == 4 * 5 * 3
    assert counts.backward.macs == 2 * 4 * 5 * 3
    own = count_model(F.pdist, grad(4, 3), backward=True, strict=True)
    assert (own.forward.macs, own.backward.macs) == (6 * 3, 2 * 6 * 3)


def test_unpooling_and_fractional_pooling():
    def unpool(x):
        y, places = F.max_pool2d(x, 2, return_indices=True)
        return F.max_unpool2d(y, places, [2, 2])

    counts = count_model(unpool, grad(1, 4, 6, 6), backward=True, strict=True)
    row = counts.by_operator()["aten.max_unpool2d"]
    assert (row.load_bytes, row.store_bytes) == (4 * 9 * (4 + 8), 4 * 4 * 36)
    pool = nn.FractionalMaxPool2d(2, output_size=3)
    assert count_model(pool, grad(1, 4, 6, 6), backward=True, strict=True).forward.compares == 4 * 9 * 4


def test_connectionist_temporal_classification():
    """A forward recursion over steps and label states (labels with blanks between), and a backward one."""
    steps, batch, classes, labels = 10, 2, 5, 3
    targets, lengths = torch.ones(batch, labels, dtype=torch.long), torch.tensor([labels, 2])

    def loss(logits):
        return F.ctc_loss(logits.log_softmax(-1), targets, torch.full((batch,), steps), lengths)

    counts = count_model(loss, grad(steps, batch, classes), backward=True, strict=True)
    states = steps * batch * (2 * labels + 1)
    assert counts.by_operator()["aten._ctc_loss"].specials == 4 * states
    assert counts.by_operator()["aten._ctc_loss_backward"].specials == 6 * states + 2 * steps * batch * classes


@pytest.mark.parametrize(
    "loss", [lambda x, y: F.multi_margin_loss(x, y[:, 0]), F.multilabel_margin_loss], ids=["multi", "multilabel"]
)
def test_margin_losses_have_a_backward_pass(loss):
    target = torch.zeros(4, 3, dtype=torch.long)
    assert count_model(lambda x: loss(x, target), grad(4, 3), backward=True, strict=True).backward.other_flops > 0


def test_multinomial():
    counts = count_model(lambda w: torch.multinomial(w, 3), meta(2, 8), strict=True)
    assert (counts.total.adds, counts.total.specials, counts.total.compares) == (16, 6, 6 * math.log2(8))
