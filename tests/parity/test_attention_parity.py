from itertools import product

import numpy as np
import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from energybench import kernels

# B, Hn, S_q, S_k, D
SHAPES = [
    (1, 1, 1, 1, 1),
    (2, 3, 7, 7, 5),
    (1, 2, 4, 9, 3),
    (3, 1, 9, 4, 8),
    (1, 2, 33, 33, 17),
    (2, 1, 1, 13, 6),
    (1, 9, 21, 70, 35),
]
# A score is a sum of D products and an output a convex combination of |v| ≲ 4.
TOLERANCE = {torch.float32: 4e-6, torch.float64: 2e-14}


def explicit(q, k, v, *, causal, scale=None):
    """The defining formula. (torch 2.13's fused CPU kernel gives NaN for a negative scale with a causal mask.)"""
    scores = q @ k.mT * (q.shape[-1] ** -0.5 if scale is None else scale)
    if causal:
        scores = scores.masked_fill(torch.ones(q.shape[2], k.shape[2]).tril() == 0, float("-inf"))
    return torch.softmax(scores, dim=-1) @ v


def tensors(B, Hn, S_q, S_k, D, dtype):
    generator = torch.Generator().manual_seed(S_q * 31 + S_k)
    return tuple(torch.randn(B, Hn, s, D, generator=generator, dtype=dtype) for s in (S_q, S_k, S_k))


@pytest.mark.parametrize("scale", [None, 0.3, -1])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("B", "Hn", "S_q", "S_k", "D"), SHAPES)
def test_attention_equals_torch_in_float64(B, Hn, S_q, S_k, D, dtype, causal, scale, assert_within, rungs_here):
    q, k, v = tensors(B, Hn, S_q, S_k, D, dtype)
    reference = explicit(q.double(), k.double(), v.double(), causal=causal, scale=scale)
    for variant, threads in product(rungs_here("attention"), (1, 2)):
        y = kernels.attention(q, k, v, causal=causal, scale=scale, variant=variant, threads=threads)
        assert_within(y, reference, TOLERANCE[dtype])


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(("B", "Hn", "S_q", "S_k", "D"), SHAPES)
def test_attention_has_the_meaning_of_torchs(B, Hn, S_q, S_k, D, causal, assert_within):
    q, k, v = tensors(B, Hn, S_q, S_k, D, torch.float64)
    reference = scaled_dot_product_attention(q, k, v, is_causal=causal)
    assert_within(kernels.attention(q, k, v, causal=causal), reference, TOLERANCE[torch.float64])


def test_attention_survives_scores_beyond_the_range_of_exp(assert_within, rungs_here):
    q, k, v = tensors(2, 3, 7, 7, 5, torch.float32)
    reference = scaled_dot_product_attention(q.double() * 300, k.double(), v.double())
    for variant in rungs_here("attention"):
        assert_within(kernels.attention(q * 300, k, v, variant=variant), reference, 3e-4)


def test_masked_keys_are_never_read(rungs_here):
    for variant in rungs_here("attention"):
        q, k, v = tensors(1, 2, 40, 40, 4, torch.float32)
        clean = kernels.attention(q, k, v, causal=True, variant=variant)
        k[:, :, 34:], v[:, :, 34:] = float("nan"), float("nan")
        y = kernels.attention(q, k, v, causal=True, variant=variant)
        assert torch.equal(y[:, :, :34], clean[:, :, :34])
        assert torch.isnan(y[:, :, 34:]).all()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_attention_with_non_finite_scores_gives_nan_rows_as_torch_does(value, rungs_here):
    q, k, v = tensors(1, 1, 25, 25, 4, torch.float32)
    q[0, 0, 2, 1] = value
    reference = explicit(q, k, v, causal=False)
    for variant in rungs_here("attention"):
        y = kernels.attention(q, k, v, variant=variant)
        assert torch.equal(torch.isnan(y), torch.isnan(reference))
        assert torch.isnan(y[0, 0, 2]).all()


def test_attention_gives_the_same_bits_with_any_number_of_threads(rungs_here):
    q, k, v = tensors(2, 5, 37, 37, 5, torch.float32)
    for variant in rungs_here("attention"):
        one = kernels.attention(q, k, v, causal=True, variant=variant, threads=1)
        for threads in (2, 3, 16):
            assert torch.equal(kernels.attention(q, k, v, causal=True, variant=variant, threads=threads), one)


def test_attention_takes_arrays_that_are_not_dense_or_not_aligned(rungs_here):
    arrays = tensors(1, 2, 9, 23, 10, torch.float32)
    shifted = [torch.cat([torch.zeros(1), a.flatten()])[1:].view(a.shape) for a in arrays]
    strided = [a.mT.contiguous().mT for a in arrays]
    for variant in rungs_here("attention"):
        expected = kernels.attention(*arrays, variant=variant)
        for given in (shifted, strided):
            assert torch.equal(kernels.attention(*given, variant=variant), expected)


def test_attention_takes_and_gives_numpy():
    q, k, v = tensors(1, 2, 4, 9, 3, torch.float32)
    y = kernels.attention(q.numpy(), k.numpy(), v.numpy())
    assert isinstance(y, np.ndarray)
    np.testing.assert_array_equal(y, kernels.attention(q, k, v).numpy())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_scores_of_minus_infinity_weigh_nothing(dtype, rungs_here, assert_within):
    """Whole blocks of 64 too, the first one above all, which would leave an online maximum at −∞."""
    q, k, v = tensors(1, 2, 9, 150, 4, dtype)
    q = q.abs()
    nothing = {"a key": (3, 4), "the first block": (0, 64), "a later one": (64, 128), "all but the last": (0, 149)}
    for first, end in nothing.values():
        masked = k.clone()
        masked[:, :, first:end] = float("-inf")
        reference = explicit(q.double(), masked.double(), v.double(), causal=False)
        sums = torch.logsumexp(q.double() @ masked.double().mT / 2, -1)
        assert not torch.isnan(reference).any()
        for variant in rungs_here("attention"):
            assert_within(kernels.attention(q, masked, v, variant=variant), reference, TOLERANCE[dtype])
            y, lse = kernels.online_attention(q, masked, v, variant=variant)
            assert_within(y, reference, TOLERANCE[dtype])
            assert_within(lse, sums, TOLERANCE[dtype] * (2 + sums.abs()))


def test_a_query_whose_scores_are_all_minus_infinity_is_nan_as_in_torch(rungs_here):
    q, k, v = tensors(1, 1, 5, 70, 4, torch.float32)
    k[:] = float("-inf")
    q = q.abs()
    expected = torch.softmax(q @ k.mT, -1) @ v
    assert torch.isnan(expected).all()
    for variant in rungs_here("attention"):
        y, lse = kernels.online_attention(q, k, v, variant=variant)
        assert torch.isnan(kernels.attention(q, k, v, variant=variant)).all()
        assert torch.isnan(y).all()
        assert torch.equal(lse, torch.logsumexp(q @ k.mT, -1))
