"""Whether repeats of one workload scatter more than their windows say: something drifts that no count explains."""

from __future__ import annotations

from typing import Final

import numpy as np

from energybench.fitting.clusters import cluster_labels
from energybench.model.observations import Observations

#: Reported from this ratio of standard deviations and this chance of it without a drift.
_RATIO: Final = 2.0
_P: Final = 1e-3


def scatter_beyond_windows(rows: Observations) -> float | None:
    """Standard deviation of repeats over what their windows state, None where that is no more than chance.

    Mean power is compared, not energy, so that calls of different length do not count as scatter.
    """
    from scipy.stats import chi2

    _, clusters = np.unique(cluster_labels(rows), return_inverse=True)
    known = np.isfinite(rows.uncertainty_rel) & (rows.uncertainty_rel > 0) & ~rows.idle
    power_w = rows.energy_j / rows.time_s
    square = 0.0
    spare = 0
    for cluster in np.unique(clusters[known]):
        mine = known & (clusters == cluster)
        n = int(mine.sum())
        if n < 2:
            continue
        weight = 1 / (rows.uncertainty_rel[mine] * power_w[mine]) ** 2
        mean = float(np.sum(weight * power_w[mine]) / np.sum(weight))
        square += float(np.sum(weight * (power_w[mine] - mean) ** 2))
        spare += n - 1
    if spare == 0:
        return None
    ratio = float(np.sqrt(square / spare))
    return ratio if ratio > _RATIO and float(chi2.sf(square, spare)) < _P else None
