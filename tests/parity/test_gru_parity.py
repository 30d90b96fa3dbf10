import math
from itertools import product
from typing import Any

import pytest
import torch

from energybench import kernels

UNIT = {torch.float32: 2.0**-24, torch.float64: 2.0**-53}
# T, B, I, H; the last ones have several strips and tiles, a team of threads, and an input side in two blocks
SHAPES = [(1, 1, 1, 1), (1, 3, 5, 7), (5, 2, 3, 4), (9, 3, 8, 5), (4, 1, 17, 13), (3, 7, 5, 69), (2, 2, 261, 35)]


def tolerance(I: int, H: int, dtype: torch.dtype) -> float:  # noqa: E741
    """Largest error of a state or output.

    A gate's sum of n = I + H products errs as a random walk of n roundings does: √n units of partial sums that stay
    within a few ones (Higham and Mary 2019; the bound with certainty, n units of the sum of magnitudes, is 100 times
    what is seen), and reaches the state through slopes of at most 1. The vector functions are within 4 units in the
    last place; three of them and the blend make 16. Earlier steps' errors are handed on times z < 1, so that they fade
    and T does not enter. Seen: at most a third of this. A float64 reference errs as much itself.
    """
    return (16 + 2 * math.sqrt(I + H)) * UNIT[dtype] * (2 if dtype == torch.float64 else 1)


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
        assert_within(y, reference_y, tolerance(I, H, dtype))
        assert_within(h_n, reference_h[0], tolerance(I, H, dtype))


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
        assert_within(y, torch.sigmoid(o) * torch.tanh(states), tolerance(I, H, dtype))
        assert_within(h_n, last[0], tolerance(I, H, dtype))


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


# ---- backward through time
def reference_cell(x, h0, w_ih, w_hh, b_ih, b_hh, w_io=None, w_ho=None, b_io=None, b_ho=None):
    """The cell by its equations in docs/kernels/gru.md, for autograd; `torch.nn.GRU` has no output gate."""
    h, outputs = h0, []
    for at_t in x:
        i_r, i_z, i_n = torch.nn.functional.linear(at_t, w_ih, b_ih).chunk(3, -1)
        h_r, h_z, h_n = torch.nn.functional.linear(h, w_hh, b_hh).chunk(3, -1)
        z, n = torch.sigmoid(i_z + h_z), torch.tanh(i_n + torch.sigmoid(i_r + h_r) * h_n)
        gate: Any = 1.0
        if w_io is not None:
            of_input, of_state = torch.nn.functional.linear(at_t, w_io, b_io), torch.nn.functional.linear(h, w_ho, b_ho)
            gate = torch.sigmoid(of_input + of_state)
        h = (1 - z) * n + z * h
        outputs.append(h if w_io is None else gate * torch.tanh(h))
    return torch.stack(outputs), h


def torchs_gradients(x, h0, weights, gate, grad, grad_h, *, bias):
    """float64 gradients by autograd: of torch's own layer, or of the equations where there is an output gate."""
    inputs = [
        a.detach().clone().double().requires_grad_() for a in (x, h0, *weights, *(g for g in gate if g is not None))
    ]
    x, h0, *parameters = inputs
    if any(g is not None for g in gate):
        cell_weights = parameters[:4] if bias else [*parameters[:2], None, None]
        y, h_n = reference_cell(x, h0, *cell_weights, *parameters[len(weights) :])
    else:
        flags = {"has_biases": bias, "num_layers": 1, "dropout": 0.0, "train": True}
        y, h_n = torch.gru(x, h0[None], parameters, **flags, bidirectional=False, batch_first=False)
        h_n = h_n[0]
    loss = (y * grad.double()).sum() + (0 if grad_h is None else (h_n * grad_h.double()).sum())
    return torch.autograd.grad(loss, inputs)


