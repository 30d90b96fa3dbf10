"""Whether rows miss the fit by more than their measurement explains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from energybench.model.features import FloatArray
from energybench.model.observations import Observations

#: Misfit: residual over measurement error, as a variance ratio, and the chance of it under a right equation.
_MISFIT_VARIANCE_RATIO: Final = 2.0
_MISFIT_P: Final = 1e-3
_WORST_SHOWN: Final = 3


@dataclass(frozen=True)
class Misfit:
    """Whether rows miss the fit by more than their measurement explains.

    `ratio`      root mean square over workloads of (mean relative residual / its measurement uncertainty); 1 is perfect
    `p_value`    chance of a ratio as large were the equation right
    `present`    ratio above √2 and p below 0.001
    `worst`      workloads that miss most -> mean of (fitted − recorded) / recorded
    """

    ratio: float
    p_value: float
    present: bool
    worst: Mapping[str, float]

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready mapping."""
        return {"ratio": self.ratio, "p_value": self.p_value, "present": self.present, "worst": dict(self.worst)}


def measure_misfit(
    rows: Observations, X: FloatArray, fitted: FloatArray, clusters: NDArray[np.intp], names: NDArray[np.str_]
) -> Misfit | None:
    """Compare each workload's mean relative residual with how well it was measured; None where nothing says how well.

    Args:
        rows: the fitted rows.
        X: their design matrix (n, k).
        fitted: fitted energies (n,).
        clusters: code of each row's workload (n,).
        names: the workloads by code.
    """
    from scipy.stats import chi2

    relative = rows.energy_j / np.where(fitted > 0, fitted, np.nan) - 1
    relative = np.where(np.isfinite(relative), relative, 1.0)
    count = np.bincount(clusters)
    mean = np.bincount(clusters, relative) / count
    within = np.bincount(clusters, (relative - mean[clusters]) ** 2)
    spare = int(np.sum(count - 1))
    pooled = float(np.sum(within) / spare) if spare > 0 else np.nan
    window = rows.uncertainty_rel**2
    known = np.isfinite(window)
    stated = np.bincount(clusters, np.where(known, window, 0.0)) / np.maximum(np.bincount(clusters, known), 1)
    # the larger of what a window states and what repeats show, so that neither hides the other
    variance = np.fmax(np.where(stated > 0, stated, np.nan), pooled) / count
    usable = np.isfinite(variance) & (variance > 0)
    left = int(usable.sum()) - int((X != 0).any(axis=0).sum())
    if left <= 0:
        return None
    square = float(np.sum(mean[usable] ** 2 / variance[usable]))
    p_value = float(chi2.sf(square, left))
    signed = np.bincount(clusters, fitted / rows.energy_j - 1) / count
    order = np.argsort(-np.abs(mean))[:_WORST_SHOWN]
    return Misfit(
        float(np.sqrt(square / left)),
        p_value,
        square / left > _MISFIT_VARIANCE_RATIO and p_value < _MISFIT_P,
        {str(names[i]): float(signed[i]) for i in order},
    )
