"""The gated recurrent unit."""

from energybench.kernels.families.gru.launch import GRU, gru
from energybench.kernels.operator import Operator

OPERATORS: tuple[Operator, ...] = (GRU,)

__all__ = ["OPERATORS", "gru"]
