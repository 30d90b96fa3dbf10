"""The fully connected layer."""

from energybench.kernels.families.linear.launch import LINEAR, linear
from energybench.kernels.operator import Operator

OPERATORS: tuple[Operator, ...] = (LINEAR,)

__all__ = ["OPERATORS", "linear"]
