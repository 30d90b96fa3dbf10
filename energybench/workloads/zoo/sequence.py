"""Published Transformers and recurrent language models, written out from their papers; weights are random."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from torch import Tensor


class _Attention(nn.Module):
    """Multi-head attention of x[B, S, width] over itself, `memory`[B, M, width], or a cache of keys and values."""

    def __init__(self, width: int, heads: int, *, bias: bool = True, causal: bool = False) -> None:
        super().__init__()
        self.heads, self.causal = heads, causal
        self.query = nn.Linear(width, width, bias=bias)
        self.key = nn.Linear(width, width, bias=bias)
        self.value = nn.Linear(width, width, bias=bias)
        self.output = nn.Linear(width, width, bias=bias)

    def _split(self, x: Tensor) -> Tensor:
        B, S, inner = x.shape
        return x.view(B, S, self.heads, inner // self.heads).transpose(1, 2)

    def forward(self, x: Tensor, memory: Tensor | None = None, cache: tuple[Tensor, Tensor] | None = None) -> Tensor:
        source = x if memory is None else memory
        q, k, v = self._split(self.query(x)), self._split(self.key(source)), self._split(self.value(source))
        if cache is not None:
            k, v = torch.cat([cache[0], k], 2), torch.cat([cache[1], v], 2)
        causal = self.causal and cache is None
        y = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=causal)
        merged: Tensor = self.output(y.transpose(1, 2).flatten(2))
        return merged


def _feed_forward(width: int, hidden: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))


class _PreNormBlock(nn.Module):
    def __init__(self, width: int, heads: int, *, causal: bool = False) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = _Attention(width, heads, causal=causal)
        self.feed_forward = _feed_forward(width, 4 * width)

    def forward(self, x: Tensor, cache: tuple[Tensor, Tensor] | None = None) -> Tensor:
        x = x + self.attention(self.norm1(x), cache=cache)
        y: Tensor = x + self.feed_forward(self.norm2(x))
        return y


class VitB16(nn.Module):
    """ViT-B/16 for x[N, 3, 224, 224] (Dosovitskiy et al. 2020)."""

    def __init__(self, classes: int = 1000, width: int = 768) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, 16, 16)
        self.token = nn.Parameter(torch.zeros(1, 1, width))
        self.position = nn.Parameter(torch.zeros(1, 197, width))
        self.blocks = nn.Sequential(*(_PreNormBlock(width, 12) for _ in range(12)))
        self.norm = nn.LayerNorm(width)
        self.classifier = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        """x[N, 3, 224, 224] → logits[N, classes]."""
        y = self.patches(x).flatten(2).transpose(1, 2)
        y = torch.cat([self.token.expand(y.shape[0], -1, -1), y], 1) + self.position
        logits: Tensor = self.classifier(self.norm(self.blocks(y))[:, 0])
        return logits


class _MixerBlock(nn.Module):
    def __init__(self, tokens: int, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.tokens = _feed_forward(tokens, width // 2)
        self.channels = _feed_forward(width, 4 * width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.tokens(self.norm1(x).transpose(1, 2)).transpose(1, 2)
        y: Tensor = x + self.channels(self.norm2(x))
        return y


class MixerB16(nn.Module):
    """MLP-Mixer-B/16 for x[N, 3, 224, 224] (Tolstikhin et al. 2021)."""

    def __init__(self, classes: int = 1000, width: int = 768) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, 16, 16)
        self.blocks = nn.Sequential(*(_MixerBlock(196, width) for _ in range(12)))
        self.norm = nn.LayerNorm(width)
        self.classifier = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        """x[N, 3, 224, 224] → logits[N, classes]."""
        y = self.blocks(self.patches(x).flatten(2).transpose(1, 2))
        logits: Tensor = self.classifier(self.norm(y).mean(1))
        return logits


class _PostNormBlock(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = _Attention(width, heads)
        self.feed_forward = _feed_forward(width, 4 * width)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm1(x + self.attention(x))
        y: Tensor = self.norm2(x + self.feed_forward(x))
        return y


class BertBase(nn.Module):
    """BERT-base for tokens[B, S] with its pooler (Devlin et al. 2018)."""

    vocabulary = 30522

    def __init__(self, width: int = 768) -> None:
        super().__init__()
        self.words = nn.Embedding(self.vocabulary, width)
        self.positions = nn.Embedding(512, width)
        self.segments = nn.Embedding(2, width)
        self.norm = nn.LayerNorm(width)
        self.blocks = nn.Sequential(*(_PostNormBlock(width, 12) for _ in range(12)))
        self.pooler = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens[B, S] → pooled[B, 768]."""
        places = torch.arange(tokens.shape[1], device=tokens.device)
        x = self.words(tokens) + self.positions(places) + self.segments(torch.zeros_like(tokens))
        return torch.tanh(self.pooler(self.blocks(self.norm(x))[:, 0]))


