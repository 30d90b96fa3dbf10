"""Models that look at values: what keeps them, what is assumed, and gradients that flow through what has them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from energybench.counting import count_model, load_target
from energybench.errors import CountingError

META = torch.device("meta")


def meta(*shape):
    return torch.empty(*shape, device=META)


def test_gradient_through_a_filled_tensor():
    """torch.full keeps its values, as a mask may be made so; here a gradient flows through what is written into it."""

    def model(x):
        y = torch.full((4, 3), -1.0, device=x.device)
        y[1:3] = x * 2
        return y

    counts = count_model(model, meta(2, 3).requires_grad_(), backward=True, strict=True)
    assert counts.by_operator()["aten.full"].stores == 4 * 3
    assert counts.backward.muls == 2 * 3


def test_packed_sequences_unsorted_backward():
    from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

    class Packed(nn.Module):
        def __init__(self):
            super().__init__()
            self.gru = nn.GRU(8, 16)

        def forward(self, x, lengths):
            y, _ = self.gru(pack_padded_sequence(x, lengths, enforce_sorted=False))
            return pad_packed_sequence(y)[0]

    counts = count_model(Packed(), meta(10, 3, 8), torch.tensor([10, 4, 7]), backward=True, strict=True)
    rows = 10 + 4 + 7
    assert counts.forward.macs == rows * 3 * 16 * (8 + 16)
    # no gradient for x, and none for the state before the first step of each sequence
    assert counts.backward.macs == rows * 3 * 16 * (8 + 16) + (rows - 3) * 3 * 16 * 16


def test_a_mask_with_values_names_its_rows():
    mask = torch.zeros(10, dtype=torch.bool)
    mask[[1, 4, 7]] = True
    counts = count_model(lambda x: x[mask] @ torch.empty(5, 2, device=META), meta(10, 5), strict=True)
    assert counts.total.macs == 3 * 5 * 2
    row = counts.by_operator()["aten.index"]
    assert (row.load_bytes, row.store_bytes) == (4 * 3 * 5 + 8 * 3, 4 * 3 * 5)

    def written(x, value):
        x = x.clone()
        x[mask] = value
        return x

    row = count_model(written, meta(10, 5), meta(5), strict=True).by_operator()["aten.index_put_"]
    assert (row.stores, row.load_bytes) == (3 * 5, 4 * 5 + 8 * 3)


def test_a_single_random_number_is_one_half():
    class LayerDrop(nn.Module):
        def __init__(self, rate):
            super().__init__()
            self.layer, self.rate = nn.Linear(4, 4), rate

        def forward(self, x):
            return x if torch.rand([]) < self.rate else self.layer(x)

    rarely, often = LayerDrop(0.1), LayerDrop(0.6)
    state = torch.get_rng_state()
    assert count_model(rarely, meta(2, 4), strict=True).total.macs == 2 * 4 * 4
    assert count_model(often, meta(2, 4), strict=True).total.macs == 0
    assert torch.equal(torch.get_rng_state(), state)  # no number of the user's was drawn


def test_single_buffers_keep_their_values():
    class Scaled(nn.Module):
        scale: torch.Tensor

        def __init__(self):
            super().__init__()
            self.register_buffer("scale", torch.tensor([2.0]))

        def forward(self, x):
            return x * 2 if float(self.scale) == 2 else x @ x

    assert count_model(Scaled(), meta(3, 3), strict=True).total.macs == 0


def test_a_floating_value_is_not_looked_at():
    with pytest.raises(CountingError, match="reads the value"):
        count_model(lambda x: x if x.sum() > 0 else -x, meta(3))


def test_factory_keeps_integers_and_allocates_no_weights(tmp_path, monkeypatch):
    (tmp_path / "padded_target.py").write_text(
        """import torch
from torch import nn

class Padded(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(1 << 20, 1 << 10))
        self.register_buffer("padding", torch.tensor(2))
        self.register_buffer("positions", torch.arange(6))

    def forward(self, x):
        x = nn.functional.pad(x, (int(self.padding), 0))
        return x if int(self.positions[-1]) == 5 else x @ x

def make():
    return Padded(), torch.empty(3, 4)
"""
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    model, args, _ = load_target("padded_target:make")
    assert model.weight.is_meta
    assert not model.padding.is_meta
    assert count_model(model, *args, strict=True).total.stores == 3 * (4 + 2)


def test_outputs_inside_a_mapping_have_gradients():
    class Backbone(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 5)

        def forward(self, x):
            return {"feature_maps": (self.layer(x),), "size": 3}

    counts = count_model(Backbone(), meta(2, 4), backward=True, strict=True)
    assert counts.backward.macs == 2 * 4 * 5
