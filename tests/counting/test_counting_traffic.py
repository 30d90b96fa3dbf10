"""Execution policies: what stays in registers, what is loaded once, and the bracket around every policy's traffic."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from energybench.counting import POLICIES, count_model
from energybench.records.model_counts import ModelCounts

META = torch.device("meta")
N = 6 * 5


def meta(*shape):
    return torch.empty(*shape, device=META)


def traffic(function, *inputs, policy="fused"):
    total = count_model(function, *inputs, policy=policy, strict=True).total
    return total.loads, total.stores, total.launches


def test_a_chain_pays_its_ends():
    assert traffic(lambda x: torch.exp(torch.relu(x) * 2), meta(6, 5), policy="eager") == (3 * N, 3 * N, 3)
    assert traffic(lambda x: torch.exp(torch.relu(x) * 2), meta(6, 5)) == (N, N, 1)


def test_two_chains_that_meet():
    assert traffic(lambda x, y: x.exp() + y.relu(), meta(6, 5), meta(6, 5)) == (2 * N, N, 1)


def test_two_readers_need_memory():
    def twice(x):
        y = x.exp()
        return y.relu() + y.tanh()

    # exp is stored and loaded twice; relu and tanh stay in the registers of the add
    assert traffic(twice, meta(6, 5)) == (3 * N, 2 * N, 2)
    assert traffic(lambda x: x.exp() * x.exp(), meta(6, 5)) == (2 * N, N, 1)
    assert traffic(lambda x: torch.square(x.exp()), meta(6, 5)) == (N, N, 1)


def test_outputs_are_stored():
    def both(x):
        y = x.exp()
        return y, y.relu()

    assert traffic(both, meta(6, 5)) == (2 * N, 2 * N, 2)


def test_other_shapes_are_other_kernels():
    assert traffic(lambda x: x.exp().t() + 1, meta(6, 5)) == (2 * N, 2 * N, 2)
    assert traffic(lambda x: x.exp()[:3].relu(), meta(6, 5)) == (N + 15, N + 15, 2)
    assert traffic(lambda x, y: x.exp() + y, meta(5), meta(6, 5)) == (5 + 5 + N, 5 + N, 2)
    assert traffic(lambda x: x.exp().sum(1), meta(6, 5)) == (2 * N, N + 6, 2)
    assert traffic(lambda x: x.exp() @ x.relu().t(), meta(6, 5)) == (4 * N, 2 * N + 36, 3)


def test_in_place():
    assert traffic(lambda x: x.exp().relu_().mul_(2), meta(6, 5)) == (N, N, 1)

    def half(x):
        y = x.exp()
        y[:3].relu_()
        return y + 1

    assert traffic(half, meta(6, 5)) == (N + 15 + N, N + 15 + N, 3)


def test_rows():
    norm = nn.LayerNorm(5)
    assert traffic(lambda x: norm(x.relu()).exp(), meta(6, 5))[:2] == (N + 2 * 5, N)
    assert traffic(lambda x: F.softmax(x * 2, -1).relu(), meta(6, 5)) == (N, N, 1)
    assert traffic(lambda x: F.softmax(F.softmax(x, -1), -1), meta(6, 5)) == (N, N, 1)
    # rows, then columns: every row must be ready before a column can start
    assert traffic(lambda x: F.softmax(F.softmax(x, 1), 0), meta(6, 5)) == (2 * N, 2 * N, 2)


@pytest.mark.parametrize("training", [True, False])
def test_batch_norm_and_relu(training):
    block = nn.Sequential(nn.Hardtanh(), nn.BatchNorm2d(3), nn.ReLU(inplace=True)).train(training)
    n = 2 * 3 * 4 * 4
    # training: the statistics need all of the input before the first output
    wanted = (2 * n + 4 * 3, 2 * n + 2 * 3, 2) if training else (n + 4 * 3, n, 1)
    loads, stores, launches = traffic(block, meta(2, 3, 4, 4))
    assert (loads - training, stores - training, launches - training) == wanted  # and the batch counter


def test_values_kept_for_the_backward_pass_are_stored():
    x = meta(6, 5).requires_grad_()
    counts = count_model(lambda x: torch.tanh(torch.sigmoid(x)), x, backward=True, policy="fused", strict=True)
    # both gradients need their operator's output
    assert (counts.forward.loads, counts.forward.stores) == (2 * N, 2 * N)
    # g, tanh and sigmoid are read; tanh's gradient stays in registers
    assert (counts.backward.loads, counts.backward.stores, counts.backward.launches) == (3 * N, N, 1)


class Loop(nn.Module):
    def __init__(self, **kwargs):
        super().__init__()
        self.cell = nn.GRUCell(4, 5, **kwargs)

    def forward(self, x):
        h = x.new_zeros(x.shape[1], 5)
        for step in x:
            h = self.cell(step, h)
        return h


def test_weights_are_loaded_once():
    weights = 3 * 5 * (4 + 5) + 2 * 3 * 5
    eager = count_model(Loop(), meta(7, 2, 4), strict=True)
    cached = count_model(Loop(), meta(7, 2, 4), policy="cached-weights", strict=True)
    assert eager.total.weight_load_bytes == 7 * 4 * weights
    assert cached.total.weight_load_bytes == 4 * weights
    assert eager.total.bytes - cached.total.bytes == 6 * 4 * weights
    assert eager.total.flops == cached.total.flops


def test_weights_in_parts_and_in_both_passes():
    weight = nn.Linear(4, 6, bias=False)

    class Parts(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = weight

        def forward(self, x):
            a, b = self.layer.weight.chunk(2)
            return F.linear(x, a) + F.linear(x, b) + F.linear(x, a)

    counts = count_model(Parts(), meta(2, 4).requires_grad_(), policy="cached-weights", backward=True, strict=True)
    assert counts.forward.weight_load_bytes == 4 * 24
    assert counts.backward.weight_load_bytes == 4 * 24


def test_a_part_that_is_read_again():
    weight = nn.Parameter(torch.empty(8, 4))

    class Part(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = weight

        def forward(self, x):
            return sum(F.linear(x, self.weight[:2]) for _ in range(3)) + F.linear(x, self.weight[2:4])

    counts = count_model(Part(), meta(3, 4), policy="cached-weights", strict=True)
    assert counts.total.weight_load_bytes == 4 * 4 * 4


def test_tied_embedding():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Embedding(50, 8)

        def forward(self, i):
            return self.table(i) @ self.table.weight.t()

    counts = count_model(Tied(), torch.arange(3), policy="cached-weights", strict=True)
    assert counts.total.weight_load_bytes == 4 * 50 * 8
    assert counts.minimal_bytes == 4 * 50 * 8 + 3 * 8 + 4 * 3 * 50


def test_minimum_of_two_layers():
    model = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3))
    weights = 4 * 6 + 6 + 6 * 3 + 3
    counts = count_model(model, meta(2, 4), strict=True)
    assert counts.minimal_bytes == 4 * (weights + 2 * 4 + 2 * 3)
    assert counts.eager_bytes == counts.total.bytes
    both = count_model(model, meta(2, 4), backward=True, strict=True)
    assert both.minimal_bytes == 4 * (weights + 2 * 4 + 2 * 3 + weights)  # and a gradient each
    assert ModelCounts.from_dict(both.to_dict()) == both


STEPS = {
    "relu": F.relu,
    "relu_": lambda x: (x * 1.5).relu_(),
    "gelu": F.gelu,
    "residual": lambda x: x + x.tanh() * 2,
    "softmax": lambda x: F.softmax(x, -1),
    "columns": lambda x: F.softmax(x, 0),
    "transpose": lambda x: x.t().contiguous().t(),
    "dropout": lambda x: F.dropout(x, 0.5, True),
    "sum": lambda x: x - x.mean(1, keepdim=True),
    "cat": lambda x: torch.cat([x[:, 1:], x[:, :1]], 1),
    "attend": lambda x: F.scaled_dot_product_attention(x[None], x[None], x.exp()[None])[0],
}


class Random(nn.Module):
    def __init__(self, names):
        super().__init__()
        self.names = names
        self.linear, self.norm, self.gru = nn.Linear(4, 4), nn.LayerNorm(4), nn.GRU(4, 2, bidirectional=True)

    def forward(self, x):
        for name in self.names:
            if name == "linear":
                x = self.linear(x)
            elif name == "norm":
                x = self.norm(x)
            elif name == "gru":
                x = self.gru(x)[0]
            else:
                x = STEPS[name](x)
        return x


@settings(max_examples=80, deadline=None)
@given(
    names=st.lists(st.sampled_from([*STEPS, "linear", "norm", "gru"]), min_size=1, max_size=7), backward=st.booleans()
)
def test_bracket(names, backward):
    x = meta(3, 4).requires_grad_()
    eager, *others = (
        count_model(Random(names), x, backward=backward, policy=p, strict=True)
        for p in ("eager", "fused", "cached-weights")
    )
    assert eager.minimal_bytes is not None
    for counts in others:
        assert counts.minimal_bytes == eager.minimal_bytes
        assert counts.minimal_bytes <= counts.total.bytes <= eager.total.bytes == counts.eager_bytes
        assert eager.total.bytes <= (counts.issued_bytes or 0) == eager.issued_bytes
        assert (counts.total.flops, counts.total.macs) == (eager.total.flops, eager.total.macs)
        assert counts.total.launches <= eager.total.launches


def test_every_policy_counts():
    for name in POLICIES:
        assert count_model(nn.Linear(3, 4), meta(2, 3), policy=name, strict=True).policy == name


def test_issued_traffic_fetches_both_operands_of_every_mac():
    counts = count_model(nn.Linear(8, 3, bias=False), meta(50, 8), strict=True)
    assert counts.issued_bytes == 4 * (2 * 50 * 8 * 3 + 50 * 3)


def test_calls_of_a_module():
    class Thrice(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 4)
            self.alias = self.layer

        def forward(self, x):
            return self.layer(self.alias(self.layer(x)))

    counts = count_model(Thrice(), meta(2, 4), strict=True)
    assert counts.module_calls == {"": 1, "layer": 3}
    assert counts.calls_by(lambda r: r.operator) == {"aten.addmm": 3}
    assert ModelCounts.from_dict(counts.to_dict()) == counts
