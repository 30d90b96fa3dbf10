"""erf of vectors of floats: what its polynomials promise (csrc/common/vector_erf.h)."""

import math

import numpy as np
import pytest

from energybench import kernels

#: Units in the last place that no float's erf is off by more than; 2.38 is the largest among a tenth of all of them.
ULP = 2.5


def erf(x):
    """Of float32, by vectors of the probe."""
    return kernels.probe_special(x.astype("float32"), function="erf")


@pytest.fixture(scope="module")
def numbers():
    """Every so many of the floats from 1e-37 to 4.5, and those around the ends of the polynomials' intervals."""
    bits = np.arange(np.float32(1e-37).view(np.int32), np.float32(4.5).view(np.int32), 30_011, dtype=np.int32)
    ends = np.arange(0.5, 4.5, 0.5, dtype="float32").view(np.int32)
    return np.concatenate([bits, *(ends + i for i in range(-40, 41))]).view(np.float32)


def test_erf_is_within_units_of_the_last_place(numbers):
    exact = np.array([math.erf(x) for x in numbers.astype(float)])
    unit = np.spacing(exact.astype("float32")).astype(float)
    assert np.max(np.abs(erf(numbers).astype(float) - exact) / unit) <= ULP


def test_erf_is_odd_and_ends_at_one(numbers):
    np.testing.assert_array_equal(erf(-numbers), -erf(numbers))
    assert erf(numbers).max() == 1
    far = np.array([4, 5, 1e30, np.inf], "float32")
    np.testing.assert_array_equal(erf(far), np.ones(4, "float32"))


def test_erf_of_zero_and_of_no_number():
    result = erf(np.array([0.0, -0.0, np.nan, -np.nan], "float32"))
    assert (result[:2] == 0).all()
    np.testing.assert_array_equal(np.signbit(result[:2]), [False, True])
    assert np.isnan(result[2:]).all()


def test_gelu_has_the_same_bits_on_vectors_of_either_width(rungs_here):
    wide = {"avx2", "avx512", "avx512_emulated"} & {*rungs_here("gelu")}
    x = np.random.default_rng(0).standard_normal(1000).astype("float32") * 3
    results = [kernels.gelu(x, variant=variant) for variant in sorted(wide)]
    for other in results[1:]:
        np.testing.assert_array_equal(results[0], other)
