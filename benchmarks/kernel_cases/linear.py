"""Fully connected layers: squares, the layers of a Transformer, few rows."""

from __future__ import annotations

from typing import Final

import torch

from benchmarks.kernel_cases import Case
from energybench import kernels

#: Matrix products reach 0.9 of the vendor's.
_GOAL: Final = 0.9
#: M, K, N
_SHAPES: Final = (
    (64, 64, 64),
    (512, 512, 512),
    (1024, 1024, 1024),
    (128, 768, 3072),
    (128, 3072, 768),
    (16, 768, 768),
    (4, 768, 768),
    (1, 1024, 4096),
)


def _case(M: int, K: int, N: int) -> Case:
    generator = torch.Generator().manual_seed(M * K + N)
    x, w, b = (torch.randn(*shape, generator=generator) for shape in ((M, K), (N, K), (N,)))
    return Case(
        "linear",
        f"linear {M}×{K}×{N}",
        lambda threads: lambda: kernels.linear(x, w, b, threads=threads),
        lambda: lambda: torch.nn.functional.linear(x, w, b),
        lambda: kernels.count("linear", x, w, b),
        _GOAL,
    )


CASES: Final = tuple(_case(*shape) for shape in _SHAPES)
