"""Rows: where an operator ran, in which direction, what it belongs to, what was not covered; the model is untouched."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from energybench.counting import Cost, Ops, count_model, register_formula
from energybench.counting.components import component_of, place_of
from energybench.counting.formulas import registry
from energybench.errors import CountingError, UsageError
from energybench.records.model_counts import ModelCounts

META = torch.device("meta")


def meta(*shape, dtype=torch.float32):
    return torch.empty(*shape, dtype=dtype, device=META)


class Shared(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(8, 8)
        self.inner = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), self.first)

    def forward(self, x):
        return self.inner(self.first(x)) * 2


def by_place(counts, direction):
    return {(r.module, r.operator): r for r in counts.rows if r.direction == direction}


def test_modules_and_directions():
    counts = count_model(Shared(), meta(4, 8), backward=True, strict=True)
    forward, backward = by_place(counts, "forward"), by_place(counts, "backward")
    assert forward["first", "aten.addmm"].calls == 2  # a shared module is credited to its first name
    assert forward["inner.0", "aten.addmm"].calls == 1
    assert ("inner.1", "aten.relu") in forward
    assert ("", "aten.mul") in forward
    assert backward["first", "aten.mm"].calls == 3
    assert backward["inner.0", "aten.mm"].calls == 2
    assert ("inner.1", "aten.threshold_backward") in backward
    assert ("", "aten.mul") in backward
    assert backward["first", "aten.add"].calls == 2  # gradients of the two calls are summed, weight and bias
    tree = counts.by_module()
    assert tree[""].macs == counts.total.macs
    assert tree["inner"].macs == tree["inner.0"].macs


def test_gradients_taken_inside_the_forward_pass():
    class Force(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 4)

        def forward(self, x):
            return torch.autograd.grad(self.layer(x).sum(), x, create_graph=True)[0]

    counts = count_model(Force(), meta(2, 4).requires_grad_(), backward=True, strict=True)
    rows = {(r.direction, r.operator): r for r in counts.rows}
    assert rows["forward", "aten.addmm"].calls == 1
    # dx = g·W inside forward, then the gradient of that product with respect to W; g itself needs none
    assert rows["backward", "aten.mm"].calls == 2
    assert ("forward", "aten.mm") not in rows


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_scripted_modules():
    model = torch.jit.script(nn.Sequential(nn.Linear(4, 5), nn.ReLU()))
    with pytest.raises(CountingError, match="count the module it was scripted from"):
        count_model(model, meta(2, 4))


def test_modules_of_a_model_without_parameters_in_the_graph():
    counts = count_model(nn.Sequential(nn.ReLU(), nn.Tanh()), meta(3), strict=True)
    assert [r.module for r in counts.rows] == ["0", "1"]


def test_same_operator_in_a_loop_is_one_row():
    counts = count_model(lambda x: sum((F.relu(x) for _ in range(7)), x), meta(5), strict=True)
    assert {r.operator: r.calls for r in counts.rows} == {"aten.relu": 7, "aten.add": 7}
    assert counts.total.compares == 35


def test_views_are_free():
    counts = count_model(
        lambda x: x.t().unsqueeze(0).expand(3, 4, 2)[1:].flatten(0, 0).detach(), meta(2, 4), strict=True
    )
    assert counts.rows == ()
    assert counts.total.launches == 0
    assert counts.coverage == 1


def test_broadcast_and_repeated_inputs_are_read_once():
    x = meta(6, 5)
    assert count_model(lambda a: a * a, x, strict=True).total.loads == 30
    assert count_model(lambda a: a + a[:1], x, strict=True).total.loads == 30
    assert count_model(lambda a, b: a + b, x, meta(5).expand(6, 5), strict=True).total.loads == 30 + 5
    unfolded = count_model(lambda a: a.unfold(0, 3, 1) * 2, meta(8), strict=True)
    assert (unfolded.total.loads, unfolded.total.stores) == (8, 18)


def test_expanded_view_with_gaps():
    counts = count_model(lambda a: a[::2].expand(3, 4) * 2, meta(8), strict=True)
    assert counts.total.loads == 4


def test_equal_shapes_are_not_equal_calls():
    """Calls are remembered by description: strides and the types of numbers belong to it."""
    row, full = meta(4), meta(3, 4)
    counts = count_model(lambda a, b: (a * 2, b.expand(3, 4) * 2), full, row, strict=True)
    assert counts.total.loads == 12 + 4
    numbers = count_model(lambda i: (i * 2, i * 2.0), torch.arange(4), strict=True)
    assert numbers.total.store_bytes == 4 * 8 + 4 * 4


def test_in_place_and_copies():
    def model(x):
        x = x.clone()
        x.add_(1)
        x.zero_()
        x.copy_(torch.ones_like(x))
        return x

    rows = {r.operator: r.counts for r in count_model(model, meta(10), strict=True).rows}
    assert {n: (c.loads, c.stores) for n, c in rows.items()} == {
        "aten.clone": (10, 10),
        "aten.add_": (10, 10),
        "aten.zero_": (0, 10),
        "aten.ones_like": (0, 10),
        "aten.copy_": (10, 10),
    }


def test_embedding_reads_rows_not_the_table():
    counts = count_model(nn.Embedding(1000, 16), torch.zeros(2, 5, dtype=torch.long), backward=True, strict=True)
    assert counts.forward.by_dtype["float32"].loads == 2 * 5 * 16
    assert counts.forward.by_dtype["int64"].loads == 10
    assert counts.forward.weight_load_bytes == 2 * 5 * 16 * 4
    assert counts.backward.by_dtype["float32"].stores == 1000 * 16
    assert counts.backward.adds == 2 * 5 * 16
    small = count_model(nn.Embedding(4, 16), torch.zeros(50, dtype=torch.long), strict=True)
    assert small.total.by_dtype["float32"].loads == 4 * 16  # no more than there is


def test_indexing_touches_what_it_names():
    x, i = meta(100, 8), torch.tensor([1, 5, 7])
    got = count_model(lambda a, b: a[b], x, i, strict=True).total
    assert (got.by_dtype["float32"].loads, got.by_dtype["float32"].stores) == (24, 24)

    def put(a, b):
        a[b] = 0.0

    written = {r.operator: r.counts for r in count_model(put, x, i, strict=True).rows}["aten.index_put_"]
    assert written.stores == 24


def test_dtypes_keep_their_traffic_apart():
    counts = count_model(lambda a: a.to(torch.bfloat16), meta(10), strict=True)
    assert (counts.total.load_bytes, counts.total.store_bytes) == (40, 20)
    half = count_model(nn.Linear(4, 4, dtype=torch.bfloat16), meta(2, 4, dtype=torch.bfloat16), strict=True)
    assert half.total.by_dtype["bfloat16"].macs == 2 * 16


# ── coverage ─────────────────────────────────────────────────────────────────────────────────────────────────────────
@pytest.fixture
def custom_operator():
    library = torch.library.Library("energybench_test", "DEF")
    library.define("twist(Tensor x) -> Tensor")
    library.impl("twist", torch.empty_like, "Meta")
    yield torch.ops.energybench_test.twist
    registry._FORMULAS.pop("energybench_test::twist", None)
    library._destroy()


def test_unknown_operator_is_listed_and_not_zero(custom_operator):
    counts = count_model(lambda x: custom_operator(x) + 1, meta(10))
    assert counts.uncovered == ("energybench_test.twist",)
    row = next(r for r in counts.rows if not r.covered)
    assert (row.counts.loads, row.counts.stores, row.counts.launches) == (10, 10, 1)
    assert counts.coverage == pytest.approx(0.5)
    assert ModelCounts.from_dict(counts.to_dict()).uncovered == counts.uncovered


def test_strict_names_the_operator_and_the_fix(custom_operator):
    with pytest.raises(CountingError, match=r'energybench_test\.twist.*register_formula\("energybench_test::twist"\)'):
        count_model(custom_operator, meta(10), strict=True)


def test_registered_formula(custom_operator):
    register_formula("energybench_test::twist")(lambda call: Cost("pointwise", macs=3, ops=Ops(adds=call.out.numel)))
    counts = count_model(custom_operator, meta(10), strict=True)
    assert (counts.total.macs, counts.total.adds, counts.total.loads) == (3, 10, 10)


def test_formula_needs_a_namespace():
    with pytest.raises(UsageError, match="my::op"):
        register_formula("twist")


# ── errors ───────────────────────────────────────────────────────────────────────────────────────────────────────────
def test_wrong_shapes():
    with pytest.raises(UsageError, match=r"refuses inputs of shape 2x5 .*; give inputs"):
        count_model(nn.Linear(4, 4), meta(2, 5))
    with pytest.raises(UsageError, match="refuses inputs of shape no inputs"):
        count_model(nn.Linear(4, 4))
    with pytest.raises(UsageError, match="5 features, the weights take 4|refuses inputs"):
        count_model(nn.GRU(4, 4), meta(2, 3, 5))
    with pytest.raises(UsageError, match="attention shapes do not fit"):
        count_model(F.scaled_dot_product_attention, meta(1, 2, 3), meta(1, 4, 5), meta(1, 4, 5))


def test_values_that_do_not_exist():
    with pytest.raises(CountingError, match="pass the integer inputs"):
        count_model(lambda x: x if x.sum() > 0 else -x, meta(3))


def test_values_of_integer_inputs_exist():
    def model(x, n):
        return x.repeat(int(n.max()), 1)

    assert count_model(model, meta(3), torch.tensor([1, 4]), strict=True).total.stores >= 12


def test_policies_and_bases():
    with pytest.raises(UsageError, match="policy 'lazy' is unknown; use one of eager"):
        count_model(nn.ReLU(), meta(1), policy="lazy")
    with pytest.raises(UsageError, match="basis 'issued'"):
        count_model(nn.ReLU(), meta(1), basis="issued")
    with pytest.raises(UsageError, match="not a model"):
        count_model(3, meta(1))  # type: ignore[arg-type]


def test_no_backward_pass():
    with pytest.raises(UsageError, match="backward=False"):
        count_model(nn.ReLU(), meta(1), backward=True)


def test_lazy_modules():
    with pytest.raises(UsageError, match="no shape yet"):
        count_model(nn.LazyLinear(3), meta(1, 2))


# ── the user's model ─────────────────────────────────────────────────────────────────────────────────────────────────
def test_the_model_is_left_as_it_was():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.GRU(4, 4)).train()
    model[2].eval()
    kept = dict(model.named_parameters()), dict(model.named_buffers())
    values = copy.deepcopy(model.state_dict())
    x = torch.randn(2, 3, 5, 5)

    class Wrapped(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = model

        def forward(self, x):
            y = self.net[1](self.net[0](x))
            return self.net[2](y.flatten(2).permute(2, 0, 1))

    count_model(Wrapped(), x, backward=True, strict=True)
    with pytest.raises(UsageError):
        count_model(Wrapped(), torch.randn(2, 5, 5, 5))
    assert all(p is kept[0][n] for n, p in model.named_parameters())
    assert all(b is kept[1][n] for n, b in model.named_buffers())
    assert all(torch.equal(v, values[n]) for n, v in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
    assert [m.training for m in model] == [True, True, False]
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    assert not nn.modules.module._global_forward_hooks
    assert not nn.modules.module._global_forward_pre_hooks
    assert torch.backends.mha.get_fastpath_enabled()
    assert torch.is_grad_enabled()
    y, _ = nn.GRU(4, 4, device=META)(meta(2, 1, 4))  # torch's own operators are back
    assert y.grad_fn.name() != "_WholeBackward"


def test_integer_inputs_are_not_written_to():
    ids = torch.arange(4)
    count_model(lambda i: i.add_(1), ids)
    assert ids.tolist() == [0, 1, 2, 3]


def test_devices_and_modes_give_the_same_counts():
    def counts(model, x):
        return count_model(model, x, strict=True).to_dict()

    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU()).eval()
    on_meta = copy.deepcopy(model).to(META)
    assert counts(model, torch.randn(2, 4)) == counts(on_meta, meta(2, 4)) == counts(model, meta(2, 4))


def test_keyword_and_nested_inputs():
    class Model(nn.Module):
        def forward(self, batch, *, scale):
            return {"loss": (batch["x"][0] * scale).sum(), "other": batch["x"][0]}

    counts = count_model(Model(), {"x": [meta(3).requires_grad_()]}, scale=meta(3), backward=True, strict=True)
    assert counts.forward.muls == 3
    assert counts.backward.muls == 3


def test_real_integer_constants_decide_branches():
    """Positions and masks that the model makes itself have values, floating tensors it makes do not."""

    class Model(nn.Module):
        def forward(self, x):
            mask = torch.ones(4, 4, dtype=torch.bool, device=x.device).tril()
            if mask.all():
                return x
            scores = torch.zeros(4, 4) + x
            return scores.masked_fill(~mask, 0.0)

    counts = count_model(Model(), meta(4, 4), strict=True)
    assert "aten.masked_fill" in counts.by_operator()


# ── components ───────────────────────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    ("module", "classes", "place"),
    [
        ("h.0.attn.c_attn", {"h.0.attn": "GPT2Attention"}, "attention"),
        ("h.0.mlp.c_fc", {"h.0.mlp": "GPT2MLP"}, "feed_forward"),
        ("layer.0.attention.output.dense", {}, "attention"),
        ("layer.0.intermediate.dense", {}, "feed_forward"),
        ("blocks.0.mlp.fc1", {"blocks.0": "AttentionBlock"}, "feed_forward"),
        ("layers.0.linear1", {"layers.0": "TransformerEncoderLayer"}, None),
        ("", {"": "MultiheadAttention"}, "attention"),
        ("", {}, None),
    ],
)
def test_place(module, classes, place):
    assert place_of(module, classes) == place


@pytest.mark.parametrize(
    ("operator", "kernel_class", "place", "has_attention", "component"),
    [
        ("aten.addmm", "gemm", "attention", True, "multi_head"),
        ("aten.bmm", "gemm", "attention", True, "self_attention"),
        ("aten._softmax", "softmax", "attention", True, "self_attention"),
        ("aten.clone", "copy", "attention", True, "multi_head"),
        ("aten.native_layer_norm", "norm", "attention", True, None),
        ("scaled_dot_product_attention", "attention", None, True, "self_attention"),
        ("aten.addmm", "gemm", None, True, "feed_forward"),
        ("aten.addmm", "gemm", "feed_forward", False, None),
        ("aten.convolution", "conv", None, True, None),
    ],
)
def test_component(operator, kernel_class, place, has_attention, component):
    assert component_of(operator, kernel_class, place, has_attention=has_attention) == component


def test_a_network_without_attention_has_no_components():
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
    assert count_model(model, meta(2, 4), strict=True).by_component() == {}
