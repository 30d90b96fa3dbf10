"""Which runs to choose: pure functions of feature matrices."""

from energybench.design.collinearity import condition_number, vif
from energybench.design.d_optimal import d_optimal_rows
from energybench.design.i_optimal import i_optimal_rows
from energybench.design.interval_optimal import interval_optimal_rows
from energybench.design.sequential import next_batch, relative_rows

__all__ = [
    "condition_number",
    "d_optimal_rows",
    "i_optimal_rows",
    "interval_optimal_rows",
    "next_batch",
    "relative_rows",
    "vif",
]
