"""Which rows a power limit holds: they tell the limit, not what the work costs.

Where a device tells its clock, `clock_saving_j` prices what the lower voltage saves. Where it does not, the rows at the
limit still show themselves: they draw the same power whatever they compute. Such rows leave the fit, whose coefficients
are then those of the highest clock, and no prediction exceeds limit × duration (`energybench.model.power_cap`).
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from energybench.fitting.clusters import cluster_labels
from energybench.fitting.development import network_error, networks_object
from energybench.fitting.least_squares import RelativeLeastSquares
from energybench.fitting.workload_squares import improves, workload_squares
from energybench.model.features import BoolArray
from energybench.model.observations import Observations
from energybench.model.physical import missing_columns, physical_equation
from energybench.model.pricing import price_rows
from energybench.units import Watt

#: Mean powers of workloads at the limit lie this close together: a window's noise, and how tightly a limit holds.
_PLATEAU_REL: Final = 0.02
#: The plateau is the limit that the device tells only if it lies this close: meters' gains differ by some percent.
_GAIN_REL: Final = 0.1
#: Two workloads that draw most may be alike by chance.
_FEWEST_WORKLOADS: Final = 3


class HeldRows(NamedTuple):
    """`power_w`: what the limit is on the meter's scale. `rows`: which rows it holds, shape (n,)."""

    power_w: Watt
    rows: BoolArray


def held_by_limit(rows: Observations, networks: Observations | None = None) -> HeldRows | None:
    """The rows that a power limit holds, or None where nothing asks for one.

    It takes gross energy, records that tell a limit and no clock, and at least three workloads that draw most and
    alike, near that limit; an F-test over workloads (`improves`); rows below the limit that still tell every
    coefficient; and held-out networks, where there are enough, that are not predicted worse.
    """
    found = _plateau(rows)
    if found is None:
        return None
    equation = physical_equation(rows.table)
    X = equation.features(rows.table).X
    plain = RelativeLeastSquares(nonneg=equation.nonneg).fit(X, rows.energy_j)
    below = RelativeLeastSquares(nonneg=equation.nonneg)
    if (below.carried(X[~found.rows]) != below.carried(X)).any():
        return None
    below.fit(X[~found.rows], rows.energy_j[~found.rows])
    predicted_j = price_rows(equation, below.coef_, rows.table, found.power_w).total_j
    without = workload_squares(rows, plain.predict(X), X.shape[1])
    if not improves(without, workload_squares(rows, predicted_j, X.shape[1] + 1)):
        return None
    if networks is not None and len(networks):
        before = network_error(rows, networks, equation)
        after = network_error(rows.take(~found.rows), networks, equation, held_power_w=found.power_w)
        if networks_object(before, after):
            return None
    return found


def _plateau(rows: Observations) -> HeldRows | None:
    """Workloads that draw most and alike, where that is near the limit the records tell."""
    work = ~rows.idle
    caps = np.unique(rows.table.column("power_cap_w")[work])
    if rows.target != "gross" or len(caps) != 1 or not np.isfinite(caps[0]):
        return None
    if not missing_columns("clock_saving_j", rows.table):
        return None
    _, clusters = np.unique(cluster_labels(rows), return_inverse=True)
    power_w = np.bincount(clusters, rows.energy_j / rows.time_s) / np.bincount(clusters)
    of_work = np.bincount(clusters, work) > 0
    near_most = of_work & (power_w >= (1 - _PLATEAU_REL) * power_w[of_work].max())
    level_w = float(np.median(power_w[near_most]))
    at_level = of_work & (power_w >= (1 - _PLATEAU_REL) * level_w)
    if abs(level_w / float(caps[0]) - 1) > _GAIN_REL or int(at_level.sum()) < _FEWEST_WORKLOADS:
        return None
    return HeldRows(level_w, at_level[clusters])
