"""Two-dimensional convolution with channels innermost."""

from energybench.kernels.families.conv_nhwc.launch import CONV2D_NHWC, conv2d_nhwc
from energybench.kernels.operator import Operator

OPERATORS: tuple[Operator, ...] = (CONV2D_NHWC,)

__all__ = ["OPERATORS", "conv2d_nhwc"]
