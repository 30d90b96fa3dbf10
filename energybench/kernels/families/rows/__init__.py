"""Functions of a row: softmax, its logarithm, layer normalisation."""

from energybench.kernels.families.rows.launch import (
    LAYER_NORM,
    LAYER_NORM_BACKWARD,
    LOG_SOFTMAX,
    LOG_SOFTMAX_BACKWARD,
    SOFTMAX,
    SOFTMAX_BACKWARD,
    layer_norm,
    layer_norm_backward,
    log_softmax,
    log_softmax_backward,
    softmax,
    softmax_backward,
)
from energybench.kernels.operator import Operator

OPERATORS: tuple[Operator, ...] = (
    SOFTMAX,
    SOFTMAX_BACKWARD,
    LOG_SOFTMAX,
    LOG_SOFTMAX_BACKWARD,
    LAYER_NORM,
    LAYER_NORM_BACKWARD,
)

__all__ = [
    "OPERATORS",
    "layer_norm",
    "layer_norm_backward",
    "log_softmax",
    "log_softmax_backward",
    "softmax",
    "softmax_backward",
]
