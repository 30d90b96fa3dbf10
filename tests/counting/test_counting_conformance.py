"""The cases on which the known counters were compared, each with its count written out as a formula.

Nominal MACs are what those tools mean; executed MACs leave out padding taps and masked pairs. Forward and backward: a
product of a weight and an input has two gradients of the same size, of which the input's is not needed at the edge.
"""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from energybench.counting import count_model

META = torch.device("meta")


def meta(*shape, dtype=torch.float32):
    return torch.empty(*shape, dtype=dtype, device=META)


def taps_1d(n, k, s=1, p=0, d=1):
    """Taps inside an image row, by looking at each."""
    out = (n + 2 * p - d * (k - 1) - 1) // s + 1
    return sum(0 <= o * s - p + i * d < n for o in range(out) for i in range(k))


class Cnn(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.norm = nn.BatchNorm2d(64)
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.square = nn.Conv2d(64, 64, 3, padding=1)
        self.depthwise = nn.Conv2d(64, 64, 3, padding=1, groups=64)
        self.grouped = nn.Conv2d(64, 128, 3, padding=1, groups=4)
        self.dilated = nn.Conv2d(128, 32, 3, padding=2, dilation=2)
        self.head = nn.Linear(32, 10)

    def forward(self, x):
        x = self.pool(F.relu(self.norm(self.stem(x))))
        x = F.relu(self.dilated(self.grouped(self.depthwise(self.square(x)))))
        return self.head(F.adaptive_avg_pool2d(x, 1).flatten(1))


def test_cnn():
    counts = count_model(Cnn(), meta(2, 3, 128, 128), backward=True, strict=True)
    side, n = 32, 2
    nominal = {
        "stem": n * 64 * 64 * 64 * 3 * 49,
        "square": n * side**2 * 64 * 64 * 9,
        "depthwise": n * side**2 * 64 * 9,
        "grouped": n * side**2 * 128 * 16 * 9,
        "dilated": n * side**2 * 32 * 128 * 9,
        "head": n * 32 * 10,
    }
    executed = {
        "stem": n * 64 * 3 * taps_1d(128, 7, 2, 3) ** 2,
        "square": n * 64 * 64 * taps_1d(side, 3, 1, 1) ** 2,
        "depthwise": n * 64 * taps_1d(side, 3, 1, 1) ** 2,
        "grouped": n * 128 * 16 * taps_1d(side, 3, 1, 1) ** 2,
        "dilated": n * 32 * 128 * taps_1d(side, 3, 1, 2, 2) ** 2,
        "head": n * 32 * 10,
    }
    assert counts.forward.nominal_macs == sum(nominal.values())
    assert counts.forward.macs == sum(executed.values())
    assert counts.backward.nominal_macs == 2 * sum(nominal.values()) - nominal["stem"]
    assert counts.backward.macs == 2 * sum(executed.values()) - executed["stem"]
    assert counts.coverage == 1
    tree = counts.by_module()
    assert {name: tree[name].nominal_macs for name in nominal} == {
        name: macs * (2 if name == "stem" else 3) for name, macs in nominal.items()
    }


def test_functional_convolution_and_matmul():
    class Functional(nn.Module):
        def __init__(self):
            super().__init__()
            self.kernel = nn.Parameter(torch.randn(16, 8, 3, 3))
            self.matrix = nn.Parameter(torch.randn(256, 64))

        def forward(self, x):
            return F.conv2d(x, self.kernel, padding=1).flatten(1)[:, :256] @ self.matrix

    counts = count_model(Functional(), meta(2, 8, 32, 32), strict=True)
    assert counts.total.nominal_macs == 2 * 16 * 32 * 32 * 8 * 9 + 2 * 256 * 64
    assert counts.total.macs == 2 * 16 * 8 * taps_1d(32, 3, 1, 1) ** 2 + 2 * 256 * 64


def test_transposed_convolution():
    n_in, kernel, stride, padding = 8, 4, 2, 1
    n_out = (n_in - 1) * stride - 2 * padding + kernel
    inside = sum(0 <= i * stride - padding + k < n_out for i in range(n_in) for k in range(kernel))
    counts = count_model(nn.ConvTranspose2d(32, 16, 4, 2, 1), meta(1, 32, n_in, n_in), backward=True, strict=True)
    assert counts.forward.nominal_macs == 32 * 16 * (n_in * kernel) ** 2
    assert counts.forward.macs == 32 * 16 * inside**2
    assert counts.forward.adds == 16 * n_out**2
    assert counts.backward.macs == 32 * 16 * inside**2  # the input needs no gradient


def test_one_linear_called_three_times():
    class Thrice(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(100, 100)

        def forward(self, x):
            return self.layer(self.layer(self.layer(x)))

    counts = count_model(Thrice(), meta(1, 100), backward=True, strict=True)
    assert counts.forward.macs == 3 * 100 * 100
    assert counts.backward.macs == (3 + 2) * 100 * 100
    assert counts.parameters == 100 * 100 + 100
    (row,) = [r for r in counts.rows if r.operator == "aten.addmm"]
    assert (row.module, row.calls) == ("layer", 3)


def test_linear_on_three_dimensions():
    assert count_model(nn.Linear(64, 64), meta(4, 50, 64), strict=True).total.macs == 4 * 50 * 64 * 64


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("layers", [1, 2])
def test_gru(layers, bidirectional):
    t, b, i, h, d = 50, 8, 64, 128, 1 + bidirectional
    counts = count_model(nn.GRU(i, h, layers, bidirectional=bidirectional), meta(t, b, i), backward=True, strict=True)
    products = [3 * h * (width + h) for width in [i] + [d * h] * (layers - 1)]
    assert counts.forward.macs == t * b * d * sum(products)
    assert counts.forward.other_flops == t * b * d * layers * h * (3 + 7 + 2 + 2) + 0
    # no gradient for x, nor for the initial state
    skipped = d * t * b * 3 * h * i + d * layers * b * 3 * h * h
    assert counts.backward.macs == 2 * counts.forward.macs - skipped


def test_gru_is_one_operator_a_layer_and_direction():
    t, b, i, h = 5, 2, 3, 4
    counts = count_model(nn.GRU(i, h), meta(t, b, i), meta(1, b, h), strict=True)
    (row,) = counts.rows
    weights = 3 * h * i + 3 * h * h + 2 * 3 * h
    assert (row.operator, row.kernel_class, row.calls, row.counts.launches) == ("gru", "rnn", 1, 1)
    assert row.counts.loads == t * b * i + b * h + weights
    assert row.counts.stores == t * b * h + b * h
    assert row.counts.weight_load_bytes == 4 * weights


def test_lstm_two_layers():
    t, b, i, h = 50, 8, 64, 128
    counts = count_model(nn.LSTM(i, h, 2), meta(t, b, i), strict=True)
    assert counts.total.macs == t * b * 4 * h * ((i + h) + (h + h))


def test_lstm_with_projection():
    t, b, i, h, p = 50, 8, 64, 128, 32
    counts = count_model(nn.LSTM(i, h, proj_size=p), meta(t, b, i), backward=True, strict=True)
    assert counts.forward.macs == t * b * (4 * h * (i + p) + h * p)
    assert counts.backward.macs == 2 * counts.forward.macs - t * b * 4 * h * i - b * 4 * h * p


def test_gru_cell_in_a_loop():
    class Loop(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell = nn.GRUCell(64, 128)

        def forward(self, x):
            h = x.new_zeros(x.shape[1], 128)
            for step in x:
                h = self.cell(step, h)
            return h

    counts = count_model(Loop(), meta(50, 8, 64), strict=True)
    assert counts.total.macs == 50 * 8 * 3 * 128 * (64 + 128)
    assert counts.by_operator()["gru_cell"].specials == 3 * 50 * 8 * 128


@pytest.mark.parametrize("weights", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_multihead_attention(weights, training):
    b, s, d, heads = 4, 128, 256, 8
    model = nn.MultiheadAttention(d, heads, batch_first=True).train(training)
    counts = count_model(model, *[meta(b, s, d)] * 3, need_weights=weights, strict=True)
    assert counts.total.macs == 4 * b * s * d * d + 2 * b * s * s * d
    parts = counts.by_component()
    assert parts["self_attention"].macs == 2 * b * s * s * d
    assert parts["multi_head"].macs == 4 * b * s * d * d


@pytest.mark.parametrize("causal", [False, True])
def test_attention_is_one_operator(causal):
    b, heads, s, d = 2, 4, 16, 8
    counts = count_model(
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=causal),
        *[meta(b, heads, s, d)] * 3,
        strict=True,
    )
    (row,) = counts.rows
    pairs = b * heads * (s * (s + 1) // 2 if causal else s * s)
    assert row.counts.macs == 2 * pairs * d
    assert row.counts.nominal_macs == 2 * b * heads * s * s * d
    assert (row.counts.muls, row.counts.compares, row.counts.adds) == (pairs, pairs, 2 * pairs)
    assert (row.counts.specials, row.counts.divs) == (pairs, pairs)
    assert row.counts.launches == 1
    # the same tensor three times is read once
    assert (row.counts.loads, row.counts.stores) == (b * heads * s * d, b * heads * s * d)


def test_attention_reads_three_tensors():
    q, k, v = (meta(1, 2, n, 8) for n in (5, 7, 7))
    counts = count_model(F.scaled_dot_product_attention, q, k, v, strict=True)
    assert counts.total.loads == q.numel() + k.numel() + v.numel()
    assert counts.total.stores == q.numel()


def test_grouped_queries():
    q, kv = meta(1, 8, 10, 16), meta(1, 2, 10, 16)
    counts = count_model(F.scaled_dot_product_attention, q, kv, kv.clone(), enable_gqa=True, strict=True)
    assert counts.total.macs == 2 * 8 * 10 * 10 * 16
    assert counts.total.loads == q.numel() + 2 * kv.numel()


@pytest.mark.parametrize(("policy", "products"), [("eager", 5), ("math-attention", 4)])
def test_attention_backward(policy, products):
    q, k, v = (meta(2, 3, 10, 8).requires_grad_() for _ in range(3))
    counts = count_model(F.scaled_dot_product_attention, q, k, v, backward=True, policy=policy, strict=True)
    assert counts.backward.macs == products * 2 * 3 * 10 * 10 * 8


@pytest.mark.parametrize("training", [True, False])
def test_transformer_encoder_layer(training):
    b, s, d, ff = 4, 128, 256, 1024
    layer = nn.TransformerEncoderLayer(d, 8, ff, batch_first=True).train(training)
    counts = count_model(layer, meta(b, s, d), strict=True)
    parts = counts.by_component()
    assert parts["multi_head"].macs == 4 * b * s * d * d
    assert parts["self_attention"].macs == 2 * b * s * s * d
    assert parts["feed_forward"].macs == 2 * b * s * d * ff
    assert counts.total.macs == sum(part.macs for part in parts.values())
    back = count_model(layer, meta(b, s, d).requires_grad_(), backward=True, strict=True).backward
    assert back.macs == 2 * (4 * b * s * d * d + 2 * b * s * d * ff) + 5 * b * s * s * d


@pytest.fixture(scope="module")
def transformers():
    import transformers

    return transformers


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_gpt2(transformers, implementation):
    with META:
        config = transformers.GPT2Config(attn_implementation=implementation)
        model = transformers.GPT2LMHeadModel(config).eval()
    t, d, layers, vocabulary = 256, 768, 12, 50257
    counts = count_model(model, torch.zeros(1, t, dtype=torch.long), backward=True, strict=True)
    weights = layers * 12 * d * d * t + vocabulary * d * t
    core = layers * 2 * d * t * t
    causal = layers * 2 * d * t * (t + 1) // 2
    assert counts.forward.nominal_macs == weights + core == 32_832_159_744
    assert counts.forward.macs == weights + (causal if implementation == "sdpa" else core)
    assert counts.backward.nominal_macs == 2 * weights + (5 if implementation == "sdpa" else 4) * core // 2
    assert counts.by_component()["multi_head"].macs == 3 * layers * 4 * d * d * t
    assert counts.parameters == 124_439_808


def test_bert(transformers):
    with META:
        model = transformers.BertModel(transformers.BertConfig()).eval()
    t, d, layers = 256, 768, 12
    counts = count_model(model, torch.zeros(1, t, dtype=torch.long), strict=True)
    assert counts.total.macs == layers * (12 * d * d * t + 2 * d * t * t) + d * d == 22_951_821_312


def test_llama_7b_needs_no_memory(transformers):
    with META:
        model = transformers.LlamaForCausalLM(transformers.LlamaConfig()).eval()
    t, d, ff, layers, vocabulary = 2048, 4096, 11008, 32, 32000
    counts = count_model(model, torch.zeros(1, t, dtype=torch.long), strict=True)
    assert counts.total.nominal_macs == (
        layers * t * (4 * d * d + 3 * d * ff) + layers * 2 * d * t * t + t * d * vocabulary
    )
    assert counts.total.nominal_macs == 14_630_806_093_824


def test_llama_with_grouped_queries(transformers):
    config = transformers.LlamaConfig(
        hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=8, num_key_value_heads=2,
        vocab_size=100,
    )  # fmt: skip
    with META:
        model = transformers.LlamaForCausalLM(config).eval()
    t, d, ff, kv = 12, 64, 96, 16
    counts = count_model(model, torch.zeros(1, t, dtype=torch.long), strict=True)
    assert counts.total.nominal_macs == (
        2 * t * (2 * d * d + 2 * d * kv + 3 * d * ff) + 2 * 2 * d * t * t + t * d * 100
    )


# ── probes ───────────────────────────────────────────────────────────────────────────────────────────────────────────
def test_checkpoint_recomputes():
    from torch.utils.checkpoint import checkpoint

    class Checkpointed(nn.Module):
        def __init__(self):
            super().__init__()
            self.block = nn.Sequential(*(nn.Linear(16, 16) for _ in range(4)))

        def forward(self, x):
            return checkpoint(self.block, x, use_reentrant=False)

    x = meta(8, 16).requires_grad_()
    counts = count_model(Checkpointed(), x, backward=True, strict=True)
    one = 8 * 16 * 16
    assert counts.forward.macs == 4 * one
    assert counts.backward.macs == (8 + 3) * one  # the last layer's output is not needed again
    assert {r.module for r in counts.rows} >= {f"block.{i}" for i in range(4)}


def test_packed_sequence():
    from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

    class Packed(nn.Module):
        def __init__(self):
            super().__init__()
            self.gru = nn.GRU(8, 16)

        def forward(self, x, lengths):
            y, _ = self.gru(pack_padded_sequence(x, lengths, enforce_sorted=False))
            return pad_packed_sequence(y)[0]

    counts = count_model(Packed(), meta(10, 3, 8), torch.tensor([10, 4, 7]), strict=True)
    assert counts.total.macs == (10 + 4 + 7) * 3 * 16 * (8 + 16)


@pytest.mark.parametrize(
    ("function", "shapes", "macs"),
    [
        (torch.mv, [(30, 20), (20,)], 600),
        (torch.dot, [(50,), (50,)], 50),
        (torch.bmm, [(3, 4, 5), (3, 5, 6)], 3 * 4 * 5 * 6),
        (torch.baddbmm, [(3, 4, 6), (3, 4, 5), (3, 5, 6)], 3 * 4 * 5 * 6),
        (torch.addbmm, [(4, 6), (3, 4, 5), (3, 5, 6)], 3 * 4 * 5 * 6),
        (torch.addmv, [(4,), (4, 5), (5,)], 20),
        (torch.matmul, [(2, 3, 4, 5), (5, 6)], 2 * 3 * 4 * 5 * 6),
        (lambda a, b: torch.einsum("bij,bjk->bik", a, b), [(3, 4, 5), (3, 5, 6)], 3 * 4 * 5 * 6),
        (lambda a, b: torch.einsum("bhid,bhjd->bhij", a, b), [(2, 3, 4, 8), (2, 3, 5, 8)], 2 * 3 * 4 * 5 * 8),
        (torch.nn.functional.bilinear, [(7, 4), (7, 5), (3, 4, 5)], None),
    ],
)
def test_products(function, shapes, macs):
    counts = count_model(function, *(meta(*s) for s in shapes), strict=True)
    assert counts.total.macs == (7 * 3 * 4 * 5 if macs is None else macs)


def test_integer_and_complex_products():
    a, b = torch.ones(32, 16, dtype=torch.int8), torch.ones(16, 24, dtype=torch.int8)
    counts = count_model(torch._int_mm, a, b, strict=True)
    assert counts.total.by_dtype["int8"].macs == 32 * 16 * 24
    z = meta(8, 8, dtype=torch.complex64)
    assert count_model(torch.mm, z, z.clone(), strict=True).total.macs == 4 * 8 * 8 * 8


def test_inference_mode_inside_the_model():
    class Inference(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)
            self.gru = nn.GRU(32, 32, batch_first=True)

        @torch.inference_mode()
        def forward(self, x):
            return self.gru(self.layer(x))

    b, s, d = 2, 6, 32
    counts = count_model(Inference().eval(), meta(b, s, d), strict=True)
    assert counts.total.macs == 4 * b * s * d * d + 2 * b * s * s * d + 2 * b * s * d * 64 + b * s * 3 * d * 2 * d
    assert {"gru", "scaled_dot_product_attention"} <= counts.by_operator().keys()
