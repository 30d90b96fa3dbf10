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
    labels = np.array(rows.labels["workload"], dtype=object)
    run, row = rows.labels["run_id"], rows.labels["row_id"]
    for i in np.flatnonzero(rows.idle):
        labels[i] = f"{labels[i]}, window {run[i]}/{row[i]}"
    return labels.astype(str)
