"""An optimiser's step against torch's own fused step, counted operator by operator."""

import pytest
import torch
from torch import nn

from energybench.counting import count_model, count_optimizer_step
from energybench.errors import UsageError

N = 4 * 6 + 6


@pytest.mark.parametrize(("name", "states", "flops"), [("sgd", 0, 2), ("momentum", 1, 4), ("adam", 2, 13)])
def test_step(name, states, flops):
    counts = count_optimizer_step(nn.Linear(4, 6), name)
    (row,) = counts.rows
    assert (row.direction, row.kernel_class, row.counts.launches) == ("optimizer", "optimizer", 1)
    assert (row.counts.loads, row.counts.stores) == ((2 + states) * N, (1 + states) * N)
    assert row.counts.other_flops == flops * N
    assert row.counts.weight_load_bytes == 4 * N
    assert count_optimizer_step(nn.Linear(4, 6), name, weight_decay=True).total.other_flops == (flops + 2) * N


def test_as_torch_fuses_it():
    p, g, m, v = ([torch.empty(4, 6, device="meta")] for _ in range(4))

    def step(p, g, m, v):
        torch._fused_adam_(
            p, g, m, v, [], [torch.empty((), device="meta")], lr=0.1, beta1=0.9, beta2=0.99, weight_decay=0.0, eps=1e-8,
            amsgrad=False, maximize=False,
        )  # fmt: skip

    theirs = count_model(step, p, g, m, v, strict=True).total
    ours = count_optimizer_step(nn.Linear(4, 6, bias=False), "adam").total
    for name in ("adds", "muls", "divs", "specials", "launches"):
        assert getattr(ours, name) == getattr(theirs, name), name
    # torch also keeps the number of steps in a tensor
    assert (theirs.loads, theirs.stores) == (ours.loads + 1, ours.stores + 1)


def test_frozen_and_shared_parameters():
    layer = nn.Linear(4, 4)
    layer.bias.requires_grad_(False)
    assert count_optimizer_step(nn.Sequential(layer, layer), "sgd").total.stores == 16
    assert count_optimizer_step(layer.requires_grad_(False), "sgd").rows == ()


def test_unknown():
    with pytest.raises(UsageError, match="use one of sgd, momentum, adam"):
        count_optimizer_step(nn.Linear(2, 2), "lion")
