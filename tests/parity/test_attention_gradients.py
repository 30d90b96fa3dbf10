"""Online attention and attention's gradients, on every rung that runs here, against the defining formula in float64."""

from itertools import product
from typing import Any

import numpy as np
import pytest
import torch

from energybench import kernels
from energybench.errors import UsageError

DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
CAUSAL = pytest.mark.parametrize("causal", [False, True])
#: One pair, ragged tiles, several blocks of keys and chunks of queries, fewer keys than queries and more.
SHAPES = pytest.mark.parametrize(
    ("B", "Hn", "S_q", "S_k", "D"),
    [(1, 1, 1, 1, 1), (2, 3, 7, 7, 5), (3, 1, 9, 4, 8), (1, 9, 21, 70, 35), (1, 2, 67, 67, 17), (1, 1, 131, 140, 66)],
)
#: A score is a sum of D products; an output is a convex combination of |v| ≲ 4, a gradient a sum of S such terms.
TOLERANCE = {torch.float32: 6e-6, torch.float64: 3e-14}


def tensors(B, Hn, S_q, S_k, D, dtype):
    generator = torch.Generator().manual_seed(S_q * 31 + S_k)
    return tuple(torch.randn(B, Hn, s, D, generator=generator, dtype=dtype) for s in (S_q, S_k, S_k, S_q))


def explicit(q, k, v, *, causal, scale=None):
    """The defining formula: outputs, and the logarithms of the sums of exponentials."""
    scores = q @ k.mT * (q.shape[-1] ** -0.5 if scale is None else scale)
    if causal:
        scores = scores.masked_fill(torch.ones(q.shape[2], k.shape[2]).tril() == 0, float("-inf"))
    return torch.softmax(scores, dim=-1) @ v, torch.logsumexp(scores, dim=-1)


def forward(q, k, v, **options):
    """What the backward pass is given, rounded to the element type of q."""
    return (t.to(q.dtype) for t in explicit(q.double(), k.double(), v.double(), **options))


def same_bits(one, two):
    return all(a.numpy().tobytes() == b.numpy().tobytes() for a, b in zip(one, two, strict=True))


@DTYPES
@CAUSAL
@pytest.mark.parametrize("scale", [None, -0.3])
@SHAPES
def test_online_attention(B, Hn, S_q, S_k, D, scale, causal, dtype, rungs_here, assert_within):
    q, k, v, _ = tensors(B, Hn, S_q, S_k, D, dtype)
    options: Any = {"causal": causal, "scale": scale}
    reference, sums = explicit(q.double(), k.double(), v.double(), **options)
    for variant in rungs_here("online_attention"):
        one, two = (kernels.online_attention(q, k, v, variant=variant, threads=n, **options) for n in (1, 2))
        assert same_bits(one, two)
        assert_within(one[0], reference, TOLERANCE[dtype])
        assert_within(one[1], sums, TOLERANCE[dtype] * (2 + sums.abs()))


def test_online_attention_survives_scores_that_grow_from_block_to_block(rungs_here, assert_within):
    q, k, v, _ = tensors(1, 1, 9, 200, 3, torch.float32)
    k = k * torch.linspace(1, 400, 200)[:, None]
    reference, _ = explicit(q.double(), k.double(), v.double(), causal=False)
    for variant in rungs_here("online_attention"):
        assert_within(kernels.online_attention(q, k, v, variant=variant)[0], reference, 2e-3)
        assert_within(kernels.online_attention(q, k.flip(2), v.flip(2), variant=variant)[0], reference, 2e-3)


@DTYPES
@CAUSAL
@pytest.mark.parametrize("scale", [None, -0.3])
@SHAPES
def test_attention_backward(B, Hn, S_q, S_k, D, scale, causal, dtype, rungs_here, assert_within):
    q, k, v, grad = tensors(B, Hn, S_q, S_k, D, dtype)
    options: Any = {"causal": causal, "scale": scale}
    inputs = [t.double().clone().requires_grad_() for t in (q, k, v)]
    slopes = torch.autograd.grad(explicit(*inputs, **options)[0], inputs, grad.double())
    given = grad, q, k, v, *forward(q, k, v, **options)
    for variant in rungs_here("attention_backward"):
        one, two = (kernels.attention_backward(*given, variant=variant, threads=n, **options) for n in (1, 2))
        assert same_bits(one, two)
        for gradient, slope in zip(one, slopes, strict=True):
            assert_within(gradient, slope, TOLERANCE[dtype] * (4 + 16 * float(slope.abs().max())))


@CAUSAL
def test_the_forward_pass_gives_what_the_backward_pass_takes(causal, rungs_here, assert_within):
    q, k, v, grad = tensors(2, 2, 70, 70, 16, torch.float32)
    inputs = [t.double().clone().requires_grad_() for t in (q, k, v)]
    y = torch.nn.functional.scaled_dot_product_attention(inputs[0], inputs[1], inputs[2], is_causal=causal)
    slopes = torch.autograd.grad(y, inputs, grad.double())
    for variant in rungs_here("attention_backward"):
        kept = kernels.online_attention(q, k, v, causal=causal, variant=variant)
        gradients = kernels.attention_backward(grad, q, k, v, *kept, causal=causal, variant=variant)
        for gradient, slope in zip(gradients, slopes, strict=True):
            assert_within(gradient, slope, 1e-4)


