"""Sequences of native operators beside the same modules of torch."""

from __future__ import annotations

from typing import Final

import torch
import torch.nn.functional as F  # noqa: N812 - the name that torch's own documentation uses
from torch import nn

from benchmarks.kernel_cases import Case, kernel_case, normal

#: What their parts reach: convolutions 0.9, attention at small batch 1.
_CONV, _TRANSFORMER = 0.9, 1.0


def _padded() -> Case:
    layer = nn.Conv2d(64, 64, 3, padding=1, padding_mode="reflect", bias=False)
    x, w = normal(1, 64, 56, 56), layer.weight.detach()
    return kernel_case(
        *("compositions", "reflect, 3×3, 64 at 56×56", _CONV, "padded_conv2d"),
        lambda: layer(x),
        *(x, w),
        padding=1,
        padding_mode="reflect",
    )


def _separable() -> Case:
    x, d, p = normal(1, 64, 56, 56), normal(64, 1, 3, 3), normal(128, 64, 1, 1)
    return kernel_case(
        *("compositions", "3×3, 64→128 at 56×56", _CONV, "separable_conv2d"),
        lambda: F.conv2d(F.conv2d(x, d, padding=1, groups=64), p),
        *(x, d, p),
        padding=1,
    )


def _inception() -> Case:
    x = normal(1, 192, 28, 28)  # GoogLeNet's module 3a
    sizes = ((64, 192, 1), (96, 192, 1), (128, 96, 3), (16, 192, 1), (32, 16, 5), (32, 192, 1))
    w = [t for o, i, k in sizes for t in (normal(o, i, k, k) / 30, normal(o))]

    def conv(image: torch.Tensor, i: int) -> torch.Tensor:
        return F.relu(F.conv2d(image, w[2 * i], w[2 * i + 1], padding=w[2 * i].shape[-1] // 2))

    def theirs() -> torch.Tensor:
        pooled = F.max_pool2d(x, 3, 1, 1)
        return torch.cat([conv(x, 0), conv(conv(x, 1), 2), conv(conv(x, 3), 4), conv(pooled, 5)], 1)

    return kernel_case("compositions", "3a, 192→256 at 28×28", _CONV, "inception", theirs, x, *w)


def _attention(B: int, S: int, E: int, heads: int) -> Case:
    module = nn.MultiheadAttention(E, heads, batch_first=True).eval()
    x = normal(B, S, E)
    w, b = module.in_proj_weight.detach().chunk(3), module.in_proj_bias.detach().chunk(3)
    out = module.out_proj.weight.detach(), module.out_proj.bias.detach()
    return kernel_case(
        *("compositions", f"B={B} S={S} E={E} Hn={heads}", _TRANSFORMER, "multi_head_attention"),
        lambda: module(x, x, x, need_weights=False)[0],
        *(x, None, *w, out[0], *b, out[1]),
        heads=heads,
    )


def _feed_forward(M: int, E: int) -> Case:
    x, w1, w2, b1, b2 = normal(M, E), normal(4 * E, E) / 30, normal(E, 4 * E) / 30, normal(4 * E), normal(E)
    return kernel_case(
        *("compositions", f"{M}×{E}×{4 * E}", _CONV, "feed_forward"),
        lambda: x + F.linear(F.gelu(F.linear(x, w1, b1)), w2, b2),
        *(x, w1, w2, b1, b2),
    )


CASES: Final = (
    _padded(),
    _separable(),
    _inception(),
    _attention(1, 64, 256, 8),
    _attention(1, 256, 512, 8),
    _feed_forward(128, 512),
)
