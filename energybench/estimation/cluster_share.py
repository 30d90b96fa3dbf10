"""An interval for a share of hits when the hits of one network go together."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np


def cluster_share_interval(
    hits: Sequence[bool], units: Sequence[Hashable], *, level: float = 0.95
) -> tuple[float, float] | None:
    """Interval of the share of hits, the unit being what errs together; None with fewer than two units.

    Clopper and Pearson's exact interval at the effective sample size p(1 − p)/var, the variance taken between units
    (Korn and Graubard 1998), which is never more than the number of hits asked about. Where all hits agree there is no
    variance to take, and the number of units stands for it.
    """
    from scipy.stats import beta

    names = {unit: i for i, unit in enumerate(dict.fromkeys(units))}
    if len(names) < 2:
        return None
    codes = np.array([names[unit] for unit in units])
    values = np.asarray(hits, dtype=np.float64)
    n, k = len(values), len(names)
    share = float(values.mean())
    deviation = np.bincount(codes, values - share)
    variance = float(np.sum(deviation**2)) * k / (k - 1) / n**2
    effective = float(k) if variance == 0 else min(float(n), share * (1 - share) / variance)
    count = share * effective
    tail = (1 - level) / 2
    low = 0.0 if count == 0 else float(beta.ppf(tail, count, effective - count + 1))
    high = 1.0 if count == effective else float(beta.ppf(1 - tail, count + 1, effective - count))
    return low, high