@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("T", "B", "I", "H"), SHAPES)
def test_gru_backward_equals_autograd(T, B, I, H, dtype, bias, gated, assert_within, rungs_here):  # noqa: E741
    _, x, h0, weights = cell(T, B, I, H, dtype, bias=bias)
    gate = output_gate(H, I, dtype, bias=bias) if gated else (None,) * 4
    options: Any = {"output_gate": gate} if gated else {}
    grad, grad_h = torch.randn(T, B, H, dtype=dtype), torch.randn(B, H, dtype=dtype) if bias else None
    reference = torchs_gradients(x, h0[0], weights, gate, grad, grad_h, bias=bias)
    gru: Any = kernels.gru
    # Sums of at most T·B or (G·H + I) products, T of them behind one another, of gates that are off by as much.
    terms = T * (4 * H + I) + T * B + 20
    # All gradients are made of the same gates' gradients, in which h − n and others cancel: errors of their size.
    bound = terms * UNIT[dtype] * max(float(expected.abs().max()) for expected in reference)
    for variant, threads in product(rungs_here("gru_backward"), (1, 2)):
        run: Any = {"variant": variant, "threads": threads, **options}
        y, h_n, kept = gru(x, h0[0], *weights, return_gates=True, **run)
        plain = gru(x, h0[0], *weights, **run)
        assert torch.equal(y, plain[0])
        assert torch.equal(h_n, plain[1])
        given: Any = (grad, grad_h, x, h0[0], None if gated else y, kept, *weights[:2])
        found = kernels.gru_backward(*given, has_bias=bias, **run)
        there = [g for g in found if g is not None]
        assert [g is None for g in found[4:]] == [not bias] * 2 + [not gated] * 2 + [not (gated and bias)] * 2
        for gradient, expected in zip(there, reference, strict=True):
            assert_within(gradient, expected, bound)


def test_gru_backward_with_a_nan_spreads_it_to_earlier_steps_alone(rungs_here):
    _, x, h0, weights = cell(5, 3, 4, 37, torch.float32)
    for variant in rungs_here("gru_backward"):
        y, _, kept = kernels.gru(x, h0[0], *weights, return_gates=True, variant=variant)
        grad = torch.ones_like(y)
        grad[2, 1, 5] = float("nan")
        found = kernels.gru_backward(grad, None, x, h0[0], y, kept, *weights[:2], variant=variant)
        spoiled = torch.isnan(found.x).any(-1)
        assert spoiled.tolist() == [[False, t <= 2, False] for t in range(5)]
        assert torch.isnan(found.h0).any(-1).tolist() == [False, True, False]


@pytest.mark.parametrize("H", [5, 150])
def test_gru_backward_gives_the_same_bits_with_any_number_of_threads(H, rungs_here):
    _, x, h0, weights = cell(9, 3, 8, H, torch.float32)
    for variant in rungs_here("gru_backward"):
        y, h_n, kept = kernels.gru(x, h0[0], *weights, return_gates=True, variant=variant)
        given: Any = (y, h_n, x, h0[0], y, kept, *weights[:2])
        one: Any = kernels.gru_backward(*given, variant=variant, threads=1)
        for threads in (2, 3, 16):
            other: Any = kernels.gru_backward(*given, variant=variant, threads=threads)
            assert all(a is b is None or torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_gru_backward_takes_arrays_that_are_not_dense_or_not_aligned(rungs_here):
    _, x, h0, weights = cell(4, 3, 6, 21, torch.float32)
    y, h_n, kept = kernels.gru(x, h0[0], *weights, return_gates=True)
    given: Any = [y, h_n, x, h0[0], y, kept, *weights[:2]]
    shifted = [torch.cat([torch.zeros(1), w.flatten()])[1:].view(w.shape) for w in given]
    strided = [torch.stack([w, w], -1)[..., 0] for w in given]
    for variant in rungs_here("gru_backward"):
        expected: Any = kernels.gru_backward(*given, variant=variant)
        for arrays in (shifted, strided):
            found: Any = kernels.gru_backward(*arrays, variant=variant)
            assert all(a is b is None or torch.equal(a, b) for a, b in zip(found, expected, strict=True))
