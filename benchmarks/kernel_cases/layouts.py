"""Padding, changes of layout, convolutions with channels innermost and over time."""

from __future__ import annotations

from typing import Any, Final

import torch
import torch.nn.functional as F  # noqa: N812 - the name that torch's own documentation uses

from benchmarks.kernel_cases import Case, kernel_case, normal

#: Copies reach the vendor's, as pooling does; convolutions 0.9 of it, and depthwise all of it.
_COPY, _CONV, _DEPTHWISE = 1.0, 0.9, 1.0
#: No goal is stated for the gradients: they are measured and reported.
_REPORTED: Final = 0.0
_IMAGE: Final = normal(1, 64, 56, 56)
_PIXELS: Final = normal(1, 56, 56, 64)
_PARTS: Final = tuple(normal(1, c, 28, 28) for c in (64, 128, 32, 32))


def _nhwc(label: str, x_shape: tuple[int, ...], w_shape: tuple[int, ...], goal: float, **options: Any) -> Case:
    x, w = (normal(*s).to(memory_format=torch.channels_last) for s in (x_shape, w_shape))
    ours = x.permute(0, 2, 3, 1), w.permute(0, 2, 3, 1)
    return kernel_case("layouts", label, goal, "conv2d_nhwc", lambda: F.conv2d(x, w, **options), *ours, **options)


def _nhwc_backward(
    label: str, x_shape: tuple[int, ...], w_shape: tuple[int, ...], *, padding: int = 0, groups: int = 1
) -> Case:
    x, w = (normal(*s).to(memory_format=torch.channels_last) for s in (x_shape, w_shape))
    grad = normal(*F.conv2d(x, w, padding=padding, groups=groups).shape).to(memory_format=torch.channels_last)

    def torchs() -> Any:
        return torch.ops.aten.convolution_backward(
            grad, x, w, None, [1, 1], [padding] * 2, [1, 1], False, [0, 0], groups, [True, True, False]
        )

    ours = (t.permute(0, 2, 3, 1) for t in (grad, x, w))
    options: Any = {"padding": padding, "groups": groups}
    return kernel_case("layouts", label, _REPORTED, "conv2d_nhwc_backward", torchs, *ours, **options)


def _conv1d_backward(label: str, x_shape: tuple[int, ...], w_shape: tuple[int, ...], *, padding: int) -> Case:
    x, w = normal(*x_shape), normal(*w_shape)
    grad = normal(*F.conv1d(x, w, padding=padding).shape)

    def torchs() -> Any:
        return torch.ops.aten.convolution_backward(
            grad, x, w, None, [1], [padding], [1], False, [0], 1, [True, True, False]
        )

    return kernel_case("layouts", label, _REPORTED, "conv1d_backward", torchs, grad, x, w, padding=padding)


def _conv1d(label: str, x_shape: tuple[int, ...], w_shape: tuple[int, ...], **options: Any) -> Case:
    x, w = normal(*x_shape), normal(*w_shape)
    return kernel_case("layouts", label, _CONV, "conv1d", lambda: F.conv1d(x, w, **options), x, w, **options)


def _pad(mode: str, torchs: str) -> Case:
    options: Any = {"padding": 1, "mode": mode}
    return kernel_case(
        "layouts", mode, _COPY, "pad2d", lambda: F.pad(_IMAGE, (1, 1, 1, 1), mode=torchs), _IMAGE, **options
    )


CASES: Final = (
    _pad("zeros", "constant"),
    _pad("reflect", "reflect"),
    _pad("circular", "circular"),
    kernel_case(
        *("layouts", "64 at 56×56", _COPY, "nchw_to_nhwc"), lambda: _IMAGE.permute(0, 2, 3, 1).contiguous(), _IMAGE
    ),
    kernel_case(
        *("layouts", "64 at 56×56", _COPY, "nhwc_to_nchw"), lambda: _PIXELS.permute(0, 3, 1, 2).contiguous(), _PIXELS
    ),
    kernel_case("layouts", "four parts at 28×28", _COPY, "concat_channels", lambda: torch.cat(_PARTS, 1), *_PARTS),
    _nhwc("3×3, 64 at 56×56", (1, 64, 56, 56), (64, 64, 3, 3), _CONV, padding=1),
    _nhwc("3×3, 256 at 14×14", (1, 256, 14, 14), (256, 256, 3, 3), _CONV, padding=1),
    _nhwc("1×1, 64→256 at 56×56", (1, 64, 56, 56), (256, 64, 1, 1), _CONV),
    _nhwc("7×7 stride 2, 3→64 at 224×224", (1, 3, 224, 224), (64, 3, 7, 7), _CONV, padding=3, stride=2),
    _nhwc("depthwise 3×3, 32 at 112×112", (1, 32, 112, 112), (32, 1, 3, 3), _DEPTHWISE, padding=1, groups=32),
    _nhwc("depthwise 3×3, 512 at 14×14", (1, 512, 14, 14), (512, 1, 3, 3), _DEPTHWISE, padding=1, groups=512),
    _conv1d("3 taps, 64 of 1024 steps", (1, 64, 1024), (64, 64, 3), padding=1),
    _conv1d("9 taps dilation 4, 128 of 512 steps", (1, 128, 512), (128, 128, 9), padding=16, dilation=4),
    _conv1d_backward("3 taps, 64 of 1024 steps", (1, 64, 1024), (64, 64, 3), padding=1),
    _nhwc_backward("3×3, 64 at 56×56", (1, 64, 56, 56), (64, 64, 3, 3), padding=1),
    _nhwc_backward("1×1, 64→256 at 56×56", (1, 64, 56, 56), (256, 64, 1, 1)),
    _nhwc_backward("depthwise 3×3, 512 at 14×14", (1, 512, 14, 14), (512, 1, 3, 3), padding=1, groups=512),
)
