"""The core of multi-head attention."""

from energybench.kernels.families.attention.launch import ATTENTION, attention
from energybench.kernels.operator import Operator

OPERATORS: tuple[Operator, ...] = (ATTENTION,)

__all__ = ["OPERATORS", "attention"]
