"""Fit `ResidualLearner` to what an equation leaves; kept where it predicts workloads left out better."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from energybench.fitting.clusters import cluster_labels
from energybench.model.features import FloatArray
from energybench.model.gaussian_process import weigh_points
from energybench.model.observations import Observations
from energybench.model.residual import ResidualLearner, mean_operator

#: Fewer workloads say nothing of one another.
_LEAST_WORKLOADS: Final = 20
#: Length scales (e-folds of a count) and noise over signal that are tried.
_LENGTHS_TRIED: Final = (0.5, 1.0, 2.0, 4.0)
_NOISES_TRIED: Final = (0.03, 0.1, 0.3, 1.0)
#: Workloads left out must be missed by a tenth less, as a root mean square; the best of the tries flatters itself.
_WORTH: Final = 0.9


class LearntResidual(NamedTuple):
    """What was learnt.

    `before_rms_rel`  root mean square relative error of workloads without the learner
    `after_rms_rel`   the same with it, each workload left out
    `unpriced`        rows that it was not learnt from, since the equation prices their work at 0 J or less
    """

    learner: ResidualLearner
    before_rms_rel: float
    after_rms_rel: float
    unpriced: int

    def spread_rel(self, spread_rel: float | None) -> float | None:
        """The spread over left-out workloads with the learner, from that of the equation alone."""
        if spread_rel is None:
            return None
        left = spread_rel**2 - self.before_rms_rel**2 + self.after_rms_rel**2
        return max(self.after_rms_rel, float(np.sqrt(max(left, 0.0))))


def fit_residual(rows: Observations, predicted_j: FloatArray) -> LearntResidual | None:
    """A learner of ln(recorded over predicted) by workload; None where it does not predict workloads left out better.

    Work that the equation prices at 0 J or less (a coefficient at its bound, a saving above the cost) has no ratio: it
    is passed over, and no factor is applied to it (`price_rows`).

    Args:
        rows: the fitted rows, idle windows being passed over.
        predicted_j: what the equation predicts of them (n,).
    """
    priced = ~rows.idle & (predicted_j > 0)
    work = rows.take(priced)
    log_ratio = np.log(work.energy_j / predicted_j[priced])
    _, first, clusters = np.unique(cluster_labels(work), return_index=True, return_inverse=True)
    if len(first) < _LEAST_WORKLOADS:
        return None
    values = np.bincount(clusters, log_ratio) / np.bincount(clusters)
    points = mean_operator(work.table.take(first))
    tried = [
        (length, weigh_points(points, values, length=length, noise=noise))
        for length in _LENGTHS_TRIED
        for noise in _NOISES_TRIED
    ]
    length, best = min(tried, key=lambda one: float(np.mean(one[1].missed ** 2)))
    before, after = (float(np.sqrt(np.mean(np.expm1(v) ** 2))) for v in (values, best.missed))
    if after >= _WORTH * before:
        return None
    learner = ResidualLearner(length, points, best.weights)
    return LearntResidual(learner, before, after, int((~rows.idle & ~priced).sum()))
