"""Parameter count, norms, distances [D1, D4] and achieved rates [D2]."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from energybench.counting import achieved_flop_per_s, count_model, parameter_distance, parameter_norms
from energybench.errors import UsageError
from energybench.records.op_counts import OpCounts


def linear(weight, bias):
    layer = nn.Linear(2, 1)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([weight]))
        layer.bias.copy_(torch.tensor([bias]))
    return layer


def test_norms():
    norms = parameter_norms(linear([3.0, -4.0], 12.0))
    assert (norms.count, norms.l1, norms.l2) == (3, 19.0, 13.0)


def test_shared_parameters_count_once():
    layer = linear([3.0, -4.0], 12.0)
    assert parameter_norms(nn.Sequential(layer, layer)) == parameter_norms(layer)


def test_distance():
    distance = parameter_distance(linear([3.0, -4.0], 12.0), linear([0.0, 0.0], 12.0))
    assert (distance.count, distance.l1, distance.l2) == (3, 7.0, 5.0)
    assert parameter_distance(linear([1.0, 2.0], 3.0), linear([1.0, 2.0], 3.0)).l2 == 0


def test_norms_do_not_overflow_in_half_precision():
    layer = nn.Linear(100, 100, bias=False).half()
    nn.init.constant_(layer.weight, 100.0)
    assert parameter_norms(layer).l1 == 1e6
    assert parameter_norms(layer).l2 == pytest.approx(1e4, rel=1e-12)


def test_refusals():
    with pytest.raises(UsageError, match="have no values"):
        parameter_norms(nn.Linear(2, 2, device="meta"))
    with pytest.raises(UsageError, match="same architecture"):
        parameter_distance(nn.Linear(2, 2), nn.Linear(2, 3))


def test_parameter_count_is_not_the_mac_count_of_a_convolution():
    """[D1] equates them; true for a dense layer at batch 1 alone."""
    dense = count_model(nn.Linear(8, 4, bias=False), torch.empty(1, 8, device="meta"))
    assert dense.parameters == dense.total.macs == 32
    conv = count_model(nn.Conv2d(2, 4, 3, bias=False), torch.empty(1, 2, 8, 8, device="meta"))
    assert conv.total.macs == conv.parameters * 36
    assert conv.parameter_bytes == conv.parameters * 4


def test_achieved_rate():
    counts = OpCounts.single("float32", macs=10, adds=5)
    assert achieved_flop_per_s(counts, 0.5) == 50
    for time_s in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(UsageError, match="positive time"):
            achieved_flop_per_s(counts, time_s)
