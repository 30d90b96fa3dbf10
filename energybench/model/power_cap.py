"""What a power limit does to durations that a profile predicts, and to the energy of work that it holds."""

from __future__ import annotations

import numpy as np

from energybench.model.equation import Equation
from energybench.model.features import FeatureTable, FloatArray
from energybench.model.time_law import TimeLaw
from energybench.units import Watt

#: Roles of arithmetic, whose energy falls with the square of the voltage when a limit brings the clock down.
_ARITHMETIC = ("compute", "other_flops")


def timed_power_w(equation: Equation, coef: FloatArray, X: FloatArray, time_s: FloatArray) -> FloatArray:
    """Power (n,) that the terms of a duration draw, from features X (n, k) of durations (n,)."""
    by_time = np.array(["time_s" in term.columns for term in equation.terms])
    return np.asarray(X[:, by_time] @ coef[by_time] / time_s, dtype=np.float64)


def capped_time_s(law: TimeLaw, equation: Equation, coef: FloatArray, table: FeatureTable) -> FloatArray:
    """The table's durations (n,) under the law's power cap, if it has one; rows that are not priced keep theirs."""
    time_s = table.column("time_s")
    if law.power_cap_w is None:
        return time_s
    design = equation.features(table)
    result = time_s.copy()
    inside = time_s[design.kept]
    power_w = timed_power_w(equation, coef, design.X, inside)
    result[design.kept] = law.under_cap_s(inside, design.X @ coef, power_w)
    return result


def held_features(
    equation: Equation, coef: FloatArray, X: FloatArray, time_s: FloatArray, held_power_w: Watt | None
) -> FloatArray:
    """Features (n, k) of work that a power limit holds: as X, but no row draws more than `held_power_w` in its time.

    A limit lets the clock fall until the mean power is the limit, and the voltage falls with it. Whatever that curve
    is, the energy is the limit times the duration, and V² is what makes it so: arithmetic costs what the rest leaves.
    Rows below the limit, rows without a duration, and all rows where `held_power_w` is None stay as they are; the price
    of arithmetic never falls below 0.
    """
    if held_power_w is None:
        return X
    arithmetic = np.array([term.role in _ARITHMETIC for term in equation.terms])
    work_j = X[:, arithmetic] @ coef[arithmetic]
    rest_j = X[:, ~arithmetic] @ coef[~arithmetic]
    most_j = held_power_w * time_s
    over = (time_s > 0) & (work_j > 0) & (work_j + rest_j > most_j)
    voltage_squared = np.ones(len(X))
    voltage_squared[over] = np.maximum(most_j[over] - rest_j[over], 0.0) / work_j[over]
    return np.asarray(np.where(arithmetic, X * voltage_squared[:, None], X), dtype=np.float64)
