"""The mean of a Gaussian process: what the points around a place say about it.

Its kernel is rational quadratic, k(x, x') = 1 / (1 + |x − x'|² / 2ℓ²); far from every point the mean falls back to 0
(Rasmussen and Williams 2006, chapters 2 and 4.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from energybench.model.features import FeatureTable, FloatArray


def closeness(a: FloatArray, b: FloatArray, length: float) -> FloatArray:
    """Kernel of places a (n, d) and b (m, d): (n, m), 1 where they coincide."""
    square = np.sum((a[:, None, :] - b[None, :, :]) ** 2, axis=2)
    return np.asarray(1.0 / (1.0 + square / (2.0 * length**2)), dtype=np.float64)


def log_counts(table: FeatureTable, columns: Sequence[str], *, per: str) -> FloatArray:
    """Places of the rows of a table, (n, columns): ln(1 + count / `per`), where that column is taken as 1 at least."""
    number = np.maximum(table.column(per), 1.0)
    return np.log1p(np.stack([table.column(name) / number for name in columns], axis=1))


class Weighed(NamedTuple):
    """`weights` (m,) of the points: the mean at a place is closeness · weights. `missed` (m,) of each by the others."""

    weights: FloatArray
    missed: FloatArray


def weigh_points(points: FloatArray, values: FloatArray, *, length: float, noise: float) -> Weighed:
    """Weights of points (m, d) with values (m,), `noise` being their variance over the signal's."""
    inverse = np.linalg.inv(closeness(points, points, length) + noise * np.eye(len(points)))
    weights = inverse @ values
    return Weighed(weights, weights / np.diag(inverse))
