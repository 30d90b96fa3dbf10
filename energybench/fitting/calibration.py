"""How far networks lie from predictions that never saw them, in predicted standard deviations.

These scores calibrate prediction intervals (`energybench.estimation.conformal`). A network among the fitted rows is
predicted by the refit without it, a held-out network by the fit itself.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from energybench.fitting.validation import Sample, SplitScore, Validation
from energybench.model.features import FloatArray
from energybench.model.predicted_spread import predicted_variance_j2


def network_scores(
    scored: Validation | None, sample: Sample, heldout: Sample | None, covariance: FloatArray, spread_rel: float | None
) -> Mapping[str, tuple[float, ...]]:
    """Network -> |recorded − predicted| / predicted standard deviation of each of its windows.

    Empty where the fit was not validated, has no spread, or its rows name no network.
    """
    if scored is None or spread_rel is None:
        return {}
    found: dict[str, list[float]] = {}
    for split, rows in ((scored.leave_one_out, sample), (scored.heldout, heldout)):
        if split is None or rows is None or split.unit != "network":
            continue
        for name, score in _scores(split, rows, covariance, spread_rel):
            found.setdefault(name, []).append(score)
    return {name: tuple(sorted(values)) for name, values in sorted(found.items())}


def _scores(split: SplitScore, sample: Sample, covariance: FloatArray, spread_rel: float) -> list[tuple[str, float]]:
    recorded = sample.rows.energy_j[split.rows]
    predicted = recorded * (1 + split.error_rel)
    variance = predicted_variance_j2(sample.X[split.rows], predicted, covariance, spread_rel)
    networks = sample.rows.labels["network"][split.rows]
    usable = np.isfinite(predicted) & (variance > 0)
    return [
        (str(networks[i]), float(abs(recorded[i] - predicted[i]) / np.sqrt(variance[i])))
        for i in np.flatnonzero(usable)
        if networks[i] is not None
    ]