class Gpt2(nn.Module):
    """GPT-2 (124 M) for tokens[B, S], or one new token behind `cached` ones (Radford et al. 2019).

    The cache holds random keys and values of one length: each call decodes the same next token.
    """

    vocabulary = 50257
    cache: Tensor

    def __init__(self, batch: int = 1, cached: int = 0, width: int = 768) -> None:
        super().__init__()
        self.words = nn.Embedding(self.vocabulary, width)
        self.positions = nn.Embedding(1024, width)
        self.blocks = nn.ModuleList(_PreNormBlock(width, 12, causal=True) for _ in range(12))
        self.norm = nn.LayerNorm(width)
        self.cached = cached
        shape = (12, 2, batch, 12, cached, width // 12)
        self.register_buffer("cache", torch.randn(shape), persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens[B, S] → logits[B, 50257] of the last position."""
        places = torch.arange(self.cached, self.cached + tokens.shape[1], device=tokens.device)
        x = self.words(tokens) + self.positions(places)
        for i, block in enumerate(self.blocks):
            x = block(x, cache=(self.cache[i, 0], self.cache[i, 1]) if self.cached else None)
        # the output layer shares its weight with the embedding
        return nn.functional.linear(self.norm(x)[:, -1], self.words.weight)


class WhisperSmallEncoder(nn.Module):
    """The encoder of Whisper small for mel[B, 80, 3000] (Radford et al. 2022)."""

    position: Tensor

    def __init__(self, width: int = 768) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(80, width, 3, padding=1)
        self.conv2 = nn.Conv1d(width, width, 3, stride=2, padding=1)
        self.register_buffer("position", torch.zeros(1500, width), persistent=False)
        self.blocks = nn.Sequential(*(_PreNormBlock(width, 12) for _ in range(12)))
        self.norm = nn.LayerNorm(width)

    def forward(self, mel: Tensor) -> Tensor:
        """mel[B, 80, 3000] → y[B, 1500, 768]."""
        gelu = nn.functional.gelu
        x = gelu(self.conv2(gelu(self.conv1(mel)))).transpose(1, 2) + self.position
        y: Tensor = self.norm(self.blocks(x))
        return y


class _RmsNorm(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return self.weight * x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6)


class _T5Block(nn.Module):
    def __init__(self, width: int, heads: int, hidden: int, *, decoder: bool) -> None:
        super().__init__()
        self.norm1, self.norm2 = _RmsNorm(width), _RmsNorm(width)
        self.attention = _Attention(width, heads, bias=False, causal=decoder)
        self.cross = _Attention(width, heads, bias=False) if decoder else None
        self.norm_cross = _RmsNorm(width) if decoder else None
        self.wide = nn.Linear(width, hidden, bias=False)
        self.narrow = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor, memory: Tensor | None = None) -> Tensor:
        x = x + self.attention(self.norm1(x))
        if self.cross is not None and self.norm_cross is not None:
            x = x + self.cross(self.norm_cross(x), memory=memory)
        y: Tensor = x + self.narrow(torch.relu(self.wide(self.norm2(x))))
        return y


class T5Small(nn.Module):
    """T5-small for source[B, S] and target[B, T] (Raffel et al. 2019), without the relative position bias.

    The bias adds 512 parameters and one addition a score; fused attention takes no bias of that form.
    """

    vocabulary = 32128

    def __init__(self, width: int = 512) -> None:
        super().__init__()
        self.words = nn.Embedding(self.vocabulary, width)
        self.encoder = nn.ModuleList(_T5Block(width, 8, 2048, decoder=False) for _ in range(6))
        self.decoder = nn.ModuleList(_T5Block(width, 8, 2048, decoder=True) for _ in range(6))
        self.norm_encoder, self.norm_decoder = _RmsNorm(width), _RmsNorm(width)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """source[B, S], target[B, T] → logits[B, T, 32128]."""
        memory = self.words(source)
        for block in self.encoder:
            memory = block(memory)
        memory = self.norm_encoder(memory)
        x = self.words(target)
        for block in self.decoder:
            x = block(x, memory)
        return nn.functional.linear(self.norm_decoder(x) * 512**-0.5, self.words.weight)


class RecurrentLanguageModel(nn.Module):
    """Embedding, two recurrent layers of 1024, a vocabulary of 10,000: tokens[T, B] (after Zaremba et al. 2014)."""

    vocabulary = 10_000

    def __init__(self, cell: str, width: int = 1024) -> None:
        super().__init__()
        self.words = nn.Embedding(self.vocabulary, width)
        self.rnn = (nn.GRU if cell == "gru" else nn.LSTM)(width, width, 2)
        self.output = nn.Linear(width, self.vocabulary)

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens[T, B] → logits[T, B, vocabulary]."""
        y, _ = self.rnn(self.words(tokens))
        logits: Tensor = self.output(y)
        return logits
