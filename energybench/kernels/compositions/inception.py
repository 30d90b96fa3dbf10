"""The Inception module [D8]: parallel windows, joined."""

from __future__ import annotations

from typing import Any

from energybench.kernels.call import TensorT
from energybench.kernels.composition import Part, composition
from energybench.kernels.families.conv.launch import CONV2D
from energybench.kernels.families.copies.launch import CONCAT_CHANNELS
from energybench.kernels.families.pointwise.launch import RELU
from energybench.kernels.families.pool.launch import MAX_POOL2D
from energybench.kernels.ladder import AUTO


def _inception(
    part: Part,
    x: Any,
    w1: Any,
    b1: Any,
    w3_reduce: Any,
    b3_reduce: Any,
    w3: Any,
    b3: Any,
    w5_reduce: Any,
    b5_reduce: Any,
    w5: Any,
    b5: Any,
    w_pool: Any,
    b_pool: Any,
) -> Any:
    def conv(image: Any, w: Any, b: Any) -> Any:
        return part(RELU, part(CONV2D, image, w, b, padding=(w.shape[2] // 2, w.shape[3] // 2)))

    branches = (
        conv(x, w1, b1),
        conv(conv(x, w3_reduce, b3_reduce), w3, b3),
        conv(conv(x, w5_reduce, b5_reduce), w5, b5),
        conv(part(MAX_POOL2D, x, kernel_size=3, stride=1, padding=1), w_pool, b_pool),
    )
    return part(CONCAT_CHANNELS, *branches)


INCEPTION = composition(_inception, "inception")


def inception(x: TensorT, *weights: TensorT | None, variant: str = AUTO, threads: int | None = None) -> TensorT:
    """The Inception module of Szegedy et al. 2015 (figure 2b) [D8]: four branches of one image, joined along channels.

    1×1; 1×1 and 3×3; 1×1 and 5×5; a 3×3 maximum pool and 1×1. Each convolution keeps the image's size (padding KH//2,
    KW//2) and is followed by ReLU.

    Args:
        x: ``[N, C, H, W]``, float32 or float64.
        weights: ``w1, b1, w3_reduce, b3_reduce, w3, b3, w5_reduce, b5_reduce, w5, b5, w_pool, b_pool``: of each
            convolution the weights as `conv2d` has them, and the bias or None.
        variant: As `conv2d`'s.
        threads: As `conv2d`'s.

    Returns:
        ``y[N, C_1 + C_3 + C_5 + C_pool, H, W]`` of the caller's kind. Errors as those of the operators.
    """
    (y,) = INCEPTION.run(x, *weights, variant=variant, threads=threads)
    return y  # type: ignore[no-any-return]
