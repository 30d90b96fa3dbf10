"""Energy of calls that were counted, and how far estimates lie from what was recorded."""

from energybench.estimation.amounts import BRAIN_POWER_W, Amounts, brain_time_s
from energybench.estimation.comparison import ComparedRow, Comparison, compare_records
from energybench.estimation.estimate import EnergyEstimate, estimate_counts
from energybench.estimation.interval import EnergyInterval

__all__ = [
    "BRAIN_POWER_W",
    "Amounts",
    "ComparedRow",
    "Comparison",
    "EnergyEstimate",
    "EnergyInterval",
    "brain_time_s",
    "compare_records",
    "estimate_counts",
]
