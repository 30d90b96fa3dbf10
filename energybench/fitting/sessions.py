"""Whether runs that are fitted together were measured under the same conditions.

An offset that scales all of one run alike (another temperature, another meter, a neighbour) is part of every
coefficient of a fit to that run alone, where nothing can show it. Between runs it shows in the workloads of both.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from energybench.model.observations import Observations

#: Chance of naming a difference between two runs that do not differ.
_P: Final = 1e-3
#: Workloads in common below which no difference is believed.
_LEAST_PAIRS: Final = 3


def session_offsets(rows: Observations) -> Mapping[str, float]:
    """Run -> how much more power it drew than the first run for the same workloads, where that is beyond chance.

    Paired by workload, whose log powers are compared, idle windows being one workload; Student's t over the pairs.
    """
    from scipy.stats import t

    runs = list(dict.fromkeys(map(str, rows.labels["run_id"])))
    if len(runs) < 2:
        return {}
    log_power = np.log(rows.energy_j / rows.time_s)
    workload = np.where(rows.idle, "idle", rows.labels["workload"].astype(str))
    means: dict[str, dict[str, float]] = {}
    for run in runs:
        mine = rows.labels["run_id"] == run
        names, codes = np.unique(workload[mine], return_inverse=True)
        values = np.bincount(codes, log_power[mine]) / np.bincount(codes)
        means[run] = dict(zip(map(str, names), map(float, values), strict=True))
    first = means[runs[0]]
    offsets: dict[str, float] = {}
    for run in runs[1:]:
        gaps = np.array([means[run][name] - first[name] for name in first if name in means[run]])
        if len(gaps) < _LEAST_PAIRS:
            continue
        mean, error = float(np.mean(gaps)), float(np.std(gaps, ddof=1) / np.sqrt(len(gaps)))
        if 2 * float(t.sf(abs(mean) / error, len(gaps) - 1)) < _P if error > 0 else mean != 0:
            offsets[run] = float(np.expm1(mean))
    return offsets
