"""Pooling."""

from energybench.kernels.families.pool.launch import AVG_POOL2D, MAX_POOL2D, avg_pool2d, max_pool2d
from energybench.kernels.operator import Operator

OPERATORS: tuple[Operator, ...] = (
    MAX_POOL2D,
    AVG_POOL2D,
)

__all__ = ["OPERATORS", "avg_pool2d", "max_pool2d"]
