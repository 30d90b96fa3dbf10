"""Losses: cross-entropy."""

from energybench.kernels.families.losses.launch import (
    CROSS_ENTROPY,
    CROSS_ENTROPY_BACKWARD,
    cross_entropy,
    cross_entropy_backward,
)
from energybench.kernels.operator import Operator

OPERATORS: tuple[Operator, ...] = (CROSS_ENTROPY, CROSS_ENTROPY_BACKWARD)

__all__ = ["OPERATORS", "cross_entropy", "cross_entropy_backward"]
