"""Two-dimensional convolution."""

from energybench.kernels.families.conv.launch import CONV2D, conv2d
from energybench.kernels.operator import Operator

OPERATORS: tuple[Operator, ...] = (CONV2D,)

__all__ = ["OPERATORS", "conv2d"]
