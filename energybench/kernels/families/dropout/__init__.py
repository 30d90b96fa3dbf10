"""Dropout with a mask that seed and place decide."""

from energybench.kernels.families.dropout.launch import DROPOUT, DROPOUT_BACKWARD, dropout, dropout_backward
from energybench.kernels.operator import Operator

OPERATORS: tuple[Operator, ...] = (DROPOUT, DROPOUT_BACKWARD)

__all__ = ["OPERATORS", "dropout", "dropout_backward"]
