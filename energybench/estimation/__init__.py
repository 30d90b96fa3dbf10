"""Energy of calls that were counted, and how far estimates lie from what was recorded."""

from energybench.estimation.comparison import ComparedRow, Comparison, compare_records
from energybench.estimation.estimate import EnergyEstimate, estimate_counts
from energybench.estimation.interval import EnergyInterval

__all__ = ["ComparedRow", "Comparison", "EnergyEstimate", "EnergyInterval", "compare_records", "estimate_counts"]
