"""Probes of one kind of work: what they compute, what they count, and that the processor is asked for it."""

import math

import numpy as np
import pytest
import torch

from energybench import kernels
from energybench.errors import NativeModuleError, UsageError

DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])
SIZES = pytest.mark.parametrize("n", [1, 7, 64, 1003, 8192, 20_011])


def agree(kernel, x, **options):
    """The counting run equals the closed form with any number of threads; plain and counting give the same bits."""
    plain = getattr(kernels, kernel)(x, threads=1, **options)
    assert getattr(kernels, kernel)(x, threads=2, **options).tobytes() == plain.tobytes()
    for threads in (1, 2):
        run = kernels.counted_run(kernel, x, threads=threads, **options)
        assert run.counts == kernels.count(kernel, x, basis="issued", **options)
        assert not run.outputs or run.outputs[0].tobytes() == plain.tobytes()
    return plain, run.counts


def blocks(values):
    return [values[i : i + 8192] for i in range(0, len(values), 8192)]


@DTYPES
@SIZES
def test_intensity_and_reads(n, dtype):
    x = np.random.default_rng(n).random(n).astype(dtype)
    tolerance = 1e-5 if dtype == "float32" else 1e-12
    y, counts = agree("probe_intensity", x, macs=3)
    rounds = ((x.astype("float64") / 2 + 0.25) / 2 + 0.25) / 2 + 0.25
    np.testing.assert_allclose(y, [b.sum() for b in blocks(rounds)], rtol=tolerance)
    assert (counts.macs, counts.other_flops, counts.loads, counts.stores) == (3 * n, n, n, len(y))
    y, counts = agree("probe_read", x)
    np.testing.assert_allclose(y, [b.sum() for b in blocks(x.astype("float64"))], rtol=tolerance)
    assert (counts.macs, counts.other_flops, counts.loads, counts.stores) == (0, n, n, len(y))


@DTYPES
@SIZES
def test_writes_read_nothing(n, dtype):
    y, counts = agree("probe_write", np.full(n, np.nan, dtype))
    assert (y == 0.5).all()
    assert (counts.flops, counts.loads, counts.stores) == (0, 0, n)


@DTYPES
@pytest.mark.parametrize("function", ["exp", "tanh", "erf", "sqrt", "log"])
def test_specials(function, dtype):
    x = np.linspace(0.1, 3, 1003).astype(dtype)
    y, counts = agree("probe_special", x, function=function, repeats=3)
    expected = [getattr(math, function)(float(v)) for v in x]
    np.testing.assert_allclose(y, expected, rtol=1e-6 if dtype == "float32" else 1e-14, atol=1e-7)
    assert (counts.specials, counts.loads, counts.stores) == (3 * 1003,) * 3
    assert counts.flops == counts.specials


def test_a_chase_follows_its_cycle():
    places = kernels.pointer_cycle(64 * 100)
    assert sorted(set(places)) == list(range(0, 800, 8))
    ends, counts = agree("probe_chase", places, steps=37)
    at = 0
    for _ in range(37):
        at = places[at]
    assert ends.tolist() == [at]
    assert kernels.probe_chase(places, steps=100).tolist() == [0]  # one cycle through every line, and back
    assert counts.by_dtype["int64"].to_dict() == {"loads": 37, "load_bytes": 296, "stores": 1, "store_bytes": 8}
    assert kernels.probe_chase(torch.from_numpy(places), steps=100, chains=4, threads=2).tolist() == [0, 200, 400, 600]


@pytest.mark.parametrize("outside", [-1, 800, 2**40])
def test_a_place_outside_is_refused(outside):
    places = kernels.pointer_cycle(64 * 100)
    places[places[0]] = outside
    with pytest.raises(NativeModuleError, match="a place lies outside the array"):
        kernels.probe_chase(places, steps=100)


def test_a_launch_does_nothing_else():
    _, counts = agree_launch(np.ones(3, "float32"))
    assert (counts.launches, counts.flops, counts.loads, counts.stores) == (1, 0, 0, 0)


def agree_launch(x):
    for threads in (1, 2):
        kernels.probe_launch(x, threads=threads)
    run = kernels.counted_run("probe_launch", x, threads=2)
    assert run.counts == kernels.count("probe_launch", x, basis="issued")
    return run.outputs, run.counts


def test_bad_probes_are_refused():
    x = np.ones(4, "float32")
    with pytest.raises(UsageError, match="macs=0 is not valid"):
        kernels.probe_intensity(x, macs=0)
    with pytest.raises(UsageError, match="function='sin' is not valid; choose one of exp"):
        kernels.probe_special(x, function="sin")
    with pytest.raises(UsageError, match="element type float32; convert it to int64"):
        kernels.probe_chase(x, steps=1)
    with pytest.raises(UsageError, match="chains=9 is more than the 8 places"):
        kernels.probe_chase(np.zeros(8, "int64"), steps=1, chains=9)
    with pytest.raises(UsageError, match="two cache lines"):
        kernels.pointer_cycle(64)
