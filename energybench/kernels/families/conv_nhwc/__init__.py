"""Two-dimensional convolution with channels innermost, and its gradients."""

from energybench.kernels.families.conv_nhwc.launch import (
    CONV2D_NHWC,
    CONV2D_NHWC_BACKWARD,
    conv2d_nhwc,
    conv2d_nhwc_backward,
)
from energybench.kernels.operator import Operator

OPERATORS: tuple[Operator, ...] = (CONV2D_NHWC, CONV2D_NHWC_BACKWARD)

__all__ = ["OPERATORS", "conv2d_nhwc", "conv2d_nhwc_backward"]
