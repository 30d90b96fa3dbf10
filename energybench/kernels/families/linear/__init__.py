"""The fully connected layer and its gradients."""

from energybench.kernels.families.linear.launch import LINEAR, LINEAR_BACKWARD, linear, linear_backward
from energybench.kernels.operator import Operator

OPERATORS: tuple[Operator, ...] = (LINEAR, LINEAR_BACKWARD)

__all__ = ["OPERATORS", "linear", "linear_backward"]
