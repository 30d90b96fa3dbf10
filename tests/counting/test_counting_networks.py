"""Whole networks, forward and backward: MACs as sums of what their configurations say."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from energybench.counting import count_model

META = torch.device("meta")
D, FF, LAYERS, HEADS, VOCABULARY = 32, 48, 2, 4, 60
SMALL = {
    "hidden_size": D,
    "intermediate_size": FF,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
}


def meta(*shape):
    return torch.empty(*shape, device=META)


def ids(*shape):
    return torch.zeros(*shape, dtype=torch.long)


@pytest.fixture(scope="module")
def transformers():
    import transformers

    return transformers


def on_meta(make):
    with META:
        return make().eval()


def encoder(t, layers=LAYERS, d=D, ff=FF):
    """Nominal MACs of a stack of encoder layers over t tokens."""
    return layers * (4 * t * d * d + 2 * t * t * d + 2 * t * d * ff)


def test_vit(transformers):
    model = on_meta(lambda: transformers.ViTModel(transformers.ViTConfig(**SMALL, image_size=32, patch_size=8)))
    counts = count_model(model, meta(2, 3, 32, 32), strict=True)
    patches = 16
    expected = 2 * (patches * 3 * 64 * D + encoder(patches + 1) + D * D)  # patch embedding, layers, pooler
    assert counts.total.macs == expected


def test_whisper(transformers):
    config = transformers.WhisperConfig(
        d_model=D, encoder_layers=1, decoder_layers=1, encoder_attention_heads=HEADS, decoder_attention_heads=HEADS,
        encoder_ffn_dim=FF, decoder_ffn_dim=FF, vocab_size=VOCABULARY, max_source_positions=50, num_mel_bins=8,
        pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1,
    )  # fmt: skip
    model = on_meta(lambda: transformers.WhisperForConditionalGeneration(config))
    frames, s, t = 100, 50, 7
    counts = count_model(model, meta(1, 8, frames), decoder_input_ids=ids(1, t), strict=True)
    stem = frames * 8 * D * 3 + s * D * D * 3
    cross = 2 * t * D * D + 2 * s * D * D + 2 * t * s * D
    decoder = 4 * t * D * D + 2 * t * t * D + cross + 2 * t * D * FF
    assert counts.total.nominal_macs == stem + encoder(s, 1) + decoder + t * D * VOCABULARY


def test_t5(transformers):
    config = transformers.T5Config(
        d_model=D, d_kv=8, d_ff=FF, num_layers=1, num_heads=HEADS, vocab_size=VOCABULARY, decoder_start_token_id=0
    )
    model = on_meta(lambda: transformers.T5ForConditionalGeneration(config))
    s, t = 9, 5
    counts = count_model(model, input_ids=ids(1, s), decoder_input_ids=ids(1, t), strict=True)
    cross = 2 * t * D * D + 2 * s * D * D + 2 * t * s * D
    decoder = 4 * t * D * D + 2 * t * t * D + cross + 2 * t * D * FF
    assert counts.total.nominal_macs == encoder(s, 1) + decoder + t * D * VOCABULARY
    parts = counts.by_component()
    assert parts["self_attention"].nominal_macs == 2 * D * (s * s + t * t + t * s)


def test_bert_with_labels_and_mask(transformers):
    model = on_meta(lambda: transformers.BertForSequenceClassification(transformers.BertConfig(**SMALL)))
    b, t = 2, 10
    mask = torch.ones(b, t, dtype=torch.long)
    mask[0, 6:] = 0
    counts = count_model(model, ids(b, t), attention_mask=mask, labels=ids(b), backward=True, strict=True)
    core = LAYERS * 2 * b * t * t * D
    weights = b * (LAYERS * (4 * t * D * D + 2 * t * D * FF) + D * D + D * 2)
    assert counts.forward.macs == core + weights
    assert counts.backward.macs == 2 * weights + 5 * core // 2
    assert "aten.nll_loss_forward" in counts.by_operator()


@pytest.mark.parametrize("name", ["Mistral", "Qwen2", "Phi3", "Gemma2"])
def test_decoders_with_grouped_queries(transformers, name):
    extra = {"head_dim": D // HEADS} if name == "Gemma2" else {}
    config = getattr(transformers, f"{name}Config")(
        **SMALL, num_key_value_heads=2, vocab_size=VOCABULARY, pad_token_id=0, bos_token_id=1, eos_token_id=2, **extra
    )
    model = on_meta(lambda: getattr(transformers, f"{name}ForCausalLM")(config))
    t, kv = 11, D // 2
    counts = count_model(model, ids(1, t), backward=True, strict=True)
    weights = LAYERS * t * (2 * D * D + 2 * D * kv + 3 * D * FF) + t * D * VOCABULARY
    core = LAYERS * 2 * t * t * D
    assert counts.forward.nominal_macs == weights + core
    fused = "scaled_dot_product_attention" in counts.by_operator()  # Gemma 2 caps its scores, so it is written out
    assert counts.backward.nominal_macs == 2 * weights + (5 if fused else 4) * core // 2


def test_mixture_of_experts(transformers):
    config = transformers.MixtralConfig(**SMALL, num_key_value_heads=HEADS, vocab_size=VOCABULARY, num_local_experts=4)
    model = on_meta(lambda: transformers.MixtralForCausalLM(config))
    t = 10
    counts = count_model(model, ids(1, t), strict=True)
    experts = LAYERS * 2 * t * 3 * D * FF  # two experts a token
    router = LAYERS * t * D * 4
    attention = LAYERS * (4 * t * D * D + 2 * t * t * D)
    assert counts.total.nominal_macs == experts + router + attention + t * D * VOCABULARY


def test_prefill_and_decode(transformers):
    config = transformers.LlamaConfig(**SMALL, num_key_value_heads=2, vocab_size=VOCABULARY)
    model = on_meta(lambda: transformers.LlamaForCausalLM(config))
    past, kv = 15, D // 2

    class Decode(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, token, *cached):
            cache = transformers.DynamicCache()
            for layer in range(LAYERS):
                cache.update(cached[2 * layer], cached[2 * layer + 1], layer)
            return self.model(token, past_key_values=cache).logits

    cached = [meta(1, 2, past, D // HEADS) for _ in range(2 * LAYERS)]
    step = count_model(Decode(), ids(1, 1), *cached, strict=True)
    weights = LAYERS * (2 * D * D + 2 * D * kv + 3 * D * FF) + D * VOCABULARY
    assert step.total.macs == weights + LAYERS * 2 * (past + 1) * D
    prefill = count_model(model, ids(1, past + 1), strict=True)
    assert prefill.total.nominal_macs == (past + 1) * weights + LAYERS * 2 * (past + 1) ** 2 * D


def test_masks_made_of_floating_ones(transformers):
    config = transformers.BartConfig(
        d_model=D, encoder_layers=1, decoder_layers=1, encoder_attention_heads=HEADS, decoder_attention_heads=HEADS,
        encoder_ffn_dim=FF, decoder_ffn_dim=FF, vocab_size=VOCABULARY, pad_token_id=1, bos_token_id=0, eos_token_id=2,
        decoder_start_token_id=2, forced_eos_token_id=2,
    )  # fmt: skip
    t = 9
    counts = count_model(on_meta(lambda: transformers.BartModel(config)), ids(1, t), strict=True)
    decoder = 8 * t * D * D + 4 * t * t * D + 2 * t * D * FF
    assert counts.total.nominal_macs == encoder(t, 1) + decoder


def test_inception_module():
    class Inception(nn.Module):
        def __init__(self):
            super().__init__()
            self.one = nn.Conv2d(8, 4, 1)
            self.three = nn.Sequential(nn.Conv2d(8, 6, 1), nn.ReLU(), nn.Conv2d(6, 8, 3, padding=1))
            self.five = nn.Sequential(nn.Conv2d(8, 2, 1), nn.ReLU(), nn.Conv2d(2, 4, 5, padding=2))
            self.pool = nn.Sequential(nn.MaxPool2d(3, 1, 1), nn.Conv2d(8, 4, 1))

        def forward(self, x):
            return torch.cat([self.one(x), self.three(x), self.five(x), self.pool(x)], 1)

    side = 7
    counts = count_model(Inception(), meta(1, 8, side, side).requires_grad_(), backward=True, strict=True)
    pixel = 8 * 4 + 8 * 6 + 6 * 8 * 9 + 8 * 2 + 2 * 4 * 25 + 8 * 4
    assert counts.forward.nominal_macs == side * side * pixel
    assert counts.backward.nominal_macs == 2 * side * side * pixel
    inside = {k: sum(0 <= o - k // 2 + i < side for o in range(side) for i in range(k)) for k in (3, 5)}
    executed = side**2 * (8 * 4 + 8 * 6 + 8 * 2 + 8 * 4) + 6 * 8 * inside[3] ** 2 + 2 * 4 * inside[5] ** 2
    assert counts.forward.macs == executed
    assert counts.forward.stores >= 20 * side**2


def test_temporal_convolution():
    layers = [nn.Conv1d(4, 4, 3, padding=2 * d, dilation=d) for d in (1, 2, 4)]
    counts = count_model(nn.Sequential(*layers), meta(1, 4, 20), strict=True)
    length, nominal = 20, 0
    for d in (1, 2, 4):
        length += 2 * 2 * d - d * 2
        nominal += length * 4 * 4 * 3
    assert counts.total.nominal_macs == nominal


def test_unet_with_transposed_convolutions():
    class Unet(nn.Module):
        def __init__(self):
            super().__init__()
            self.down = nn.Conv2d(3, 8, 2, stride=2)
            self.middle = nn.Conv2d(8, 8, 1)
            self.up = nn.ConvTranspose2d(8, 4, 2, stride=2)
            self.out = nn.Conv2d(7, 1, 1)

        def forward(self, x):
            return self.out(torch.cat([self.up(self.middle(self.down(x)).relu()), x], 1))

    side = 8
    half = (side // 2) ** 2
    counts = count_model(Unet(), meta(1, 3, side, side), backward=True, strict=True)
    down, rest = half * 3 * 8 * 4, half * 8 * 8 + half * 8 * 4 * 4 + side**2 * 7
    assert counts.forward.macs == down + rest
    assert counts.backward.macs == down + 2 * rest


def test_mobilenet_block():
    block = nn.Sequential(
        nn.Conv2d(8, 48, 1, bias=False), nn.BatchNorm2d(48), nn.ReLU6(),
        nn.Conv2d(48, 48, 3, padding=1, groups=48, bias=False), nn.BatchNorm2d(48), nn.ReLU6(),
        nn.Conv2d(48, 8, 1, bias=False), nn.BatchNorm2d(8),
    )  # fmt: skip
    side = 6
    counts = count_model(block.eval(), meta(1, 8, side, side), strict=True)
    taps = (3 * side - 2) ** 2
    assert counts.total.macs == side**2 * 8 * 48 * 2 + 48 * taps
    assert counts.by_kernel_class()["depthwise"].macs == 48 * taps


def test_long_recurrent_sequence_is_one_row_a_layer():
    counts = count_model(nn.GRU(8, 16, 2, bidirectional=True), meta(500, 2, 8), backward=True, strict=True)
    assert counts.by_operator()["gru"].launches == 4
    assert len(counts.rows) < 10
