"""Fit `Efficiency` to what a roofline leaves of the times of operators; kept where it predicts operators left out."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from energybench.model.efficiency import ClassEfficiency, Efficiency, places
from energybench.model.features import FeatureTable, FloatArray
from energybench.model.gaussian_process import weigh_points

#: Operators of a kernel class from which its efficiency is learnt.
LEAST_ROWS: Final = 20
#: Operators of a kernel class that are kept: a profile stays below half a megabyte.
MOST_ROWS: Final = 250
#: Length scales (e-folds of a count) and noise over signal that are tried.
LENGTHS_TRIED: Final = (1.0, 2.0)
NOISES_TRIED: Final = (0.1, 0.3, 1.0)
#: Operators left out must be missed by this share less, and by this much less at all (e-folds).
_GAIN: Final = 0.05
_LEAST_GAIN: Final = 1e-3
#: A profile keeps this many digits of logarithms: a thousandth is a hundredth of what the law can tell.
_DIGITS: Final = 3


class LeftOut(NamedTuple):
    """The efficiency, and how far each operator's ln time lies from what the others say of it, (n,)."""

    efficiency: Efficiency
    missed: FloatArray


def fit_efficiency(part: FeatureTable, log_excess: FloatArray) -> LeftOut | None:
    """Efficiency of operators whose ln(time over roofline) is `log_excess` (n,); None where it tells nothing new.

    Length scale and noise are those with the smallest mean |error| of operators left out one by one, all classes alike.
    """
    classes = {
        name: index[np.linspace(0, index.size - 1, min(index.size, MOST_ROWS)).astype(np.intp)]
        for name in sorted({str(k) for k in part.kernel_class})
        if (index := np.flatnonzero(part.kernel_class == name)).size >= LEAST_ROWS
    }
    if not classes:
        return None
    at = np.round(places(part), _DIGITS)
    best: LeftOut | None = None
    for length in LENGTHS_TRIED:
        for noise in NOISES_TRIED:
            missed = log_excess.copy()
            found = {}
            for name, rows in classes.items():
                level = float(np.median(log_excess[rows]))
                weights, missed[rows] = weigh_points(at[rows], log_excess[rows] - level, length=length, noise=noise)
                found[name] = ClassEfficiency(level, at[rows], np.round(weights, _DIGITS))
            if best is None or np.mean(np.abs(missed)) < np.mean(np.abs(best.missed)):
                best = LeftOut(Efficiency(length, found), missed)
    assert best is not None
    before, after = float(np.mean(np.abs(log_excess))), float(np.mean(np.abs(best.missed)))
    return best if after < before * (1 - _GAIN) - _LEAST_GAIN else None
