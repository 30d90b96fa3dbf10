"""The gated recurrent unit, forward and backward through time."""

from energybench.kernels.families.gru.launch import GRU, GRU_BACKWARD, GruGradients, gru, gru_backward
from energybench.kernels.operator import Operator

OPERATORS: tuple[Operator, ...] = (GRU, GRU_BACKWARD)

__all__ = ["OPERATORS", "GruGradients", "gru", "gru_backward"]
