"""Functions of a row: softmax and layer normalisation."""

from energybench.kernels.families.rows.launch import LAYER_NORM, SOFTMAX, layer_norm, softmax
from energybench.kernels.operator import Operator

OPERATORS: tuple[Operator, ...] = (
    SOFTMAX,
    LAYER_NORM,
)

__all__ = ["OPERATORS", "layer_norm", "softmax"]
