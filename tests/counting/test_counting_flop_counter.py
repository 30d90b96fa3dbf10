"""torch's own FlopCounterMode on the meta device as a cross-check, where its formulas are right."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from energybench.counting import count_model

META = torch.device("meta")


def meta(*shape):
    return torch.empty(*shape, device=META)


class SeparableBlock(nn.Module):
    def __init__(self):
        super().__init__()
        self.depthwise = nn.Conv2d(16, 16, 3, padding=1, groups=16)
        self.pointwise = nn.Conv2d(16, 32, 1)
        self.temporal = nn.Conv1d(32, 8, 3, padding=4, dilation=4)

    def forward(self, x):
        return self.temporal(F.gelu(self.pointwise(F.hardswish(self.depthwise(x)))).mean(-1))


class Unet(nn.Module):
    def __init__(self):
        super().__init__()
        self.down = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.middle = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.GroupNorm(2, 8), nn.SiLU())
        self.up = nn.ConvTranspose2d(8, 4, 2, stride=2)
        self.out = nn.Conv2d(4 + 3, 1, 1)

    def forward(self, x):
        return self.out(torch.cat([self.up(self.middle(self.down(x))), x], 1))


CASES = [
    (SeparableBlock, (2, 16, 12, 12), False),
    (Unet, (2, 3, 16, 16), True),
    (lambda: nn.TransformerEncoderLayer(32, 4, 64, batch_first=True), (2, 9, 32), False),
    (lambda: nn.GRU(8, 16, 2, bidirectional=True), (5, 3, 8), True),
    (lambda: nn.LSTM(8, 16, 2), (5, 3, 8), True),
    (lambda: nn.RNN(8, 16), (5, 3, 8), True),
    (lambda: nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 4), nn.Softmax(-1)), (6, 8), True),
]


@pytest.mark.parametrize(("make", "shape", "backward"), CASES)
def test_flop_counter_agrees(make, shape, backward):
    model = make()
    counts = count_model(model, meta(*shape), backward=backward, strict=True)
    twin = make().to(META)
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with FlopCounterMode(display=False) as forward:
            out = twin(meta(*shape))
        with FlopCounterMode(display=False) as both:
            out = out[0] if isinstance(out, tuple) else out
            if backward:
                out.backward(torch.empty_like(out))
    finally:
        torch.backends.mha.set_fastpath_enabled(True)
    assert 2 * counts.forward.nominal_macs == forward.get_total_flops()
    if backward:
        assert 2 * counts.backward.nominal_macs == both.get_total_flops()


def test_flop_counter_is_wrong_on_grouped_convolution_gradients():
    """Why it is a cross-check and no source; fails when torch mends it, and then the case above may grow."""
    layer = nn.Conv2d(16, 16, 3, padding=1, groups=16, device=META)
    x = meta(1, 16, 8, 8).requires_grad_()
    with FlopCounterMode(display=False) as forward:
        y = layer(x)
    with FlopCounterMode(display=False) as back:
        y.backward(torch.empty_like(y))
    ours = count_model(layer, x, backward=True, strict=True)
    assert ours.backward.nominal_macs == 2 * ours.forward.nominal_macs
    assert 2 * ours.forward.nominal_macs == forward.get_total_flops()
    assert back.get_total_flops() > 2 * forward.get_total_flops()
