"""Functions of one element, forward and backward."""

from energybench.kernels.families.pointwise import launch
from energybench.kernels.families.pointwise.launch import (
    add,
    gelu,
    gelu_backward,
    leaky_relu,
    leaky_relu_backward,
    positional_encoding,
    relu,
    relu_backward,
    sigmoid,
    sigmoid_backward,
    sinusoids,
    tanh,
    tanh_backward,
)
from energybench.kernels.operator import Operator

OPERATORS: tuple[Operator, ...] = (
    launch.RELU,
    launch.RELU_BACKWARD,
    launch.LEAKY_RELU,
    launch.LEAKY_RELU_BACKWARD,
    launch.SIGMOID,
    launch.SIGMOID_BACKWARD,
    launch.TANH,
    launch.TANH_BACKWARD,
    launch.GELU,
    launch.GELU_BACKWARD,
    launch.ADD,
    launch.POSITIONAL_ENCODING,
)

__all__ = [
    "OPERATORS",
    "add",
    "gelu",
    "gelu_backward",
    "leaky_relu",
    "leaky_relu_backward",
    "positional_encoding",
    "relu",
    "relu_backward",
    "sigmoid",
    "sigmoid_backward",
    "sinusoids",
    "tanh",
    "tanh_backward",
]
