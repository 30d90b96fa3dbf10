"""Runs of several units of one model in one fit: a gain for each, and what the gains leave unknown.

A unit's gain is its meter's and the spread of manufacture together. The rows tell how units stand to each other; what
is known of a meter's class alone fixes the common scale, which is that of the units' mean. Two errors remain, of two
kinds. How well the gains are told from each other enters the covariance of the coefficients. The common scale does
not: on the units' own scale it cancels. It is added where absolute joules are asked for (`scale_rel`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from energybench.fitting.clusters import cluster_labels
from energybench.fitting.gain import GainLeastSquares
from energybench.model.features import FloatArray
from energybench.model.observations import Observations
from energybench.model.physical import physical_equation

#: A meter's class where none is stated: so wide that it tells the rows nothing.
_ANY_GAIN_REL = 1.0


@dataclass(frozen=True)
class PooledUnits:
    """Gains over the units' mean and their relative standard errors, by unit."""

    gains: Mapping[str, float]
    gain_se_rel: Mapping[str, float]


def measure_units(rows: Observations, gain_rel: float | None) -> PooledUnits | None:
    """Gains of the units in `rows`, from the plain physical equation; None for fewer than two units.

    `gain_rel` is the relative standard uncertainty of a meter's scale, None where it is not stated. Raises FitError.
    """
    if "unit" not in rows.labels or len(set(rows.labels["unit"])) < 2:
        return None
    equation = physical_equation(rows.table)
    design = equation.features(rows.table)
    there = rows.take(design.kept)
    groups = [str(unit) for unit in there.labels["unit"]]
    estimator = GainLeastSquares(gain_rel=gain_rel or _ANY_GAIN_REL, nonneg=equation.nonneg)
    estimator.fit(design.X, there.energy_j, groups=groups, clusters=list(cluster_labels(there)))
    names = list(dict.fromkeys(groups))
    return PooledUnits(
        dict(zip(names, map(float, estimator.gains_), strict=True)),
        dict(zip(names, map(float, estimator.gain_se_rel_), strict=True)),
    )


def on_common_scale(rows: Observations, pooled: PooledUnits) -> Observations:
    """The same rows with energies and idle powers as the units' mean would show them."""
    gains = np.array([pooled.gains[str(unit)] for unit in rows.labels["unit"]])
    table = rows.table.with_column("idle_power_w", rows.table.column("idle_power_w") / gains)
    return replace(rows.with_energy(rows.energy_j / gains), table=table)


def gain_covariance(
    X: FloatArray, energy_j: FloatArray, weights: FloatArray, rows: Observations, pooled: PooledUnits
) -> FloatArray:
    """What the errors of the gains add to the covariance of coefficients fitted to X (n, k): (k, k).

    ∂c/∂ln g_u = −(XᵀWX)⁻¹ X_uᵀ W y_u, W = `weights` (n,).
    """
    scale = np.linalg.norm(X * np.sqrt(weights)[:, None], axis=0)
    scale[scale == 0] = 1.0
    unit_X = X / scale
    inverse = np.linalg.pinv(unit_X.T @ (weights[:, None] * unit_X))
    result = np.zeros((X.shape[1], X.shape[1]))
    for unit, se in pooled.gain_se_rel.items():
        mine = rows.labels["unit"].astype(str) == unit
        moved = inverse @ (unit_X[mine].T @ (weights[mine] * energy_j[mine])) / scale
        result += se**2 * np.outer(moved, moved)
    return result
