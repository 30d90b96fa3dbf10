"""Temporal convolution: `conv2d` over an image of one row, under a name of its own [D8]."""

from energybench.kernels.families.conv1d.launch import CONV1D, conv1d
from energybench.kernels.operator import Operator

OPERATORS: tuple[Operator, ...] = (CONV1D,)

__all__ = ["OPERATORS", "conv1d"]
