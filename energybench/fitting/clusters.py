"""Which rows err together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from energybench.model.observations import Observations

if TYPE_CHECKING:
    from numpy.typing import NDArray


def cluster_labels(rows: Observations) -> NDArray[np.str_]:
    """What errs together: the rows of one workload, but every idle window by itself.

    Idle windows have no work whose misfit they could share; one cluster of them all would leave static power without
    degrees of freedom.
    """
    workloads = rows.labels["workload"].astype(str)
    windows = [f"{w}, window {rows.labels['run_id'][i]}/{rows.labels['row_id'][i]}" for i, w in enumerate(workloads)]
    return np.where(rows.idle, np.array(windows, dtype=str), workloads.astype(str))
