"""Pooling, forward and backward."""

from energybench.kernels.families.pool.launch import (
    AVG_POOL2D,
    AVG_POOL2D_BACKWARD,
    MAX_POOL2D,
    MAX_POOL2D_BACKWARD,
    avg_pool2d,
    avg_pool2d_backward,
    max_pool2d,
    max_pool2d_backward,
)
from energybench.kernels.operator import Operator

OPERATORS: tuple[Operator, ...] = (MAX_POOL2D, MAX_POOL2D_BACKWARD, AVG_POOL2D, AVG_POOL2D_BACKWARD)

__all__ = ["OPERATORS", "avg_pool2d", "avg_pool2d_backward", "max_pool2d", "max_pool2d_backward"]
