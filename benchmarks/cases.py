"""Models whose MACs can be written down, each with its formula: what every counter is held against.

Nominal MACs are what counters print: padding taps and masked pairs included, no bias, no elementwise work. Executed
MACs leave both out. The backward pass holds what autograd runs in `eval()` with inputs that need no gradient: each
product gives one gradient for each operand that needs one. Fused attention needs 5 products in its backward pass (the
scores again), attention that kept its probabilities 4; `backward_math` says the latter where the two differ.

Letters: convolutions N C H K, recurrent layers T B I H, attention B S D.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

# ruff: noqa: D101
Built = tuple[nn.Module, tuple[Any, ...]]


@dataclass(frozen=True)
class Case:
    """One model, its example inputs and its exact MACs.

    `build` makes both on the default device; integer inputs stay on the CPU, where masks and positions are looked at.
    `forward`, `backward` are nominal MACs; `executed` is forward without padding taps and masked pairs.
    """

    name: str
    group: str
    build: Callable[[], Built]
    forward: int
    backward: int | None = None
    executed: int | None = None
    backward_math: int | None = None


def taps(n: int, k: int, s: int = 1, p: int = 0, d: int = 1) -> int:
    """Taps of a kernel that fall inside one image row of n pixels, by looking at each."""
    out = (n + 2 * p - d * (k - 1) - 1) // s + 1
    return sum(0 <= o * s - p + i * d < n for o in range(out) for i in range(k))


def ids(*shape: int) -> torch.Tensor:
    """Token numbers: real on any default device."""
    return torch.zeros(*shape, dtype=torch.long, device="cpu")


# ── the sixteen ──────────────────────────────────────────────────────────────────────────────────────────────────────
class Cnn(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.norm = nn.BatchNorm2d(64)
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.square = nn.Conv2d(64, 64, 3, padding=1)
        self.depthwise = nn.Conv2d(64, 64, 3, padding=1, groups=64)
        self.grouped = nn.Conv2d(64, 128, 3, padding=1, groups=4)
        self.dilated = nn.Conv2d(128, 32, 3, padding=2, dilation=2)
        self.head = nn.Linear(32, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pool(F.relu(self.norm(self.stem(x))))
        x = F.relu(self.dilated(self.grouped(self.depthwise(self.square(x)))))
        y: torch.Tensor = self.head(F.adaptive_avg_pool2d(x, 1).flatten(1))
        return y


def _cnn() -> Case:
    n, side = 2, 32
    stem = n * 64**2 * 64 * 3 * 49
    rest = n * side**2 * 9 * (64 * 64 + 64 + 128 * 16 + 32 * 128) + n * 32 * 10
    inside = taps(side, 3, 1, 1) ** 2
    executed = n * (
        64 * 3 * taps(128, 7, 2, 3) ** 2
        + inside * (64 * 64 + 64 + 128 * 16)
        + 32 * 128 * taps(side, 3, 1, 2, 2) ** 2
        + 32 * 10
    )
    return Case(
        "CNN: 7×7 stride 2, 3×3, depthwise, 4 groups, dilated, pools",
        "layers",
        lambda: (Cnn(), (torch.randn(n, 3, 128, 128),)),
        stem + rest,
        stem + 2 * rest,  # the image needs no gradient
        executed,
    )


class Functional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(16, 8, 3, 3))
        self.matrix = nn.Parameter(torch.randn(256, 64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.conv2d(x, self.kernel, padding=1).flatten(1)[:, :256] @ self.matrix


def _functional() -> Case:
    conv, product = 2 * 16 * 32 * 32 * 8 * 9, 2 * 256 * 64
    return Case(
        "F.conv2d and `x @ W` on bare parameters",
        "layers",
        lambda: (Functional(), (torch.randn(2, 8, 32, 32),)),
        conv + product,
        conv + 2 * product,
        2 * 16 * 8 * taps(32, 3, 1, 1) ** 2 + product,
    )


def _transposed() -> Case:
    n, k, s, p = 8, 4, 2, 1
    out = (n - 1) * s - 2 * p + k
    inside = sum(0 <= i * s - p + j < out for i in range(n) for j in range(k))
    nominal = 32 * 16 * (n * k) ** 2
    return Case(
        "ConvTranspose2d 32→16, 4×4 stride 2",
        "layers",
        lambda: (nn.ConvTranspose2d(32, 16, k, s, p), (torch.randn(1, 32, n, n),)),
        nominal,
        nominal,
        32 * 16 * inside**2,
    )


class Thrice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(100, 100)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.layer(self.layer(self.layer(x)))
        return y


class GruCellLoop(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRUCell(64, 128)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = torch.zeros(x.shape[1], 128, device=x.device)
        for t in range(x.shape[0]):
            h = self.cell(x[t], h)
        return h


def _recurrent() -> list[Case]:
    t, b, i, h, p = 50, 8, 64, 128, 32

    def x() -> tuple[torch.Tensor]:
        return (torch.randn(t, b, i),)

    gru = t * b * 2 * 3 * h * ((i + h) + (2 * h + h))
    lstm = t * b * 4 * h * ((i + h) + (h + h))
    projected = t * b * (4 * h * (i + p) + h * p)
    cell = t * b * 3 * h * (i + h)
    # backward: no gradient for the sequence, nor for the first states
    return [
        Case(
            "GRU, 2 layers, bidirectional",
            "layers",
            lambda: (nn.GRU(i, h, 2, bidirectional=True), x()),
            gru,
            2 * gru - 2 * t * b * 3 * h * i - 4 * b * 3 * h * h,
        ),
        Case(
            "LSTM, 2 layers",
            "layers",
            lambda: (nn.LSTM(i, h, 2), x()),
            lstm,
            2 * lstm - t * b * 4 * h * i - 2 * b * 4 * h * h,
        ),
        Case(
            "LSTM with projection",
            "layers",
            lambda: (nn.LSTM(i, h, proj_size=p), x()),
            projected,
            2 * projected - t * b * 4 * h * i - b * 4 * h * p,
        ),
        Case(
            "GRUCell in a Python loop",
            "layers",
            lambda: (GruCellLoop(), x()),
            cell,
            2 * cell - t * b * 3 * h * i - b * 3 * h * h,
        ),
    ]


class SelfAttention(nn.Module):
    def __init__(self, need_weights: bool) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(256, 8, batch_first=True)
        self.need_weights = need_weights

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.attention(x, x, x, need_weights=self.need_weights)[0]
        return y


class HandWrittenAttention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(256, 768), nn.Linear(256, 256)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        b, s, d = x.shape
        q, k, v = (part.view(b, s, 8, d // 8).transpose(1, 2) for part in self.qkv(x).chunk(3, -1))
        y = F.scaled_dot_product_attention(q, k, v)
        z: torch.Tensor = self.out(y.transpose(1, 2).reshape(b, s, d))
        return z


def _attention() -> list[Case]:
    b, s, d, ff = 4, 128, 256, 1024

    def x() -> tuple[torch.Tensor]:
        return (torch.randn(b, s, d),)

    weights, core = 4 * b * s * d * d, 2 * b * s * s * d
    edge = 3 * b * s * d * d  # the first projections' input needs no gradient
    fused, kept = 2 * weights - edge + 5 * core // 2, 2 * weights - edge + 2 * core
    feed = 2 * b * s * d * ff
    return [
        Case(
            "MultiheadAttention, need_weights=True",
            "layers",
            lambda: (SelfAttention(True), x()),
            weights + core,
            kept,
        ),
        Case(
            "MultiheadAttention, need_weights=False",
            "layers",
            lambda: (SelfAttention(False), x()),
            weights + core,
            fused,
            backward_math=kept,
        ),
        Case(
            "F.scaled_dot_product_attention between Linears",
            "layers",
            lambda: (HandWrittenAttention(), x()),
            weights + core,
            fused,
            backward_math=kept,
        ),
        Case(
            "TransformerEncoderLayer",
            "layers",
            lambda: (nn.TransformerEncoderLayer(d, 8, ff, batch_first=True), x()),
            weights + core + feed,
            fused + 2 * feed,
            backward_math=kept + 2 * feed,
        ),
    ]


class Output(nn.Module):
    """A Hugging Face model that takes and returns plain tensors, as tracing counters need."""

    def __init__(self, model: Any, names: tuple[str, ...] = ("input_ids",), output: str = "logits", **kw: Any) -> None:
        super().__init__()
        self.model, self.names, self.output, self.kw = model, names, output, kw

    def forward(self, x: torch.Tensor, y: torch.Tensor | None = None) -> torch.Tensor:
        given = {name: tensor for name, tensor in zip(self.names, (x, y), strict=False) if tensor is not None}
        out: torch.Tensor = self.model(**given, **self.kw)[self.output]
        return out


def _transformers() -> Any:
    import transformers

    return transformers


def _gpt2(implementation: str) -> Case:
    t, d, layers, vocabulary = 256, 768, 12, 50257

    def build() -> Built:
        hf = _transformers()
        model = hf.GPT2LMHeadModel(hf.GPT2Config(attn_implementation=implementation))
        return Output(model, use_cache=False), (ids(1, t),)

    weights, core = layers * 12 * d * d * t + vocabulary * d * t, layers * 2 * d * t * t
    causal = layers * 2 * d * t * (t + 1) // 2
    fused = implementation == "sdpa"
    return Case(
        f"GPT-2 124M, {implementation}, T=256",
        "layers",
        build,
        weights + core,
        2 * weights + (5 * core // 2 if fused else 2 * core),
        weights + (causal if fused else core),
        2 * weights + 2 * core if fused else None,
    )


def _bert() -> Case:
    t, d, layers = 256, 768, 12

    def build() -> Built:
        hf = _transformers()
        return Output(hf.BertModel(hf.BertConfig()), output="pooler_output"), (ids(1, t),)

    weights, core = layers * 12 * d * d * t + d * d, layers * 2 * d * t * t
    return Case(
        "BERT base, T=256",
        "layers",
        build,
        weights + core,
        2 * weights + 5 * core // 2,
        backward_math=2 * weights + 2 * core,
    )


def sixteen() -> list[Case]:
    """The cases on which twelve counters were first compared."""
    return [
        _cnn(),
        _functional(),
        _transposed(),
        Case(
            "one Linear called three times",
            "layers",
            lambda: (Thrice(), (torch.randn(1, 100),)),
            3 * 100 * 100,
            (3 + 2) * 100 * 100,
        ),
        Case(
            "Linear on three dimensions",
            "layers",
            lambda: (nn.Linear(64, 64), (torch.randn(4, 50, 64),)),
            4 * 50 * 64 * 64,
            4 * 50 * 64 * 64,
        ),
        *_recurrent(),
        *_attention(),
        _gpt2("sdpa"),
        _gpt2("eager"),
        _bert(),
    ]


# ── networks ─────────────────────────────────────────────────────────────────────────────────────────────────────────
D, FF, LAYERS, HEADS, VOCABULARY = 64, 96, 2, 4, 120
SMALL = {"hidden_size": D, "intermediate_size": FF, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS}
SPEECH = {
    "d_model": D, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": HEADS, "num_mel_bins": 8,
    "decoder_attention_heads": HEADS, "encoder_ffn_dim": FF, "decoder_ffn_dim": FF, "vocab_size": VOCABULARY,
    "max_source_positions": 50, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1,
}  # fmt: skip


def _blocks(t: int, layers: int) -> tuple[int, int]:
    """MACs of encoder layers over t tokens: products with weights, attention core."""
    return layers * (4 * t * D * D + 2 * t * D * FF), layers * 2 * t * t * D


def _vit() -> Case:
    n, patches = 2, 16

    def build() -> Built:
        hf = _transformers()
        model = hf.ViTModel(hf.ViTConfig(**SMALL, image_size=32, patch_size=8))
        return Output(model, ("pixel_values",), "pooler_output"), (torch.randn(n, 3, 32, 32),)

    weights, core = _blocks(patches + 1, LAYERS)
    stem, rest, core = n * patches * 3 * 64 * D, n * (weights + D * D), n * core
    return Case(
        "ViT",
        "networks",
        build,
        stem + rest + core,
        stem + 2 * rest + 5 * core // 2,
        backward_math=stem + 2 * rest + 2 * core,
    )


def _whisper() -> Case:
    frames, s, t = 100, 50, 7

    def build() -> Built:
        hf = _transformers()
        model = hf.WhisperForConditionalGeneration(hf.WhisperConfig(**SPEECH))
        inputs = (torch.randn(1, 8, frames), ids(1, t))
        return Output(model, ("input_features", "decoder_input_ids"), use_cache=False), inputs

    first, second = frames * 8 * D * 3, s * D * D * 3
    encoder, encoder_core = _blocks(s, 1)
    decoder = 6 * t * D * D + 2 * s * D * D + 2 * t * D * FF
    core = encoder_core + 2 * t * t * D + 2 * t * s * D
    rest = second + encoder + decoder + t * D * VOCABULARY
    inside = 8 * D * taps(frames, 3, 1, 1) + D * D * taps(frames, 3, 2, 1)
    executed = inside + rest - second + core - 2 * t * t * D + 2 * D * t * (t + 1) // 2
    return Case(
        "Whisper",
        "networks",
        build,
        first + rest + core,
        first + 2 * rest + 5 * core // 2,
        executed,
        first + 2 * rest + 2 * core,
    )


def _t5() -> Case:
    s, t = 9, 5

    def build() -> Built:
        hf = _transformers()
        config = hf.T5Config(
            d_model=D, d_kv=D // HEADS, d_ff=FF, num_layers=1, num_heads=HEADS, vocab_size=VOCABULARY,
            decoder_start_token_id=0,
        )  # fmt: skip
        model = hf.T5ForConditionalGeneration(config)
        return Output(model, ("input_ids", "decoder_input_ids"), use_cache=False), (ids(1, s), ids(1, t))

    weights, core = _blocks(s, 1)
    weights += 6 * t * D * D + 2 * s * D * D + 2 * t * D * FF + t * D * VOCABULARY
    core += 2 * t * t * D + 2 * t * s * D
    return Case(
        "T5", "networks", build, weights + core, 2 * weights + 5 * core // 2, backward_math=2 * weights + 2 * core
    )


class InvertedResidual(nn.Module):
    def __init__(self, c_in: int, c_out: int, stride: int, expand: int) -> None:
        super().__init__()
        c = c_in * expand
        layers: list[nn.Module] = []
        if expand != 1:
            layers += [nn.Conv2d(c_in, c, 1, bias=False), nn.BatchNorm2d(c), nn.ReLU6()]
        layers += [nn.Conv2d(c, c, 3, stride, 1, groups=c, bias=False), nn.BatchNorm2d(c), nn.ReLU6()]
        layers += [nn.Conv2d(c, c_out, 1, bias=False), nn.BatchNorm2d(c_out)]
        self.body = nn.Sequential(*layers)
        self.residual = stride == 1 and c_in == c_out

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.body(x)
        return x + y if self.residual else y


#: expansion, channels, repeats, first stride: table 2 of Sandler et al. 2018 (arXiv:1801.04381)
MOBILENET_V2 = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def _mobilenet_v2() -> Case:
    size = 224

    def build() -> Built:
        layers: list[nn.Module] = [nn.Conv2d(3, 32, 3, 2, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU6()]
        c = 32
        for expand, out, repeats, stride in MOBILENET_V2:
            for block in range(repeats):
                layers.append(InvertedResidual(c, out, stride if block == 0 else 1, expand))
                c = out
        layers += [nn.Conv2d(c, 1280, 1, bias=False), nn.BatchNorm2d(1280), nn.ReLU6()]
        layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1280, 1000)]
        return nn.Sequential(*layers), (torch.randn(1, 3, size, size),)

    side, c = size // 2, 32
    stem, rest = side**2 * 32 * 3 * 9, 1280 * 1000
    executed = 32 * 3 * taps(size, 3, 2, 1) ** 2 + rest
    for expand, out, repeats, stride in MOBILENET_V2:
        for block in range(repeats):
            s = stride if block == 0 else 1
            wide = c * expand
            pointwise = side**2 * c * wide if expand != 1 else 0
            executed += wide * taps(side, 3, s, 1) ** 2
            side //= s
            pointwise += side**2 * wide * out
            rest += pointwise + side**2 * wide * 9
            executed += pointwise
            c = out
    rest += side**2 * c * 1280
    executed += side**2 * c * 1280
    return Case("MobileNetV2", "networks", build, stem + rest, stem + 2 * rest, executed)


class Unet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Conv2d(3, 8, 2, stride=2)
        self.middle = nn.Conv2d(8, 8, 1)
        self.up = nn.ConvTranspose2d(8, 4, 2, stride=2)
        self.out = nn.Conv2d(7, 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.out(torch.cat([self.up(self.middle(self.down(x)).relu()), x], 1))
        return y


def _unet() -> Case:
    side = 32
    half = (side // 2) ** 2
    down, rest = half * 3 * 8 * 4, half * 8 * 8 + half * 8 * 4 * 4 + side**2 * 7
    return Case(
        "U-Net with transposed convolution",
        "networks",
        lambda: (Unet(), (torch.randn(1, 3, side, side),)),
        down + rest,
        down + 2 * rest,
    )


class Inception(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 1)
        self.one = nn.Conv2d(8, 4, 1)
        self.three = nn.Sequential(nn.Conv2d(8, 6, 1), nn.ReLU(), nn.Conv2d(6, 8, 3, padding=1))
        self.five = nn.Sequential(nn.Conv2d(8, 2, 1), nn.ReLU(), nn.Conv2d(2, 4, 5, padding=2))
        self.pool = nn.Sequential(nn.MaxPool2d(3, 1, 1), nn.Conv2d(8, 4, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        return torch.cat([self.one(x), self.three(x), self.five(x), self.pool(x)], 1)


def _inception() -> Case:
    side = 14
    stem, ones = side**2 * 3 * 8, side**2 * 8 * (4 + 6 + 2 + 4)
    rest = ones + side**2 * (6 * 8 * 9 + 2 * 4 * 25)
    executed = stem + ones + 6 * 8 * taps(side, 3, 1, 1) ** 2 + 2 * 4 * taps(side, 5, 1, 2) ** 2
    return Case(
        "Inception module",
        "networks",
        lambda: (Inception(), (torch.randn(1, 3, side, side),)),
        stem + rest,
        stem + 2 * rest,
        executed,
    )


def _temporal() -> Case:
    length, channels, first, rest, executed = 40, 8, 0, 0, 0
    for d in (1, 2, 4):
        executed += channels * channels * taps(length, 3, 1, 2 * d, d)
        length += 2 * d
        macs = length * channels * channels * 3
        first, rest = (macs, 0) if d == 1 else (first, rest + macs)

    def build() -> Built:
        layers = [nn.Conv1d(channels, channels, 3, padding=2 * d, dilation=d) for d in (1, 2, 4)]
        return nn.Sequential(*layers), (torch.randn(1, channels, 40),)

    return Case("temporal convolution, dilations 1 2 4", "networks", build, first + rest, first + 2 * rest, executed)


def _depthwise_separable() -> Case:
    side, c, out = 28, 32, 64
    depthwise, pointwise = side**2 * c * 9, side**2 * c * out

    def build() -> Built:
        layers = nn.Sequential(nn.Conv2d(c, c, 3, padding=1, groups=c), nn.ReLU(), nn.Conv2d(c, out, 1))
        return layers, (torch.randn(1, c, side, side),)

    return Case(
        "depthwise-separable convolution",
        "networks",
        build,
        depthwise + pointwise,
        depthwise + 2 * pointwise,
        c * taps(side, 3, 1, 1) ** 2 + pointwise,
    )


class Decode(nn.Module):
    """One token through a language model that has read `past` tokens."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, token: torch.Tensor, *cached: torch.Tensor) -> torch.Tensor:
        cache = _transformers().DynamicCache()
        for layer in range(LAYERS):
            cache.update(cached[2 * layer], cached[2 * layer + 1], layer)
        logits: torch.Tensor = self.model(token, past_key_values=cache).logits
        return logits


