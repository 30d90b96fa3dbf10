"""Temporal convolution and its gradients: `conv2d` over images of one row, under names of their own [D8]."""

from energybench.kernels.families.conv1d.launch import CONV1D, CONV1D_BACKWARD, conv1d, conv1d_backward
from energybench.kernels.operator import Operator

OPERATORS: tuple[Operator, ...] = (CONV1D, CONV1D_BACKWARD)

__all__ = ["OPERATORS", "conv1d", "conv1d_backward"]
