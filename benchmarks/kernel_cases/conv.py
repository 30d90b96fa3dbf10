"""Convolutions of residual and depthwise-separable networks."""

from __future__ import annotations

from typing import Any, Final

import torch
import torch.nn.functional as F  # noqa: N812 - the name that torch's own documentation uses

from benchmarks.kernel_cases import Case, kernel_case
from energybench import kernels

#: No goal is stated for the gradients: they are measured and reported.
_REPORTED: Final = 0.0


def _case(name: str, x_shape: tuple[int, ...], w_shape: tuple[int, ...], goal: float, **options: Any) -> Case:
    generator = torch.Generator().manual_seed(sum(x_shape))
    x, w = torch.randn(*x_shape, generator=generator), torch.randn(*w_shape, generator=generator)
    return Case(
        "conv",
        f"conv2d {name}",
        lambda threads: lambda: kernels.conv2d(x, w, threads=threads, **options),
        lambda: lambda: F.conv2d(x, w, **options),
        lambda: kernels.count("conv2d", x, w, **options),
        goal,
    )


def _backward(
    name: str, x_shape: tuple[int, ...], w_shape: tuple[int, ...], *, stride: int = 1, padding: int = 0, groups: int = 1
) -> Case:
    generator = torch.Generator().manual_seed(sum(x_shape))
    x, w = torch.randn(*x_shape, generator=generator), torch.randn(*w_shape, generator=generator)
    options: Any = {"stride": stride, "padding": padding, "groups": groups}
    grad = torch.randn(F.conv2d(x, w, **options).shape, generator=generator)

    def torchs() -> Any:
        return torch.ops.aten.convolution_backward(
            grad, x, w, None, [stride] * 2, [padding] * 2, [1, 1], False, [0, 0], groups, [True, True, False]
        )

    return kernel_case("conv", name, _REPORTED, "conv2d_backward", torchs, grad, x, w, **options)


CASES: Final = (
    _case("3×3, 64 at 56×56", (1, 64, 56, 56), (64, 64, 3, 3), 0.9, padding=1),
    _case("3×3, 256 at 14×14", (1, 256, 14, 14), (256, 256, 3, 3), 0.9, padding=1),
    _case("3×3, 64 at 56×56, batch 8", (8, 64, 56, 56), (64, 64, 3, 3), 0.9, padding=1),
    _case("3×3 stride 2, 128 at 56×56", (1, 128, 56, 56), (128, 128, 3, 3), 0.9, padding=1, stride=2),
    _case("7×7 stride 2, 3→64 at 224×224", (1, 3, 224, 224), (64, 3, 7, 7), 0.9, padding=3, stride=2),
    _case("1×1, 64→256 at 56×56", (1, 64, 56, 56), (256, 64, 1, 1), 0.9),
    _case("1×1, 1024→256 at 14×14", (1, 1024, 14, 14), (256, 1024, 1, 1), 0.9),
    _case("depthwise 3×3, 32 at 112×112", (1, 32, 112, 112), (32, 1, 3, 3), 1.0, padding=1, groups=32),
    _case("depthwise 3×3, 512 at 14×14", (1, 512, 14, 14), (512, 1, 3, 3), 1.0, padding=1, groups=512),
    _backward("3×3, 64 at 56×56", (1, 64, 56, 56), (64, 64, 3, 3), padding=1),
    _backward("3×3, 256 at 14×14", (1, 256, 14, 14), (256, 256, 3, 3), padding=1),
    _backward("3×3 stride 2, 128 at 56×56", (1, 128, 56, 56), (128, 128, 3, 3), padding=1, stride=2),
    _backward("1×1, 64→256 at 56×56", (1, 64, 56, 56), (256, 64, 1, 1)),
    _backward("depthwise 3×3, 512 at 14×14", (1, 512, 14, 14), (512, 1, 3, 3), padding=1, groups=512),
)
