"""Prediction intervals: what is unknown about the coefficients, the equation and the duration.

The predicted variance (`energybench.model.predicted_spread`) is widened by a factor. For networks it is conformal where
the profile knows enough networks that its fit never saw; else, and for single operators, it is Student's t, which takes
the spread over left-out workloads for that of networks. A predicted time adds, in square, the power by time times what
the time's interval reaches up (`energybench.estimation.time_interval`), since networks were scored at measured times.
The meter's gain is left out unless it is asked for: on the same device it cancels, since the coefficients carry it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from energybench.errors import UsageError
from energybench.estimation.conformal import conformal_factor, networks_needed
from energybench.estimation.time_interval import time_method
from energybench.model.features import FloatArray
from energybench.model.predicted_spread import predicted_variance_j2
from energybench.profiles.profile import DeviceProfile
from energybench.units import Joule

#: A network that the profile need not know; its own name where it has one, so that it does not calibrate itself.
ANY_NETWORK: Final = ""


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
    networks: Sequence[str | None] | None = None,
    time_half_j: FloatArray | float = 0.0,
    scale_rel: float = 0.0,
) -> FloatArray | None:
    """Half widths (n,) of intervals about energies (n,) with features X (n, k).

    `networks` names the network of each row (`ANY_NETWORK` for one without a name), None for what is no network.
    `time_half_j` is the half width that a predicted time adds, at the same level. `scale_rel` is a relative standard
    uncertainty of the scale (normal law), for joules that another meter is to show.
    None where the profile has no spread, so that nothing is known about an unseen workload. Raises UsageError on a
    level outside (0, 1).
    """
    from scipy.stats import norm

    _check_level(level)
    spread_rel = profile.diagnostics["spread_rel"]
    if spread_rel is None:
        return None
    factor = np.full(len(X), _student_factor(profile, level))
    if networks is not None:
        for name in {n for n in networks if n is not None}:
            if (conformal := conformal_factor(profile.network_scores, level, without=name)) is not None:
                factor[[n == name for n in networks]] = conformal
    variance = predicted_variance_j2(X, energy_j, profile.covariance, spread_rel)
    scale_half_j = float(norm.ppf(0.5 + level / 2)) * scale_rel * energy_j
    return np.asarray(np.sqrt(factor**2 * variance + np.square(time_half_j) + scale_half_j**2), dtype=np.float64)


def interval_method(
    profile: DeviceProfile, level: float, *, network: str | None = ANY_NETWORK, time_predicted: bool = False
) -> str:
    """How an interval of a network (None: of an operator) came about, in words."""
    _check_level(level)
    law = profile.time_law
    time = f"; predicted time {time_method(law, level)}" if time_predicted and law is not None else ""
    if network is None:
        return "parametric (Student's t): coefficients and spread over left-out workloads" + time
    known = sum(name != network for name in profile.network_scores)
    if known >= networks_needed(level):
        return f"conformal over {known} networks that the fit never saw" + time
    return (
        f"parametric (Student's t), since only {known} calibration networks are known and {level:.0%} needs "
        f"{networks_needed(level)}" + time
    )


def _student_factor(profile: DeviceProfile, level: float) -> float:
    from scipy.stats import t

    dof = max(int(profile.diagnostics["n_workloads"]) - len(profile.coefficients), 1)
    return float(t.ppf(0.5 + level / 2, dof))


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise UsageError(f"level {level!r} is not between 0 and 1; use 0.9 for a 90 % interval")
