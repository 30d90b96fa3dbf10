"""Samples of layers [D24]: unbiased where the design is, exact where all are drawn, errors stated as they are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import energybench
from energybench.errors import UsageError
from energybench.estimation.layer_sample import METHODS, sample_layers, sampling_error
from energybench.records.op_counts import OpCounts

# Any: a test looks into results without first proving that each part exists
eb: Any = energybench


@pytest.fixture(scope="module")
def estimate(profile):
    with torch.device("meta"):
        layers = [m for i in range(30) for m in (nn.Linear(32 + 8 * (i % 4), 40 + 8 * ((i + 1) % 4)), nn.ReLU())]
        model = nn.Sequential(*[m if isinstance(m, nn.ReLU) else nn.Linear(64, 64) for m in layers])
        model.append(nn.Linear(64, 4096))
    return eb.estimate(model, profile, torch.empty(8, 64, device="meta"))


@pytest.mark.parametrize("method", METHODS)
def test_all_layers_are_exact(estimate, method) -> None:
    sample = sample_layers(estimate, share=1.0, method=method)
    assert sample.sampled == sample.layers == 61
    assert sample.error_rel == pytest.approx(0, abs=1e-12)
    assert sample.stderr_j == pytest.approx(0, abs=1e-12 * estimate.energy_j)


@pytest.mark.parametrize("method", ["simple", "stratified"])
def test_samples_are_unbiased(estimate, method) -> None:
    error = sampling_error(estimate, share=0.2, method=method, draws=2000)
    assert abs(error.bias_rel) < 4 * error.rms_rel / np.sqrt(2000) + 1e-12


def test_strata_of_like_layers_are_nearly_exact(estimate) -> None:
    errors = {m: sampling_error(estimate, share=0.2, method=m).rms_rel for m in METHODS}
    assert errors["stratified"] < 1e-9  # the layers of a stratum are alike here
    assert errors["simple"] > 0.05
    assert errors["weights"] > 0.01


def test_the_stated_error_is_the_true_one(estimate) -> None:
    samples = [sample_layers(estimate, share=0.5, method="simple", seed=s) for s in range(300)]
    stated = np.mean([(s.stderr_j / estimate.energy_j) ** 2 for s in samples])
    true = np.mean([s.error_rel**2 for s in samples])
    assert stated == pytest.approx(true, rel=0.25)


def test_seeds_repeat(estimate) -> None:
    assert sample_layers(estimate, seed=3) == sample_layers(estimate, seed=3)
    found = {sample_layers(estimate, seed=s, method="simple").energy_j for s in range(20)}
    assert len(found) > 1


def test_what_cannot_be_sampled_is_refused(estimate, profile) -> None:
    for share in (0.0, 1.1):
        with pytest.raises(UsageError, match="between 0 and 1"):
            sample_layers(estimate, share=share)
    with pytest.raises(UsageError, match="bogus"):
        sample_layers(estimate, method="bogus")  # type: ignore[arg-type]
    bare = eb.estimate(OpCounts.single("float32", macs=10, load_bytes=10, loads=1), profile)
    with pytest.raises(UsageError, match="no layers"):
        sample_layers(bare)


def test_a_sample_of_weights_is_exact_where_layers_cost_alike_per_byte(profile) -> None:
    """A ratio estimator: the sample's joules per weight byte times all weight bytes."""
    with torch.device("meta"):
        model = nn.Sequential(*[nn.Linear(64, 64) for _ in range(20)])
    estimate = eb.estimate(model, profile, torch.empty(8, 64, device="meta"))
    for seed in range(5):
        sample = sample_layers(estimate, share=0.25, method="weights", seed=seed)
        assert sample.sampled == 5
        assert sample.error_rel == pytest.approx(0, abs=1e-12)


def test_one_sample_has_its_error_as_root_mean_square(estimate) -> None:
    error = sampling_error(estimate, share=0.1, method="simple", draws=1, seed=1)
    assert error.bias_rel != 0
    assert error.rms_rel == pytest.approx(abs(error.bias_rel), rel=1e-12)
    assert error.p95_rel == pytest.approx(abs(error.bias_rel), rel=1e-12)
