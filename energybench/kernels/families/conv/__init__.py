"""Two-dimensional convolution and its gradients."""

from energybench.kernels.families.conv.launch import CONV2D, CONV2D_BACKWARD, conv2d, conv2d_backward
from energybench.kernels.operator import Operator

OPERATORS: tuple[Operator, ...] = (CONV2D, CONV2D_BACKWARD)

__all__ = ["OPERATORS", "conv2d", "conv2d_backward"]