def _language_models() -> list[Case]:
    t, past, kv = 24, 23, D // 2

    def llama() -> Any:
        hf = _transformers()
        return hf.LlamaForCausalLM(hf.LlamaConfig(**SMALL, num_key_value_heads=2, vocab_size=VOCABULARY))

    weights = LAYERS * (2 * D * D + 2 * D * kv + 3 * D * FF) + D * VOCABULARY  # a token
    core, causal = LAYERS * 2 * t * t * D, LAYERS * 2 * D * t * (t + 1) // 2
    decode = weights + LAYERS * 2 * (past + 1) * D
    return [
        Case(
            "Llama with grouped queries, prefill of 24 tokens",
            "networks",
            lambda: (Output(llama(), use_cache=False), (ids(1, t),)),
            t * weights + core,
            2 * t * weights + 5 * core // 2,
            t * weights + causal,
            2 * t * weights + 2 * core,
        ),
        Case(
            "Llama, decode of one token after 23 in the cache",
            "networks",
            lambda: (
                Decode(llama()),
                (ids(1, 1), *(torch.randn(1, 2, past, D // HEADS) for _ in range(2 * LAYERS))),
            ),
            decode,
        ),
    ]


def networks() -> list[Case]:
    """Whole networks, small enough to run under every counter."""
    return [
        _vit(),
        _whisper(),
        _t5(),
        _mobilenet_v2(),
        _unet(),
        _inception(),
        _temporal(),
        _depthwise_separable(),
        *_language_models(),
    ]


# ── probes ───────────────────────────────────────────────────────────────────────────────────────────────────────────
class Apply(nn.Module):
    """A function of tensors as a module."""

    def __init__(self, function: Callable[..., torch.Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: torch.Tensor, y: torch.Tensor, z: torch.Tensor | None = None) -> torch.Tensor:
        return self.function(x, y) if z is None else self.function(x, y, z)


class Checkpointed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.block = nn.Sequential(*(nn.Linear(64, 64) for _ in range(4)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        from torch.utils.checkpoint import checkpoint

        y: torch.Tensor = checkpoint(self.block, x, use_reentrant=False)
        return y


class Packed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(8, 16)

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

        y, _ = self.gru(pack_padded_sequence(x, lengths, enforce_sorted=False))
        return pad_packed_sequence(y)[0]


class Inference(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(64, 64)

    @torch.inference_mode()
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.layer(x)
        return y


def _quantized() -> Built:
    from torch.ao.quantization import quantize_dynamic

    with torch.device("cpu"):  # packing reads the weights
        model = quantize_dynamic(nn.Sequential(nn.Linear(64, 64)), {nn.Linear})
    return model, (torch.randn(8, 64),)


def _grouped_convolution(groups: int) -> Case:
    n, c, side = 2, 64, 16
    macs = n * side**2 * c * (c // groups) * 9

    def build() -> Built:
        return nn.Conv2d(c, c, 3, padding=1, groups=groups), (torch.randn(n, c, side, side).requires_grad_(),)

    executed = n * c * (c // groups) * taps(side, 3, 1, 1) ** 2
    return Case(
        f"Conv2d 64→64, {groups} group{'s' * (groups > 1)}, all gradients", "probes", build, macs, 2 * macs, executed
    )


def _bare_attention(causal: bool) -> Case:
    b, heads, s, d = 2, 4, 128, 32

    def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        return F.scaled_dot_product_attention(q, k, v, is_causal=causal)

    core = 2 * b * heads * s * s * d
    return Case(
        "attention alone, causal" if causal else "attention alone",
        "probes",
        lambda: (Apply(attend), tuple(torch.randn(b, heads, s, d).requires_grad_() for _ in range(3))),
        core,
        5 * core // 2,
        2 * b * heads * (s * (s + 1) // 2) * d if causal else core,
        2 * core,
    )


def _integers(*shape: int) -> torch.Tensor:
    return torch.ones(*shape, dtype=torch.int8, device="cpu")


def probes() -> list[Case]:
    """Single operators and ways of calling that counters are known to miss."""
    return [
        *(_grouped_convolution(groups) for groups in (1, 4, 64)),
        _bare_attention(False),
        _bare_attention(True),
        Case(
            "4 Linears under activation checkpointing",
            "probes",
            lambda: (Checkpointed(), (torch.randn(8, 64).requires_grad_(),)),
            4 * 8 * 64 * 64,
            (8 + 3) * 8 * 64 * 64,  # the last layer's output is not needed again
        ),
        Case(
            "GRU on packed sequences of 10, 4 and 7 steps",
            "probes",
            lambda: (Packed(), (torch.randn(10, 3, 8), torch.tensor([10, 4, 7], device="cpu"))),
            (10 + 4 + 7) * 3 * 16 * (8 + 16),
            (10 + 4 + 7) * 3 * 16 * (8 + 2 * 16) - 3 * 3 * 16 * 16,
        ),
        Case("Linear inside torch.inference_mode", "probes", lambda: (Inference(), (torch.randn(8, 64),)), 8 * 64 * 64),
        Case(
            "torch.mv",
            "probes",
            lambda: (Apply(torch.mv), (torch.randn(300, 200).requires_grad_(), torch.randn(200).requires_grad_())),
            300 * 200,
            300 * 200,  # the matrix's gradient is an outer product: multiplications without accumulation
        ),
        Case("torch.dot", "probes", lambda: (Apply(torch.dot), (torch.randn(500), torch.randn(500))), 500),
        Case(
            "complex matrix product",
            "probes",
            lambda: (
                Apply(torch.mm),
                (torch.randn(8, 8, dtype=torch.complex64), torch.randn(8, 8, dtype=torch.complex64)),
            ),
            4 * 8**3,
        ),
        Case(
            "torch._int_mm",
            "probes",
            lambda: (Apply(torch._int_mm), (_integers(32, 16), _integers(16, 24))),
            32 * 16 * 24,
        ),
        Case("Linear, quantised dynamically", "probes", _quantized, 8 * 64 * 64),
        Case(
            "sparse × dense, 10 of 400 values",
            "probes",
            lambda: (Apply(torch.sparse.mm), (_sparse(), torch.randn(20, 30).requires_grad_())),
            10 * 30,
            10 * 30,  # the sparse side needs no gradient
        ),
    ]


def _sparse() -> torch.Tensor:
    rows = torch.arange(10, device="cpu")
    return torch.sparse_coo_tensor(
        torch.stack([rows, rows]), torch.ones(10, device="cpu"), (20, 20), check_invariants=False
    )


def all_cases() -> list[Case]:
    """Every case, in the page's order."""
    return [*sixteen(), *networks(), *probes()]
