"""An estimate's splits: by pass, part of a Transformer, layer; per sample, token and epoch; beside a brain."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import energybench
from energybench.app.amounts import amounts_of
from energybench.errors import UsageError
from energybench.estimation import Amounts, brain_time_s
from energybench.estimation.components import CLAIMED_SHARES
from energybench.workloads.networks import GruSequenceModel, TransformerEncoder

# Any: a test looks into results without first proving that each part exists
eb: Any = energybench


def meta(*shape):
    return torch.empty(*shape, device="meta")


@pytest.fixture(scope="module")
def encoder():
    with torch.device("meta"):
        return TransformerEncoder(width=32, heads=2, layers=2)


def test_a_training_step_is_its_three_passes(encoder, profile) -> None:
    forward = eb.estimate(encoder, profile, meta(4, 8, 32))
    step = eb.estimate(encoder, profile, meta(4, 8, 32), optimizer="adam")
    passes = step.by_direction()
    assert list(passes) == ["forward", "backward", "optimizer"]
    assert sum(passes.values()) == pytest.approx(step.energy_j, rel=1e-12)
    assert passes["forward"] == pytest.approx(forward.energy_j, rel=0.1)  # the forward pass of training keeps more
    parameters = sum(p.numel() for p in encoder.parameters())
    # Adam reads weight, gradient and two moments and writes weight and moments: seven float32 a parameter
    bytes_j = 7 * 4 * parameters * profile.params["byte_j"]
    assert passes["optimizer"] > bytes_j
    assert eb.estimate(encoder, profile, meta(4, 8, 32), backward=True).by_direction().keys() == {"forward", "backward"}
    with pytest.raises(UsageError):
        eb.estimate(encoder, profile, meta(4, 8, 32), optimizer="lion")


def test_parts_of_a_transformer_stand_beside_the_claims(encoder, profile) -> None:
    result = eb.estimate(encoder, profile, meta(1, 8, 32))
    parts = {c.component: c for c in result.components()}
    assert {name: c.claimed_share for name, c in parts.items()} == CLAIMED_SHARES
    assert CLAIMED_SHARES == {"self_attention": 0.7, "multi_head": 0.8, "feed_forward": 0.6}
    assert sum(c.energy_j for c in parts.values()) < result.energy_j
    for part in parts.values():
        assert part.energy_share == pytest.approx(part.energy_j / result.energy_j, rel=1e-12)
    # scores and weighting: 2·S²·D MACs a layer; FLOPs of the softmax come on top
    core = 2 * (2 * 8 * 8 * 32) * 2
    assert parts["self_attention"].flops_share > core / result.counts.total.flops
    assert [c["claimed_share"] for c in result.to_dict()["components"]] == [0.7, 0.8, 0.6]


def test_no_transformer_has_no_parts(profile) -> None:
    with torch.device("meta"):
        model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    result = eb.estimate(model, profile, meta(1, 3, 8, 8))
    assert result.components() == ()
    assert result.by_component() == {}


def test_layers_and_operators_sum_to_the_whole(encoder, profile) -> None:
    result = eb.estimate(encoder, profile, meta(2, 8, 32), backward=True)
    for split in (result.by_layer(), result.by_operator(), result.by_kernel_class(), result.by_term()):
        assert sum(split.values()) == pytest.approx(result.energy_j, rel=1e-12)
    inside = result.by_module()["blocks.0"]
    own = [e for name, e in result.by_layer().items() if name == "blocks.0" or name.startswith("blocks.0.")]
    assert inside == pytest.approx(sum(own), rel=1e-12)


def test_energy_per_sample_token_and_epoch() -> None:
    per = Amounts(samples=8, tokens=1024, samples_per_epoch=50_000).per(16.0)
    assert per == {"batch": 16.0, "sample": 2.0, "token": 16 / 1024, "epoch": 100_000.0}
    assert Amounts().per(3.0) == {"batch": 3.0}
    assert Amounts(samples_per_epoch=10).calls_per_epoch is None
    assert Amounts(samples=8, samples_per_epoch=20).per(16.0)["epoch"] == 40.0  # the last batch is half a batch
    assert brain_time_s(40.0) == 2.0
    with pytest.raises(UsageError, match="samples=0"):
        Amounts(samples=0)


def test_amounts_are_read_off_the_inputs() -> None:
    ids = torch.zeros(3, 7, dtype=torch.long)
    assert amounts_of(None, [(ids,), {}]) == Amounts(3, 21)
    assert amounts_of(None, [(meta(5, 3, 8, 8),), {}]) == Amounts(5, None)
    assert amounts_of(None, [(), {"input_features": meta(2, 80, 10), "decoder_input_ids": ids}]) == Amounts(2, 21)
    recurrent = GruSequenceModel(4, 4, 4)
    assert amounts_of(recurrent, [(meta(16, 2, 4),), {}]) == Amounts(2, 32)
    assert amounts_of(nn.GRU(4, 4, batch_first=True), [(meta(16, 2, 4),), {}]) == Amounts(16, None)
    assert amounts_of(None, [(ids,), {}], samples=1, tokens=2) == Amounts(1, 2)


def test_notebook_view_is_escaped(encoder, profile, profile_of) -> None:
    html = eb.estimate(encoder, profile, meta(1, 8, 32), backward=True)._repr_html_()
    assert "<table>" in html
    assert "simulated" in html
    assert "multi-head attention" in html
    hostile = eb.estimate(encoder, profile_of(kind="<script>"), meta(1, 8, 32))._repr_html_()
    assert "<script>" not in hostile
