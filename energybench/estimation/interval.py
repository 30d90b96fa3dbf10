"""Prediction intervals: what is unknown about the coefficients, the equation and the duration.

Parametric, Student's t: variance = xᵀΣx (coefficients) + (spread · E)² (an unseen workload about its prediction, from
workloads left out of the fit) + (static power · T · relative error of T)² where the time was predicted. The meter's
gain is left out: on the same device it cancels, since the coefficients carry it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from energybench.errors import UsageError
from energybench.model.features import FloatArray
from energybench.profiles.profile import DeviceProfile
from energybench.units import Joule


class EnergyInterval(NamedTuple):
    """Both ends of an interval, in joules."""

    low_j: Joule
    high_j: Joule


def half_widths_j(
    profile: DeviceProfile,
    X: FloatArray,
    energy_j: FloatArray,
    level: float,
    *,
    time_variance_j2: FloatArray | float = 0.0,
) -> FloatArray | None:
    """Half widths (n,) of intervals about energies (n,) with features X (n, k).

    None where the profile has no spread, so that nothing is known about an unseen workload. Raises UsageError on a
    level outside (0, 1).
    """
    if not 0 < level < 1:
        raise UsageError(f"level {level!r} is not between 0 and 1; use 0.9 for a 90 % interval")
    spread_rel = profile.diagnostics["spread_rel"]
    if spread_rel is None:
        return None
    from scipy.stats import t

    parameters = np.maximum(np.einsum("ij,jk,ik->i", X, profile.covariance, X), 0.0)
    variance = parameters + (spread_rel * energy_j) ** 2 + time_variance_j2
    dof = max(int(profile.diagnostics["n_workloads"]) - X.shape[1], 1)
    return np.asarray(t.ppf(0.5 + level / 2, dof) * np.sqrt(variance), dtype=np.float64)
