"""Gains of further units of one model, from the workloads that they have in common with the first.

Two boards of one model draw different power for the same work. One factor for all of a unit's energies is all that is
allowed to differ here: the gain of its meter and the spread of manufacture together, which no record can tell apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from energybench.errors import RecordError

#: Workloads in common below which no gain is found.
LEAST_PAIRS: Final = 5
#: A unit further off than this is no second unit of the model in the same state: sensors of the 5 % class differ by
#: 7 % at one standard deviation, three of which are 21 %; the rest is left to the spread of manufacture.
MOST_GAIN_REL: Final = 0.25


@dataclass(frozen=True, slots=True)
class UnitGain:
    """How many times the first unit's energies a unit shows.

    `gain_se`     standard error of the gain
    `scatter_rel` what one factor leaves unexplained: relative standard deviation between workloads
    """

    gain: float
    gain_se: float
    pairs: int
    scatter_rel: float


def unit_gain(first: Mapping[str, float], other: Mapping[str, float]) -> UnitGain:
    """The gain of a unit over the first, from the energy per call of the workloads of both.

    The mean of the logarithms of their ratios; its error is that of the mean of the pairs.

    Raises:
        RecordError: too few workloads in common, an energy that is not positive, or a gain that is too large.
    """
    common = [name for name in first if name in other]
    if len(common) < LEAST_PAIRS:
        raise RecordError(
            f"the units have {len(common)} workloads in common and a gain needs {LEAST_PAIRS}; "
            "run the same design on both"
        )
    pairs = np.array([(first[name], other[name]) for name in common], dtype=np.float64)
    if not bool((pairs > 0).all()):
        raise RecordError("an energy of a unit is not positive; leave that window out")
    ratios = np.log(pairs[:, 1] / pairs[:, 0])
    scatter = float(np.std(ratios, ddof=1))
    gain = float(np.exp(np.mean(ratios)))
    if abs(np.log(gain)) > np.log1p(MOST_GAIN_REL):
        raise RecordError(
            f"a unit draws {gain - 1:+.0%} against the first for the same workloads, more than {MOST_GAIN_REL:.0%}: "
            "something else differs; fit them apart"
        )
    return UnitGain(gain, gain * scatter / float(np.sqrt(len(common))), len(common), scatter)
