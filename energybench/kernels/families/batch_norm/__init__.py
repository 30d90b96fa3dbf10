"""Batch normalisation, from the batch's statistics or from running ones."""

from energybench.kernels.families.batch_norm.launch import (
    BATCH_NORM,
    BATCH_NORM_BACKWARD,
    BatchNorm,
    batch_norm,
    batch_norm_backward,
)
from energybench.kernels.operator import Operator

OPERATORS: tuple[Operator, ...] = (BATCH_NORM, BATCH_NORM_BACKWARD)

__all__ = ["OPERATORS", "BatchNorm", "batch_norm", "batch_norm_backward"]
