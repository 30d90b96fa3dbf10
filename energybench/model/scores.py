"""How far predictions are off: absolute percentage errors as fractions, bias, and the worst row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from energybench.model.features import FloatArray


@dataclass(frozen=True)
class Score:
    """Errors of n predictions, as fractions of what was recorded. A number that does not exist is None.

    `bias`  mean signed error, (predicted − recorded) / recorded
    """

    n: int
    median_ape: float | None
    mean_ape: float | None
    bias: float | None
    worst_row: str | None
    worst_error_rel: float | None

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready mapping."""
        return {
            "n": self.n,
            "median_ape": self.median_ape,
            "mean_ape": self.mean_ape,
            "bias": self.bias,
            "worst_row": self.worst_row,
            "worst_error_rel": self.worst_error_rel,
        }


def score(error_rel: FloatArray, label: Callable[[int], str]) -> Score:
    """Score signed relative errors (n,); predictions that do not exist (NaN) are not counted. `label` names row i."""
    there = np.flatnonzero(np.isfinite(error_rel))
    if there.size == 0:
        return Score(0, None, None, None, None, None)
    errors = error_rel[there]
    ape = np.abs(errors)
    worst = int(np.argmax(ape))
    return Score(
        int(there.size),
        float(np.median(ape)),
        float(np.mean(ape)),
        float(np.mean(errors)),
        label(int(there[worst])),
        float(errors[worst]),
    )
