"""Coefficients from runs whose meters have unknown gains: errors in the scale of the energies, not in their rows.

A meter shows g·E with an unknown gain g, the same for every row of a run (a 5 % class sensor is 5 % off all day).
Within one run the gain is part of every coefficient. Several runs, each with its meter or its day, tell the ratios of
gains apart, and what is known of each gain beforehand, g = 1 ± gain_rel, fixes the common scale. Rows that are taken
for independent would promise a precision of 1/√n that no number of rows can give.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from energybench.errors import FitError
from energybench.fitting.least_squares import RelativeLeastSquares
from energybench.model.features import FloatArray

_ROUNDS: Final = 200
_TOLERANCE: Final = 1e-10


class GainLeastSquares:
    """Relative least squares with a gain for each group of rows; scikit-learn's shape.

    Minimises Σ (y/(g_r μ) − 1)²/σ² + Σ_r (ln g_r / gain_rel)² over coefficients and gains in turn, σ taken from the
    rows themselves.

    Args:
        gain_rel: relative standard uncertainty of each meter's scale.
        nonneg: one flag for all coefficients or one for each.

    After `fit`: `coef_` (k,), `gains_` (groups,) in the order in which groups appear, `gain_se_rel_` (groups,): their
    relative standard errors against each other, NaN for a group of one cluster, `scale_rel_`: what remains unknown of
    the common scale of all coefficients, as a relative standard deviation.
    """

    coef_: FloatArray
    gains_: FloatArray
    gain_se_rel_: FloatArray
    scale_rel_: float

    def __init__(self, *, gain_rel: float, nonneg: bool | Sequence[bool] = True) -> None:
        self.gain_rel = gain_rel
        self.nonneg = nonneg

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        groups: Sequence[object],
        clusters: Sequence[object] | None = None,
    ) -> Self:
        """Fit X (n, k), y (n,), optional weights (n,), the group of each row, and its cluster: rows that err together.

        Raises FitError.
        """
        if not self.gain_rel > 0:
            raise FitError(f"gain_rel={self.gain_rel!r} is no uncertainty; give the meter's class, as 0.05 for 5 %")
        y = np.asarray(y, dtype=np.float64)
        if len(groups) != len(y):
            raise FitError(f"{len(groups)} groups for {len(y)} rows; give one each")
        names = {name: i for i, name in enumerate(dict.fromkeys(groups))}
        codes = np.array([names[name] for name in groups], dtype=np.intp)
        count = np.bincount(codes).astype(np.float64)
        gains = np.ones(len(names))
        estimator = RelativeLeastSquares(nonneg=self.nonneg)
        for _ in range(_ROUNDS):
            estimator.fit(X, y / gains[codes], sample_weight)
            miss = np.log(y / np.maximum(estimator.predict(X), np.finfo(np.float64).tiny))
            mean = np.bincount(codes, miss) / count
            spread = float(np.sum((miss - mean[codes]) ** 2) / max(len(y) - len(names), 1))
            prior = spread / self.gain_rel**2
            updated = np.exp(count * mean / (count + prior))  # a gain's own rows against what is known of it
            # what all gains share belongs to the coefficients, but for what is known of each
            updated /= np.exp(np.mean(np.log(updated)))
            change = float(np.max(np.abs(updated / gains - 1)))
            gains = updated
            if change < _TOLERANCE:
                break
        self.coef_ = estimator.coef_
        self.gains_ = gains
        self.gain_se_rel_ = _standard_errors(miss, codes, len(names), range(len(y)) if clusters is None else clusters)
        self.scale_rel_ = self.gain_rel / float(np.sqrt(len(names)))
        return self

    def predict(self, X: ArrayLike) -> FloatArray:
        """True energies (n,): what a meter of gain 1 would show."""
        return np.asarray(np.asarray(X, dtype=np.float64) @ self.coef_, dtype=np.float64)


def _standard_errors(miss: FloatArray, codes: NDArray[np.intp], groups: int, clusters: Sequence[object]) -> FloatArray:
    """Standard error of each group's mean miss (groups,), one vote a cluster; NaN where there is one cluster only."""
    _, cluster = np.unique([str(c) for c in clusters], return_inverse=True)
    result = np.full(groups, np.nan)
    for g in range(groups):
        inside = codes == g
        _, own = np.unique(cluster[inside], return_inverse=True)
        means = np.bincount(own, miss[inside]) / np.bincount(own)
        if len(means) > 1:
            result[g] = float(np.std(means, ddof=1)) / float(np.sqrt(len(means)))
    return result