def test_masked_pairs_are_never_met(rungs_here):
    q, k, v, grad = tensors(1, 2, 80, 80, 4, torch.float32)
    y, lse = forward(q, k, v, causal=True)
    broken_k, broken_v, broken_q, broken_grad = (t.clone() for t in (k, v, q, grad))
    broken_k[:, :, 70:], broken_v[:, :, 70:] = float("nan"), float("nan")
    broken_q[:, :, :5], broken_grad[:, :, :5] = float("nan"), float("nan")
    for variant in rungs_here("attention_backward"):
        options: Any = {"causal": True, "variant": variant}
        clean = kernels.attention_backward(grad, q, k, v, y, lse, **options)
        of_keys = kernels.attention_backward(grad, q, broken_k, broken_v, y, lse, **options)
        assert torch.equal(of_keys[0][:, :, :70], clean[0][:, :, :70])
        assert torch.isnan(of_keys[0][:, :, 70:]).all()
        of_queries = kernels.attention_backward(broken_grad, broken_q, k, v, y, lse, **options)
        for gradient, expected in zip(of_queries[1:], clean[1:], strict=True):
            assert torch.equal(gradient[:, :, 5:], expected[:, :, 5:])
            assert torch.isnan(gradient[:, :, :5]).all()
        outputs, sums = kernels.online_attention(q, broken_k, broken_v, **options)
        kept = kernels.online_attention(q, k, v, **options)
        assert torch.equal(outputs[:, :, :70], kept[0][:, :, :70])
        assert torch.equal(sums[:, :, :70], kept[1][:, :, :70])
        assert torch.isnan(outputs[:, :, 70:]).all()


def test_keys_that_no_query_sees_have_gradients_of_zero(rungs_here):
    q, k, v, grad = tensors(1, 1, 5, 40, 3, torch.float32)
    y, lse = forward(q, k, v, causal=True)
    for variant in rungs_here("attention_backward"):
        _, dk, dv = kernels.attention_backward(grad, q, k, v, y, lse, causal=True, variant=variant)
        for gradient in (dk, dv):
            assert torch.equal(gradient[:, :, 5:], torch.zeros(1, 1, 35, 3))
            assert (gradient[:, :, :5] != 0).all()


def test_arrays_that_are_not_dense_or_not_aligned(rungs_here):
    q, k, v, grad = tensors(1, 2, 9, 23, 10, torch.float32)
    arrays = grad, q, k, v, *forward(q, k, v, causal=False)
    shifted = [torch.cat([torch.zeros(1), a.flatten()])[1:].view(a.shape) for a in arrays]
    strided = [a.mT.contiguous().mT for a in arrays]
    for variant, given in product(rungs_here("attention_backward"), (shifted, strided)):
        expected = kernels.attention_backward(*arrays, variant=variant)
        assert same_bits(kernels.attention_backward(*given, variant=variant), expected)
        forward_pass = kernels.online_attention(*arrays[1:4], variant=variant)
        assert same_bits(kernels.online_attention(*given[1:4], variant=variant), forward_pass)


def test_numpy_in_numpy_out():
    q, k, v, grad = tensors(1, 2, 4, 9, 3, torch.float32)
    arrays = [t.numpy() for t in (grad, q, k, v, *forward(q, k, v, causal=False))]
    assert all(isinstance(a, np.ndarray) for a in kernels.attention_backward(*arrays))
    assert all(isinstance(a, np.ndarray) for a in kernels.online_attention(*arrays[1:4]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"grad": torch.ones(1, 2, 3, 5)}, r"grad has shape \[1, 2, 3, 5\], expected \[1, 2, 3, 4\]"),
        ({"y": torch.ones(2, 3, 4)}, "y has 3 dimensions"),
        ({"lse": torch.ones(1, 2, 4)}, r"lse has shape \[1, 2, 4\], expected \[1, 2, 3\]"),
        ({"lse": torch.ones(1, 2, 3).double()}, "q is float32 and lse is float64"),
        ({"v": torch.ones(1, 2, 6, 4)}, "v has shape"),
    ],
)
def test_a_call_that_cannot_work_is_refused(change, message):
    q, k = torch.ones(1, 2, 3, 4), torch.ones(1, 2, 5, 4)
    arrays = {"grad": q, "q": q, "k": k, "v": k, "y": q, "lse": q[..., 0], **change}
    with pytest.raises(UsageError, match=message):
        kernels.attention_backward(*arrays.values())
    with pytest.raises(UsageError, match="causal=1 is not valid"):
        kernels.online_attention(q, k, k, causal=1)  # type: ignore[arg-type]
