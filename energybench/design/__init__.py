"""Which runs to choose: pure functions of feature matrices."""

from energybench.design.collinearity import condition_number, vif
from energybench.design.d_optimal import d_optimal_rows

__all__ = ["condition_number", "d_optimal_rows", "vif"]
