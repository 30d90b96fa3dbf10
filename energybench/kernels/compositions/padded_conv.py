"""Convolution with a padding mode [D29], as `torch.nn.Conv2d` has it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from energybench.kernels.call import TensorT
from energybench.kernels.composition import Part, composition
from energybench.kernels.families.conv.launch import CONV2D
from energybench.kernels.families.copies.launch import PAD2D
from energybench.kernels.families.copies.shape import PaddingMode, check_mode
from energybench.kernels.ladder import AUTO
from energybench.kernels.windows import pair


def _padded_conv2d(
    part: Part,
    x: Any,
    w: Any,
    bias: Any = None,
    *,
    padding: int | Sequence[int] = 0,
    padding_mode: PaddingMode = "zeros",
    **options: Any,
) -> Any:
    check_mode(padding_mode)
    sides = pair("padding", padding, 0)
    if padding_mode == "zeros":
        return part(CONV2D, x, w, bias, padding=sides, **options)
    return part(CONV2D, part(PAD2D, x, padding=sides, mode=padding_mode), w, bias, **options)


PADDED_CONV2D = composition(_padded_conv2d, "padded_conv2d")


def padded_conv2d(
    x: TensorT,
    w: TensorT,
    bias: TensorT | None = None,
    *,
    padding: int | Sequence[int] = 0,
    padding_mode: PaddingMode = "zeros",
    stride: int | Sequence[int] = 1,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    variant: str = AUTO,
    threads: int | None = None,
) -> TensorT:
    """Two-dimensional convolution with a padding mode, equal to ``torch.nn.Conv2d(padding_mode=…)`` [D29].

    Zeros are `conv2d`'s own padding, whose taps are skipped; the other modes are `pad2d` and a convolution without
    padding. Other arguments, result and errors as `conv2d`'s and `pad2d`'s.
    """
    options: Any = {"padding": padding, "padding_mode": padding_mode, "stride": stride, "dilation": dilation}
    (y,) = PADDED_CONV2D.run(x, w, bias, groups=groups, **options, variant=variant, threads=threads)
    return y  # type: ignore[no-any-return]
