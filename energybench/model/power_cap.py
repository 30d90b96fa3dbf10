"""Durations that a profile predicts, and the energies that go with them."""

from __future__ import annotations

import numpy as np

from energybench.model.equation import Equation
from energybench.model.features import FeatureTable, FloatArray
from energybench.model.time_law import TimeLaw


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
