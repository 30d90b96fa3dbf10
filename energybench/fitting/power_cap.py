"""Whether a power limit belongs into the time law: it stays only if held-out networks' durations come out better."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from energybench.fitting.development import networks_of
from energybench.fitting.time_fit import fit_time_law
from energybench.model.equation import Equation
from energybench.model.features import FeatureTable, FloatArray
from energybench.model.observations import Observations
from energybench.model.power_cap import capped_time_s
from energybench.model.time_law import TimeLaw
from energybench.units import Watt

#: Work that a limit stretches by less than this says little of how the voltage falls.
_LEAST_STRETCH: Final = 1.02
#: One voltage at all clocks, and a voltage that falls as the clock does.
_EXPONENTS: Final = (1 / 3, 1.0)
#: Rows whose fitted power is above this share of the limit may be held by it: their time tells nothing of the rates.
_NEAR: Final = 0.95


def with_power_cap(
    law: TimeLaw,
    rows: Observations,
    held: Observations,
    equation: Equation,
    coef: FloatArray,
    timings: FeatureTable | None = None,
    held_power_w: Watt | None = None,
) -> TimeLaw:
    """The law under the power limit that the records tell, where it predicts the held-out networks' times better.

    The law without a limit where the records tell none or several, where no row comes near it, or where there are too
    few networks to ask. `held_power_w` is what the limit is on the meter's scale, where rows show it. Operators that
    were timed without a meter keep their rows: none is known to be near the limit.
    """
    caps = np.unique(rows.table.column("power_cap_w")[~rows.idle])
    if rows.target != "gross" or len(caps) != 1 or not np.isfinite(caps[0]):
        return law
    design = equation.features(rows.table)
    near = np.zeros(len(rows), dtype=np.bool_)
    limit_w = float(caps[0]) if held_power_w is None else held_power_w
    near[design.kept] = design.X @ coef > _NEAR * limit_w * rows.time_s[design.kept]
    below = fit_time_law(rows.table, rows=~near) if timings is None else law
    if not near.any() or below is None or not below.covers(rows.table.dtypes):
        return law
    capped = replace(below, power_cap_w=limit_w)
    if held_power_w is not None:
        capped = replace(capped, cap_exponent=_exponent(capped, rows, equation, coef))
    before, after = (_time_error(one, held, equation, coef) for one in (law, capped))
    return capped if before is not None and after is not None and after < before else law


def _exponent(law: TimeLaw, rows: Observations, equation: Equation, coef: FloatArray) -> float:
    """Power of the stretch at one voltage that held rows were stretched by, least squares on logarithms."""
    work = rows.take(~rows.idle)
    base_s = law.predict_s(work.table)
    stretch = capped_time_s(law, equation, coef, work.table.with_column("time_s", base_s)) / base_s
    held = stretch > _LEAST_STRETCH
    if not held.any():
        return 1.0
    told, taken = np.log(stretch[held]), np.log(work.time_s[held] / base_s[held])
    return float(np.clip(told @ taken / (told @ told), *_EXPONENTS))


def _time_error(law: TimeLaw, held: Observations, equation: Equation, coef: FloatArray) -> float | None:
    """Median over networks of each one's median |ln(predicted / taken)|; None where too few have a prediction."""
    networks = networks_of(held)
    if networks is None or not law.covers(held.table.dtypes):
        return None
    predicted = capped_time_s(law, equation, coef, held.table.with_column("time_s", law.predict_s(held.table)))
    missed = np.abs(np.log(predicted / held.time_s))
    return float(np.median([np.median(missed[members]) for members in networks.values()]))
