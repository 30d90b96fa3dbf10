"""Depthwise-separable convolution [D8]."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from energybench.kernels.call import TensorT
from energybench.kernels.composition import Part, composition
from energybench.kernels.families.conv.launch import CONV2D
from energybench.kernels.ladder import AUTO


def _separable_conv2d(
    part: Part,
    x: Any,
    depthwise: Any,
    pointwise: Any,
    depthwise_bias: Any = None,
    pointwise_bias: Any = None,
    **options: Any,
) -> Any:
    channels = part(CONV2D, x, depthwise, depthwise_bias, groups=x.shape[1], **options)
    return part(CONV2D, channels, pointwise, pointwise_bias)


SEPARABLE_CONV2D = composition(_separable_conv2d, "separable_conv2d")


def separable_conv2d(
    x: TensorT,
    depthwise: TensorT,
    pointwise: TensorT,
    depthwise_bias: TensorT | None = None,
    pointwise_bias: TensorT | None = None,
    *,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    variant: str = AUTO,
    threads: int | None = None,
) -> TensorT:
    """A depthwise convolution and a 1×1 convolution across channels [D8]; two calls of `conv2d`.

    Args:
        x: ``[N, C, H, W]``, float32 or float64.
        depthwise: ``[m·C, 1, KH, KW]``, m filters a channel.
        pointwise: ``[C_out, m·C, 1, 1]``.
        depthwise_bias: ``[m·C]`` or None.
        pointwise_bias: ``[C_out]`` or None.
        stride: Of the depthwise convolution, as `conv2d`'s, like the options that follow.
        padding: As `conv2d`'s.
        dilation: As `conv2d`'s.
        variant: As `conv2d`'s.
        threads: As `conv2d`'s.

    Returns:
        ``y[N, C_out, H_out, W_out]`` of the caller's kind. Errors as `conv2d`'s.
    """
    arrays = (x, depthwise, pointwise, depthwise_bias, pointwise_bias)
    options: Any = {"stride": stride, "padding": padding, "dilation": dilation}
    (y,) = SEPARABLE_CONV2D.run(*arrays, **options, variant=variant, threads=threads)
    return y  # type: ignore[no-any-return]
