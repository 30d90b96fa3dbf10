"""A steady drift of power over a run: found in repeats of the same workloads, and taken out before anything is fitted.

The same workload at another minute must draw the same power; a meter whose gain wanders or a device that warms up draws
more and more. The slope is that of log power against time within workloads (fixed effects), so that no misfit of any
equation can pose as drift. Energies are brought to the run's middle: what is left in them is the mean state of the run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from energybench.model.observations import Observations

#: Chance of correcting a run that does not drift.
_P: Final = 1e-3
#: Degrees of freedom below which a slope is not worth believing.
_LEAST_DOF: Final = 10
_S_PER_MIN: Final = 60.0


@dataclass(frozen=True)
class Drift:
    """Slope of log power over one run and its standard error, per minute; energies at `middle_s` stay as they are."""

    slope_per_min: float
    bse_per_min: float
    middle_s: float


def measure_drifts(rows: Observations) -> Mapping[str, Drift]:
    """Runs whose power drifts beyond chance; empty where windows carry no time or workloads are not repeated."""
    found: dict[str, Drift] = {}
    for run in dict.fromkeys(map(str, rows.labels["run_id"])):
        inside = (rows.labels["run_id"] == run) & np.isfinite(rows.begin_s)
        drift = _of_run(rows.take(np.asarray(inside, dtype=np.bool_)))
        if drift is not None:
            found[run] = drift
    return found


def _of_run(rows: Observations) -> Drift | None:
    from scipy.stats import t

    if len(rows) == 0:
        return None
    gross_j = rows.energy_j + rows.idle_energy_j if rows.target == "net" else rows.energy_j
    log_power = np.log(gross_j / rows.time_s)
    minutes = rows.begin_s / _S_PER_MIN
    names, groups = np.unique(rows.labels["workload"].astype(str), return_inverse=True)
    groups = np.where(rows.idle, len(names), groups)  # idle windows are one workload, whatever they are called
    _, groups = np.unique(groups, return_inverse=True)
    count = np.bincount(groups)
    x = minutes - (np.bincount(groups, minutes) / count)[groups]
    y = log_power - (np.bincount(groups, log_power) / count)[groups]
    dof = len(rows) - len(count) - 1
    square = float(x @ x)
    if dof < _LEAST_DOF or square == 0:
        return None
    slope = float(x @ y) / square
    bse = float(np.sqrt(np.sum((y - slope * x) ** 2) / dof / square))
    if bse == 0 or 2 * float(t.sf(abs(slope) / bse, dof)) >= _P:
        return None
    return Drift(slope, bse, float(np.mean(rows.begin_s)))


def without_drift(rows: Observations, drifts: Mapping[str, Drift]) -> Observations:
    """The same rows with their energies brought to the middle of their run."""
    energy_j = rows.energy_j.copy()
    for run, drift in drifts.items():
        inside = (rows.labels["run_id"] == run) & np.isfinite(rows.begin_s)
        factor = np.exp(-drift.slope_per_min * (rows.begin_s[inside] - drift.middle_s) / _S_PER_MIN)
        gross_j = energy_j[inside] + (rows.idle_energy_j[inside] if rows.target == "net" else 0.0)
        energy_j[inside] += gross_j * (factor - 1)
    return rows.with_energy(energy_j)
