"""The held-out networks' say in the choice of terms: a term that makes them worse does not stay.

Rows of single operators can ask for a term that does not carry over to networks. The networks that the design holds out
of the fit are asked: they enter no fit, but what they say about a term makes their error a little flattering, which is
why sealed networks, scored once and never asked, exist beside them (`energybench.records.sealed`).
"""

from __future__ import annotations

from typing import Final

import numpy as np

from energybench.fitting.least_squares import RelativeLeastSquares
from energybench.fitting.shrinkage import Shrinkage
from energybench.model.equation import Equation
from energybench.model.observations import Observations
from energybench.model.pricing import PricedRows, price_rows
from energybench.units import Watt

#: Fewer networks than this are not asked: the median of two is their mean.
FEWEST_NETWORKS: Final = 3


def network_error(
    rows: Observations,
    held: Observations,
    equation: Equation,
    shrinkage: Shrinkage | None = None,
    *,
    held_power_w: Watt | None = None,
) -> float | None:
    """Median over the networks of `held` of each one's median absolute error, fitted to `rows`, as a fraction.

    `held_power_w` is the power limit that no prediction exceeds. None where fewer than `FEWEST_NETWORKS` have a
    prediction.
    """
    fitted = RelativeLeastSquares(nonneg=equation.nonneg, shrinkage=shrinkage)
    fitted.fit(equation.features(rows.table).X, rows.energy_j)
    return networks_missed(held, price_rows(equation, fitted.coef_, held.table, held_power_w))


def networks_missed(held: Observations, priced: PricedRows) -> float | None:
    """Median over the networks of `held` of each one's median absolute error where its rows are so priced."""
    there = held.take(priced.design.kept)
    networks = networks_of(there)
    if networks is None:
        return None
    errors = np.abs(priced.total_j / there.energy_j - 1)
    return float(np.median([np.median(errors[members]) for members in networks.values()]))


def networks_of(held: Observations) -> dict[str, list[int]] | None:
    """Network -> indices of its rows; None where fewer than `FEWEST_NETWORKS` are named."""
    networks: dict[str, list[int]] = {}
    for i, name in enumerate(held.labels["network"]):
        if name is not None:
            networks.setdefault(str(name), []).append(i)
    return networks if len(networks) >= FEWEST_NETWORKS else None


def networks_object(before: float | None, after: float | None) -> bool:
    """Whether an error of the networks without the term and one with it speak against the term."""
    return before is not None and after is not None and after > before
