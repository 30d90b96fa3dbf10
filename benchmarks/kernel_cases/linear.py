"""Fully connected layers: squares, the layers of a Transformer, few rows; their gradients; w stored transposed."""

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


#: M, K, N of the gradients, with a bias
_BACKWARD: Final = ((512, 512, 512), (128, 768, 3072), (16, 768, 768), (1, 1024, 4096))
#: M, K, N of a w that is stored as [K, N]
_TRANSPOSED: Final = ((512, 512, 512), (16, 768, 768), (1, 1024, 4096))


def _arrays(M: int, K: int, N: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(M * K + N)
    x, w, b = (torch.randn(*shape, generator=generator) for shape in ((M, K), (N, K), (N,)))
    return x, w, b


def _case(M: int, K: int, N: int) -> Case:
    x, w, b = _arrays(M, K, N)
    return Case(
        "linear",
        f"linear {M}×{K}×{N}",
        lambda threads: lambda: kernels.linear(x, w, b, threads=threads),
        lambda: lambda: torch.nn.functional.linear(x, w, b),
        lambda: kernels.count("linear", x, w, b),
        _GOAL,
    )


def _transposed(M: int, K: int, N: int) -> Case:
    x, w, b = _arrays(M, K, N)
    stored = w.t().contiguous()
    return Case(
        "linear",
        f"linear {M}×{K}×{N}, w as [K, N]",
        lambda threads: lambda: kernels.linear(x, stored, b, w_layout="kn", threads=threads),
        lambda: lambda: torch.nn.functional.linear(x, stored.t(), b),
        lambda: kernels.count("linear", x, stored, b, w_layout="kn"),
        _GOAL,
    )


def _backward(M: int, K: int, N: int) -> Case:
    x, w, _ = _arrays(M, K, N)
    grad = torch.randn(M, N, generator=torch.Generator().manual_seed(M))
    return Case(
        "linear",
        f"linear backward {M}×{K}×{N}",
        lambda threads: lambda: kernels.linear_backward(grad, x, w, threads=threads),
        lambda: lambda: (grad @ w, grad.t() @ x, grad.sum(0)),  # what autograd runs
        lambda: kernels.count("linear_backward", grad, x, w),
        _GOAL,
    )


CASES: Final = (
    *(_case(*shape) for shape in _SHAPES),
    *(_transposed(*shape) for shape in _TRANSPOSED),
    *(_backward(*shape) for shape in _BACKWARD),
)
