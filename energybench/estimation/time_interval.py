"""How far a predicted time may lie from the real one: conformal over networks that the law never saw, else Student's t.

Scores are |ln(taken / predicted)|, the network being the unit, as for energies (`energybench.estimation.conformal`).
"""

from __future__ import annotations

from typing import NamedTuple

from energybench.estimation.conformal import conformal_factor, networks_needed
from energybench.model.time_law import TimeLaw
from energybench.units import Second


class TimeInterval(NamedTuple):
    """Both ends of an interval, in seconds."""

    low_s: Second
    high_s: Second


def log_reach(law: TimeLaw, level: float, *, without: str | None = None) -> float:
    """How far the interval reaches to either side of ln(predicted time); `without` a network it is for."""
    from scipy.stats import t

    conformal = conformal_factor(law.network_scores, level, without=without)
    if conformal is not None:
        return conformal
    return float(t.ppf(0.5 + level / 2, max(law.nobs - 1, 1))) * law.rel_stdev


def time_method(law: TimeLaw, level: float) -> str:
    """How that came about, in words."""
    known = sum(bool(scores) for scores in law.network_scores.values())
    if known >= networks_needed(level):
        return f"conformal over {known} networks that the time law never saw"
    return (
        f"parametric from operators, since only {known} timed networks are known and {level:.0%} needs "
        f"{networks_needed(level)}"
    )
