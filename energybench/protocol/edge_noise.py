"""The noise of the meter that a window is charged with."""

from __future__ import annotations

from typing import Final

from energybench.meters.characterise import update_noise_rel
from energybench.meters.repeats import NORMAL_975, t_975
from energybench.records.reading import MeterCharacteristics

#: Idle powers that characterising the meter takes the spread from (its default).
IDLE_SEGMENTS: Final = 10


def counted_noise_rel(found: MeterCharacteristics, *, idle_segments: int = IDLE_SEGMENTS) -> float | None:
    """Relative noise of one counter update, None where it was not found.

    Where it was found from single updates it carries its own margin. From idle powers it is itself estimated, from few
    idle stretches: a normal interval with the plain estimate of ten would cover 92 % where 95 % are stated. The ratio
    of the quantiles of Student's t and the normal distribution makes up for it.
    """
    if found.update_noise_rel is not None:
        return found.update_noise_rel
    noise_rel = update_noise_rel(found)
    return None if noise_rel is None else noise_rel * t_975(idle_segments - 1) / NORMAL_975
