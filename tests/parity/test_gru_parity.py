from itertools import product

import pytest
import torch

from energybench import kernels

# T, B, I, H; the last ones have several strips and tiles, a team of threads, and an input side in two blocks
SHAPES = [(1, 1, 1, 1), (1, 3, 5, 7), (5, 2, 3, 4), (9, 3, 8, 5), (4, 1, 17, 13), (3, 7, 5, 69), (2, 2, 261, 35)]
# Each state is a sum of I + H products through contractions (|σ'| ≤ 1/4, |tanh'| ≤ 1); a state in (−1, 1) carries its
# error on: T·(I + H)·u is generous for these sizes.
TOLERANCE = {torch.float32: 6e-6, torch.float64: 1e-14}


def cell(T: int, B: int, I: int, H: int, dtype: torch.dtype, *, bias: bool = True):  # noqa: E741
    torch.manual_seed(7 * T + B + I + H)
    module = torch.nn.GRU(I, H, bias=bias, dtype=dtype)
    x, h0 = torch.randn(T, B, I, dtype=dtype), torch.randn(1, B, H, dtype=dtype)
    return module, x, h0, [p.detach() for p in module.parameters()]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("T", "B", "I", "H"), SHAPES)
def test_gru_equals_torch_in_float64(T, B, I, H, dtype, bias, assert_within, rungs_here):  # noqa: E741
    module, x, h0, weights = cell(T, B, I, H, dtype, bias=bias)
    with torch.no_grad():
        reference_y, reference_h = module.double()(x.double(), h0.double())
    for variant, threads in product(rungs_here("gru"), (1, 2)):
        y, h_n = kernels.gru(x, h0[0], *weights, variant=variant, threads=threads)
        assert_within(y, reference_y, TOLERANCE[dtype])
        assert_within(h_n, reference_h[0], TOLERANCE[dtype])


def output_gate(H: int, I: int, dtype: torch.dtype, *, bias: bool):  # noqa: E741
    torch.manual_seed(3)
    biases = (torch.randn(H, dtype=dtype), torch.randn(H, dtype=dtype)) if bias else (None, None)
    return (torch.randn(H, I, dtype=dtype), torch.randn(H, H, dtype=dtype), *biases)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("T", "B", "I", "H"), SHAPES)
def test_output_gate_variant_follows_its_equations(T, B, I, H, dtype, bias, assert_within, rungs_here):  # noqa: E741
    # [D11]: o = σ(W_io x + b_io + W_ho h[t−1] + b_ho), y = o ⊙ tanh(h[t]); the state is the standard cell's
    module, x, h0, weights = cell(T, B, I, H, dtype, bias=bias)
    gate = output_gate(H, I, dtype, bias=bias)
    with torch.no_grad():
        states, last = module.double()(x.double(), h0.double())
    w_io, w_ho, b_io, b_ho = (None if g is None else g.double() for g in gate)
    previous = torch.cat([h0.double(), states[:-1]])
    assert w_io is not None
    assert w_ho is not None
    o = x.double() @ w_io.T + previous @ w_ho.T
    if b_io is not None and b_ho is not None:
        o = o + b_io + b_ho
    for variant, threads in product(rungs_here("gru"), (1, 2)):
        y, h_n = kernels.gru(x, h0[0], *weights, output_gate=gate, variant=variant, threads=threads)
        assert_within(y, torch.sigmoid(o) * torch.tanh(states), TOLERANCE[dtype])
        assert_within(h_n, last[0], TOLERANCE[dtype])


def test_gru_saturates_without_overflow(assert_within, rungs_here):
    module, x, h0, weights = cell(5, 2, 3, 4, torch.float32)
    with torch.no_grad():
        reference, _ = module.double()(x.double() * 1e4, h0.double())
    for variant in rungs_here("gru"):
        y, _ = kernels.gru(x * 1e4, h0[0], *weights, variant=variant)
        assert_within(y, reference, 4e-6)


def test_gru_with_non_finite_inputs_spreads_them_as_torch_does(rungs_here):
    module, x, h0, weights = cell(5, 6, 3, 37, torch.float32)
    x[2, 1, 0] = float("nan")
    with torch.no_grad():
        reference, last = module(x, h0)
    for variant in rungs_here("gru"):
        y, h_n = kernels.gru(x, h0[0], *weights, variant=variant)
        assert torch.equal(torch.isnan(y), torch.isnan(reference))
        assert torch.equal(torch.isnan(h_n), torch.isnan(last[0]))
        assert 0 < int(torch.isnan(y).sum()) < y.numel()


@pytest.mark.parametrize("H", [5, 150])
def test_gru_gives_the_same_bits_with_any_number_of_threads(H, rungs_here):
    _, x, h0, weights = cell(9, 3, 8, H, torch.float32)
    for variant in rungs_here("gru"):
        one = kernels.gru(x, h0[0], *weights, variant=variant, threads=1)
        for threads in (2, 3, 16):
            two = kernels.gru(x, h0[0], *weights, variant=variant, threads=threads)
            assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


def test_gru_takes_arrays_that_are_not_dense_or_not_aligned(rungs_here):
    _, x, h0, weights = cell(4, 3, 6, 21, torch.float32)
    shifted = [torch.cat([torch.zeros(1), w.flatten()])[1:].view(w.shape) for w in (x, h0[0], *weights)]
    strided = [torch.stack([w, w], -1)[..., 0] for w in (x, h0[0], *weights)]
    assert not any(w.is_contiguous() for w in strided)
    for variant in rungs_here("gru"):
        expected = kernels.gru(x, h0[0], *weights, variant=variant)
        for arrays in (shifted, strided):
            found = kernels.gru(*arrays, variant=variant)
            assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
