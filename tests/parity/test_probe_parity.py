import numpy as np
import pytest
import torch

from energybench import kernels


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(("dtype", "lanes"), [("float32", 8), ("float64", 4), ("float32", 16), ("float64", 8)])
def test_probe_fma_turns_points_on_their_ellipses(dtype, lanes, threads, assert_within):
    x = np.random.default_rng(0).uniform(0.5, 1.0, (3, 14, lanes)).astype(dtype)
    y = kernels.probe_fma(x, steps=9, threads=threads)
    p, q = x[:, 0::2].astype(np.float64), x[:, 1::2].astype(np.float64)
    for _ in range(9):
        p = p + 0.5 * q
        q = q - 0.5 * p
    assert_within(y, (p + q).sum(axis=(1, 2)), 2e-5 if dtype == "float32" else 1e-13)


def test_probe_fma_stays_bounded():
    x = torch.ones(2, 14, 8)
    # p² + q² − p·q/2 is preserved: with p = q = 1 no coordinate passes sqrt(1.5 / (1 − 1/16)) = 1.27
    y = kernels.probe_fma(x, steps=100_000)
    assert y.abs().max() <= 14 * 8 * 1.27 * 1.01


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("n", [1, 7, 8, 9, 1003])
def test_probe_stream_copies_every_element(n, threads):
    x = torch.randn(n)
    assert torch.equal(kernels.probe_stream(x, repeats=2, threads=threads), x)
