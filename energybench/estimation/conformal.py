"""Conformal prediction with the network as unit: how many predicted standard deviations an interval must reach.

Windows of one network err together, so single residuals would promise coverage that a new network does not get. Each
network counts once, its windows sharing its weight equally (hierarchical conformal prediction: Lee, Barber and Willett,
"Distribution-free inference with hierarchical data", 2023, arXiv 2306.06342; Dunn, Wasserman and Ramdas 2022). For one
window of a new network that is exchangeable with the K known ones, coverage is at least the level whatever the law of
the errors. At level 0.9 this takes nine networks: K/(K + 1) must reach the level.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

#: Levels are decimal numbers; 0.9 of ten must not become 9.000000000000002.
_ROUNDING: Final = 1e-9


def networks_needed(level: float) -> int:
    """Fewest calibration networks for an interval at `level`: 9 at 0.9, 19 at 0.95."""
    return math.ceil(level / (1 - level) - _ROUNDING)


def conformal_factor(
    scores: Mapping[str, Sequence[float]], level: float, *, without: str | None = None
) -> float | None:
    """Half width in predicted standard deviations; None where there are too few networks for the level.

    Args:
        scores: network -> scores of its windows (`energybench.fitting.calibration`).
        level: of the interval, between 0 and 1.
        without: a network that the interval is for: it must not calibrate its own interval.
    """
    used = [sorted(values) for name, values in scores.items() if name != without and len(values)]
    if len(used) < networks_needed(level):
        return None
    weighted = sorted((score, 1 / len(values)) for values in used for score in values)
    reach = level * (len(used) + 1)  # the new network itself holds the last share, at infinity
    mass = 0.0
    for score, weight in weighted:
        mass += weight
        if mass >= reach - _ROUNDING:
            return score
    return weighted[-1][0]
