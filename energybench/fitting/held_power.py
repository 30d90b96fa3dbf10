"""Which rows a power limit holds: they tell the limit, not what the work costs.

Where a device tells its clock, `clock_saving_j` prices what the lower voltage saves. Where it does not, or tells one
that explains nothing, the rows at the limit still show themselves: they draw the same power whatever they compute. Such
rows leave the fit, whose coefficients are then those of the highest clock, and no prediction exceeds limit × duration
(`energybench.model.power_cap`). Null models keep them (`energybench.fitting.null_rows`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from energybench.fitting.clusters import cluster_labels
from energybench.fitting.development import network_error, networks_object
from energybench.fitting.least_squares import RelativeLeastSquares
from energybench.fitting.optional_terms import ChosenTerms, needed_terms
from energybench.fitting.workload_squares import improves, workload_squares
from energybench.model.features import BoolArray
from energybench.model.observations import Observations
from energybench.model.physical import physical_equation
from energybench.model.pricing import price_rows
from energybench.units import Watt

#: Mean powers of workloads at the limit lie this close together: a window's noise, and how tightly a limit holds.
_PLATEAU_REL: Final = 0.02
#: The plateau is the limit that the device tells only if it lies this close: meters' gains differ by some percent.
_GAIN_REL: Final = 0.1
#: Two workloads that draw most may be alike by chance.
_FEWEST_WORKLOADS: Final = 3


class HeldRows(NamedTuple):
    """Rows that a power limit holds.

    `power_w`  what the limit is on the meter's scale
    `rows`     which rows it holds, shape (n,)
    `terms`    optional terms that the rows below it need
    """

    power_w: Watt
    rows: BoolArray
    terms: ChosenTerms


def held_by_limit(
    rows: Observations,
    networks: Observations | None = None,
    *,
    terms: Sequence[str] = (),
    by_kernel_class: bool = False,
) -> HeldRows | None:
    """The rows that a power limit holds, or None where nothing asks for one.

    It takes records that tell a limit, and at least three workloads that draw most and alike, near it; an F-test over
    workloads (`improves`) against the equation with the optional `terms` that all rows ask for; rows below the limit
    that still tell every coefficient; and held-out networks, where there are enough, that are not predicted worse.
    """
    found = _plateau(rows)
    if found is None:
        return None
    power_w, held = found
    plain = physical_equation(rows.table, by_kernel_class=by_kernel_class, optional=terms)
    X = plain.features(rows.table).X
    if ((X != 0).any(axis=0) & ~(X[~held] != 0).any(axis=0)).any():
        return None
    below = rows.take(~held)
    needed = needed_terms(below, networks, by_kernel_class=by_kernel_class, held_power_w=power_w)
    equation = physical_equation(below.table, by_kernel_class=by_kernel_class, optional=needed.kept)
    before = RelativeLeastSquares(nonneg=plain.nonneg).fit(X, rows.energy_j)
    after = RelativeLeastSquares(nonneg=equation.nonneg).fit(equation.features(below.table).X, below.energy_j)
    without = workload_squares(rows, before.predict(X), len(plain.terms))
    priced = price_rows(equation, after.coef_, rows.table, power_w)
    if not improves(without, workload_squares(rows, priced.total_j, len(equation.terms) + 1)):
        return None
    if networks is not None and len(networks):
        missed = network_error(rows, networks, plain), network_error(below, networks, equation, held_power_w=power_w)
        if networks_object(*missed):
            return None
    return HeldRows(power_w, held, needed)


def _plateau(rows: Observations) -> tuple[Watt, BoolArray] | None:
    """The power of workloads that draw most and alike, near the limit that the records tell, and their rows (n,)."""
    work = ~rows.idle
    caps = np.unique(rows.table.column("power_cap_w")[work])
    if len(caps) != 1 or not np.isfinite(caps[0]):
        return None
    _, clusters = np.unique(cluster_labels(rows), return_inverse=True)
    power_w = np.bincount(clusters, rows.energy_j / rows.time_s) / np.bincount(clusters)
    of_work = np.bincount(clusters, work) > 0
    near_most = of_work & (power_w >= (1 - _PLATEAU_REL) * power_w[of_work].max())
    level_w = float(np.median(power_w[near_most]))
    at_level = of_work & (power_w >= (1 - _PLATEAU_REL) * level_w)
    if abs(level_w / float(caps[0]) - 1) > _GAIN_REL or int(at_level.sum()) < _FEWEST_WORKLOADS:
        return None
    return level_w, at_level[clusters]
