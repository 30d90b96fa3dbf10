"""Bootstrap of a fit: whole groups (workloads, runs or families) drawn again, never single rows.

Rows of one group share what the equation misses there, so a bootstrap by row would promise more than the data hold. It
makes no assumption on the residuals' shape; with few groups (families above all) it can only say something coarse.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from energybench.errors import FitError
from energybench.fitting.clusters import cluster_labels
from energybench.model.features import BoolArray, FloatArray

if TYPE_CHECKING:
    from energybench.fitting.result import FitResult

Unit: TypeAlias = Literal["workload", "run", "family"]
UNITS: Final = ("workload", "run", "family")
#: Rounds of reweighting within a replicate, from the fit's own weights on; each changes them by the noise's square.
_ROUNDS: Final = 3


def bootstrap_coefficients(
    fit: FitResult, *, unit: Unit = "workload", replicates: int = 1000, seed: int = 0
) -> FloatArray:
    """Coefficients of refits to drawn groups, shape (replicates, k), columns as in ``fit.params``.

    Args:
        fit: a result without shrunken kernel classes.
        unit: what is drawn with replacement; idle windows count each by itself except with `run`.
        replicates: refits.
        seed: of the draws.

    Raises:
        FitError: an unknown unit, fewer than two groups of it, or a fit with shrunken kernel classes.
    """
    if unit not in UNITS:
        raise FitError(f"bootstrap unit {unit!r} is unknown; use {', '.join(UNITS)}")
    if replicates < 2:
        raise FitError(f"{replicates} replicates make no distribution; use 1000")
    if fit.shrunken:
        raise FitError("a fit with shrunken kernel classes has no bootstrap; fit with by_kernel_class=False")
    groups = _groups(fit, unit)
    names, codes = np.unique(groups, return_inverse=True)
    if len(names) < 2:
        raise FitError(f"there is one {unit} only, and a bootstrap draws among several; use unit='workload'")
    X, y = fit.X, fit.rows.energy_j
    scale = np.linalg.norm(X / y[:, None], axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    Z = X / scale
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=replicates)
    start = np.clip(fit.fittedvalues, y / 4, y * 4)
    nonneg = np.array(fit.equation.nonneg, dtype=np.bool_)
    result = np.empty((replicates, X.shape[1]))
    for r in range(replicates):
        result[r] = _refit(Z, y, start, drawn[r][codes].astype(np.float64), nonneg)
    return result / scale


def bootstrap_intervals(
    fit: FitResult, *, unit: Unit = "workload", replicates: int = 1000, level: float = 0.95, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """Percentile intervals by coefficient. Raises FitError as `bootstrap_coefficients`."""
    if not 0 < level < 1:
        raise FitError(f"level {level!r} is not between 0 and 1; use 0.95 for a 95 % interval")
    draws = bootstrap_coefficients(fit, unit=unit, replicates=replicates, seed=seed)
    low, high = np.quantile(draws, [0.5 - level / 2, 0.5 + level / 2], axis=0)
    return {name: (float(a), float(b)) for name, a, b in zip(fit.equation.names, low, high, strict=True)}


def _groups(fit: FitResult, unit: Unit) -> NDArray[np.str_]:
    if unit == "workload":
        return cluster_labels(fit.rows)
    labels: Sequence[object] = list(fit.rows.labels["run_id" if unit == "run" else "family"])
    named = np.array([str(v) for v in labels], dtype=str)
    if unit == "run":
        return named
    return np.where(fit.rows.idle, cluster_labels(fit.rows), named)


def _refit(Z: FloatArray, y: FloatArray, mu: FloatArray, weight: FloatArray, nonneg: BoolArray) -> FloatArray:
    """Coefficients (k,) of unit columns; the normal equations are small and, of unit columns, well scaled."""
    from scipy.optimize import nnls

    used = weight > 0
    Z, y, mu, weight = Z[used], y[used], mu[used], weight[used]
    coef: FloatArray = np.zeros(Z.shape[1])
    for _ in range(_ROUNDS):
        w = weight / mu**2
        A = Z.T @ (Z * w[:, None])
        b = Z.T @ (w * y)
        coef = np.asarray(np.linalg.lstsq(A, b, rcond=1e-14)[0], dtype=np.float64)
        if (coef[nonneg] < 0).any():
            root = np.sqrt(w)
            q, upper = np.linalg.qr(Z * root[:, None])
            if nonneg.all():
                coef = nnls(upper, q.T @ (y * root))[0]
        mu = np.clip(Z @ coef, y / 4, y * 4)
    return coef
