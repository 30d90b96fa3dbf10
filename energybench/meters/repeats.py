"""`repeated`: the mean of several windows over the same work, with the term that only repeating can show.

A single window cannot know that its sensor looks part of the time, or that the device drifts: that shows as a spread
between windows at different phases, and the interval of the mean is found from it.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from energybench.errors import UsageError
from energybench.meters.window import Window
from energybench.units import Joule

#: Two-sided 95 % quantiles of Student's t for 1, 2, … degrees of freedom (any table of the t distribution), and the
#: normal value beyond. scipy is not imported for thirty numbers.
_T_975: Final = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
    2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086,
    2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip
NORMAL_975: Final = 1.960


def t_975(degrees_of_freedom: int) -> float:
    """The 97.5 % quantile of Student's t, for at least one degree of freedom; the normal value beyond 30."""
    if degrees_of_freedom < 1:
        raise UsageError("an interval needs two values; repeat the measurement")
    return _T_975[degrees_of_freedom - 1] if degrees_of_freedom <= len(_T_975) else NORMAL_975


@dataclass(frozen=True, slots=True)
class Repeated:
    """Mean energy of one window of the same work.

    `repeat_j`       standard error of the mean, from the spread of the windows
    `uncertainty_j`  that, or what the windows say of themselves where it is larger; None where they say nothing
    `interval_j`     95 % interval of the mean
    """

    windows: int
    energy_j: Joule
    repeat_j: Joule
    uncertainty_j: Joule | None
    interval_j: tuple[Joule, Joule]


def repeated(windows: Sequence[Window]) -> Repeated:
    """Combine windows over the same work, taken at phases that have nothing to do with the sensor's.

    Raises:
        UsageError: fewer than two windows, or windows of different kinds.
    """
    if len(windows) < 2:
        raise UsageError("a spread needs two windows; repeat the measurement")
    if len({w.kind for w in windows}) > 1:
        raise UsageError("windows of different kinds have no common mean; repeat with one meter")
    energies_j = [w.energy_j for w in windows]
    mean_j = statistics.fmean(energies_j)
    repeat_j = statistics.stdev(energies_j) / math.sqrt(len(windows))
    # The windows' own uncertainties are in the spread already, except what chance hid from it: the larger of the two.
    own = [w.uncertainty_j for w in windows if w.uncertainty_j is not None]
    own_j = math.sqrt(sum(u**2 for u in own)) / len(windows) if len(own) == len(windows) else None
    half_j = max(t_975(len(windows) - 1) * repeat_j, NORMAL_975 * (own_j or 0.0))
    return Repeated(
        windows=len(windows),
        energy_j=mean_j,
        repeat_j=repeat_j,
        uncertainty_j=None if own_j is None else max(repeat_j, own_j),
        interval_j=(max(0.0, mean_j - half_j), mean_j + half_j),
    )
