"""Functions of one element."""

from energybench.kernels.families.pointwise.launch import GELU, RELU, SIGMOID, TANH, gelu, relu, sigmoid, tanh
from energybench.kernels.operator import Operator

OPERATORS: tuple[Operator, ...] = (
    RELU,
    SIGMOID,
    TANH,
    GELU,
)

__all__ = ["OPERATORS", "gelu", "relu", "sigmoid", "tanh"]
