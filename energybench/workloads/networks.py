"""Whole networks, small enough for a CPU: the rows that score a fit and never enter it. All code here is ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from torch import Tensor


class ConvNet(nn.Module):
    """A plain CNN for x[N, 3, 64, 64]: three stages of two 3×3 convolutions, pooled, then a classifier."""

    def __init__(self, width: int = 16, classes: int = 10) -> None:
        super().__init__()
        stages: list[nn.Module] = []
        channels = 3
        for factor in (1, 2, 4):
            for _ in range(2):
                stages += [
                    nn.Conv2d(channels, width * factor, 3, padding=1, bias=False),
                    nn.BatchNorm2d(width * factor),
                    nn.ReLU(),
                ]
                channels = width * factor
            stages.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*stages)
        self.classifier = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        """x[N, 3, H, W] → logits[N, classes]."""
        features: Tensor = self.features(x)
        logits: Tensor = self.classifier(features.mean((2, 3)))
        return logits


class SeparableConvNet(nn.Module):
    """A CNN of depthwise and pointwise convolutions for x[N, 3, 96, 96]."""

    def __init__(self, width: int = 24, depth: int = 4, classes: int = 10) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, stride=2, padding=1)
        blocks: list[nn.Module] = []
        channels = width
        for i in range(depth):
            stride = 2 if i % 2 else 1
            blocks += [
                nn.Conv2d(channels, channels, 3, stride=stride, padding=1, groups=channels),
                nn.ReLU(),
                nn.Conv2d(channels, channels * stride, 1),
                nn.ReLU(),
            ]
            channels *= stride
        self.blocks = nn.Sequential(*blocks)
        self.classifier = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        """x[N, 3, H, W] → logits[N, classes]."""
        features: Tensor = self.blocks(torch.relu(self.stem(x)))
        logits: Tensor = self.classifier(features.mean((2, 3)))
        return logits


class GruSequenceModel(nn.Module):
    """A recurrent sequence model over x[T, B, width]: GRU, then a vocabulary-sized output at every step."""

    def __init__(self, width: int = 64, hidden: int = 128, vocabulary: int = 512) -> None:
        super().__init__()
        self.rnn = nn.GRU(width, hidden)
        self.output = nn.Linear(hidden, vocabulary)

    def forward(self, x: Tensor) -> Tensor:
        """x[T, B, width], already embedded → logits[T, B, vocabulary]."""
        y, _ = self.rnn(x)
        logits: Tensor = self.output(y)
        return logits


class SelfAttention(nn.Module):
    """Multi-head self-attention over x[B, S, width] [D13, D14]."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.projection = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """x[B, S, width] → y[B, S, width]."""
        B, S, width = x.shape
        q, k, v = self.qkv(x).view(B, S, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        y = nn.functional.scaled_dot_product_attention(q, k, v)
        merged: Tensor = self.projection(y.transpose(1, 2).reshape(B, S, width))
        return merged


class TransformerBlock(nn.Module):
    """One pre-norm block: attention and a feed-forward part four times as wide [D15]."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = SelfAttention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.feed_forward = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        """x[B, S, width] → y[B, S, width]."""
        x = x + self.attention(self.norm1(x))
        y: Tensor = x + self.feed_forward(self.norm2(x))
        return y


class TransformerEncoder(nn.Module):
    """A stack of blocks over x[B, S, width] and a classifier on the mean position."""

    def __init__(self, width: int = 128, heads: int = 4, layers: int = 3, classes: int = 10) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(TransformerBlock(width, heads) for _ in range(layers)))
        self.norm = nn.LayerNorm(width)
        self.classifier = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        """x[B, S, width], already embedded → logits[B, classes]."""
        y = self.norm(self.blocks(x))
        logits: Tensor = self.classifier(y.mean(1))
        return logits
