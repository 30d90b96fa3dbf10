"""Least squares on relative error with coefficients that may not be negative; scikit-learn's shape.

Minimises Σ s_i (y_i − x_i·c)² / μ_i², μ_i the fitted value of row i, weights and coefficients iterated until they
agree. Weights from *fitted* values make the estimating equation Σ x_i (y_i − μ_i)/μ_i² = 0 unbiased; weights 1/y_i²
from the data would pull every coefficient down by about the squared noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Literal, Self, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from energybench.errors import FitError
from energybench.fitting.order import increments_to_coefficients, tied
from energybench.model.features import BoolArray, FloatArray

if TYPE_CHECKING:
    from energybench.fitting.shrinkage import Shrinkage

#: A fitted value further than this factor from the observed one takes its weight from the bound instead, so that a row
#: that the equation misses entirely cannot get unbounded weight.
WEIGHT_CLIP: Final = 4.0
#: Huber's constant: 95 % efficiency on normal errors (Huber 1981, section 4.5).
HUBER_K: Final = 1.345

Loss: TypeAlias = Literal["squares", "huber"]
LOSSES: Final = ("squares", "huber")


class RelativeLeastSquares:
    """Weighted, non-negative, iterated least squares.

    Args:
        nonneg: one flag for all coefficients or one for each.
        relative: False for ordinary least squares on y (weights are then `sample_weight` alone).
        max_iter: rounds of reweighting.
        tol: relative change of the fitted values at which the rounds stop.
        shrinkage: draws coefficients of kernel classes towards their mean; None for none.
        loss: `squares`, or `huber`, where a row that misses by more than 1.345 robust deviations weighs less, so that a
            few disturbed windows do not move the rest (Huber 1964; 95 % as efficient on normal errors).
        ordered: chains of columns in ascending order of their coefficients (`energybench.fitting.order`).

    After `fit`: `coef_` (k,), `weights_` (n,) final weights, `at_bound_` (k,) coefficients clamped at 0,
    `tied_` (k,) coefficients that the order holds at the one below them, `n_iter_`, `converged_`.
    """

    coef_: FloatArray
    weights_: FloatArray
    at_bound_: BoolArray
    tied_: BoolArray
    n_iter_: int
    converged_: bool

    def __init__(
        self,
        *,
        nonneg: bool | Sequence[bool] = True,
        relative: bool = True,
        max_iter: int = 100,
        tol: float = 1e-8,
        shrinkage: Shrinkage | None = None,
        loss: Loss = "squares",
        ordered: Sequence[Sequence[int]] = (),
    ) -> None:
        self.nonneg = nonneg
        self.relative = relative
        self.max_iter = max_iter
        self.tol = tol
        self.shrinkage = shrinkage
        self.loss = loss
        self.ordered = ordered

    def clone(self) -> RelativeLeastSquares:
        """The same settings, not fitted."""
        return RelativeLeastSquares(
            nonneg=self.nonneg,
            relative=self.relative,
            max_iter=self.max_iter,
            tol=self.tol,
            shrinkage=self.shrinkage,
            loss=self.loss,
            ordered=self.ordered,
        )

    def carried(self, X: FloatArray) -> BoolArray:
        """Which coefficients rows X (n, k) say anything about, by themselves or through the shrinkage; (k,)."""
        present = np.asarray((X != 0).any(axis=0), dtype=np.bool_)
        return present if self.shrinkage is None else self.shrinkage.carried(present)

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Fit X (n, k), y (n,), optional weights (n,). Raises FitError on shapes or values that cannot be fitted."""
        X = np.asarray(X, dtype=np.float64)
        y = np.asarray(y, dtype=np.float64)
        if X.ndim != 2 or y.shape != (X.shape[0],):
            raise FitError(
                f"features of shape {X.shape} and energies of shape {y.shape} do not fit; one row per energy"
            )
        if X.shape[0] == 0 or X.shape[1] == 0:
            raise FitError(
                "there is nothing to fit: no rows or no terms; give records of workloads that the equation has"
            )
        weight = np.ones(len(y)) if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
        if not (np.isfinite(X).all() and np.isfinite(y).all() and np.isfinite(weight).all()):
            raise FitError("features, energies and weights must be finite; remove rows with NaN")
        if weight.shape != y.shape or bool((weight < 0).any()):
            raise FitError("sample_weight must hold one number ≥ 0 per row")
        if self.relative and bool((y <= 0).any()):
            raise FitError("relative errors need positive energies; remove rows with zero or negative energy")
        k = X.shape[1]
        nonneg = np.full(k, self.nonneg) if isinstance(self.nonneg, bool) else np.asarray(self.nonneg, dtype=np.bool_)
        if nonneg.shape != (k,):
            raise FitError(f"nonneg has {nonneg.size} flags for {k} coefficients; give one each")
        if self.loss not in LOSSES:
            raise FitError(f"loss {self.loss!r} is unknown; use {' or '.join(LOSSES)}")
        L = increments_to_coefficients(k, self.ordered)
        if not nonneg[[j for chain in self.ordered for j in chain]].all():
            raise FitError("coefficients in order must be non-negative; set their nonneg flags")
        robust = np.ones(len(y))
        mu = np.abs(y) if self.relative else np.ones(len(y))
        coef = np.zeros(k)
        self.converged_ = not self.relative and self.loss == "squares"
        self.n_iter_ = 0
        while True:
            self.weights_ = weight * robust / mu**2
            self.n_iter_ += 1
            augmented, target, root = self._augmented(X, y, np.sqrt(self.weights_))
            increments = _solve(augmented @ L if self.ordered else augmented, target, root, nonneg)
            coef = L @ increments if self.ordered else increments
            if self.converged_:
                break
            updated = np.clip(X @ coef, y / WEIGHT_CLIP, y * WEIGHT_CLIP) if self.relative else mu
            change = float(np.max(np.abs(updated - mu) / mu))
            mu = updated
            if self.loss == "huber":
                before, robust = robust, _huber_weights((y - X @ coef) / mu)
                change = max(change, float(np.max(np.abs(robust - before))))
            if change < self.tol:
                self.converged_ = True
                break
            if self.n_iter_ >= self.max_iter:
                break
        self.coef_ = coef
        self.at_bound_ = nonneg & (coef <= 0)
        self.tied_ = tied(coef, increments, self.ordered)
        return self

    def _augmented(self, X: FloatArray, y: FloatArray, root: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        if self.shrinkage is None:
            return X, y, root
        rows = self.shrinkage.rows
        return (
            np.vstack([X, rows]),
            np.concatenate([y, np.zeros(len(rows))]),
            np.concatenate([root, np.ones(len(rows))]),
        )

    def predict(self, X: ArrayLike) -> FloatArray:
        """Fitted values (n,)."""
        return np.asarray(np.asarray(X, dtype=np.float64) @ self.coef_, dtype=np.float64)


def _huber_weights(residuals: FloatArray) -> FloatArray:
    """1 within 1.345 robust standard deviations, falling as one over the distance beyond; all 1 for a perfect fit."""
    scale = 1.4826 * float(np.median(np.abs(residuals)))  # MAD to standard deviation, normal law
    if scale == 0:
        return np.ones(len(residuals))
    return np.asarray(np.minimum(1.0, HUBER_K * scale / np.maximum(np.abs(residuals), 1e-300)), dtype=np.float64)


def _solve(X: FloatArray, y: FloatArray, root_weight: FloatArray, nonneg: BoolArray) -> FloatArray:
    """One weighted problem, columns scaled to unit length first: joules per byte and watts differ by 1e12."""
    from scipy.optimize import lsq_linear, nnls

    A = X * root_weight[:, None]
    b = y * root_weight
    scale = np.linalg.norm(A, axis=0)
    present = scale > 0
    coef = np.zeros(X.shape[1])
    if not present.any():
        return coef
    Z = A[:, present] / scale[present]
    bounded = nonneg[present]
    if bounded.all():
        if (
            Z.shape[0] > 8 * Z.shape[1]
        ):  # the same problem with k + 1 rows, which nnls would otherwise walk again and again
            q, r = np.linalg.qr(Z)
            scaled = nnls(r, q.T @ b)[0]
        else:
            scaled = nnls(Z, b)[0]
    elif not bounded.any():
        q, r = np.linalg.qr(Z)
        scaled = _back_substitute(q, r, b) if _full_rank(r) else np.linalg.lstsq(Z, b, rcond=None)[0]
    else:
        low = np.where(bounded, 0.0, -np.inf)
        scaled = lsq_linear(Z, b, bounds=(low, np.inf), method="bvls", tol=1e-14).x
        scaled = np.where(bounded, np.maximum(scaled, 0.0), scaled)
    coef[present] = scaled / scale[present]
    return coef


def _full_rank(r: FloatArray) -> bool:
    diagonal = np.abs(np.diag(r))
    return r.shape[0] == r.shape[1] and bool(diagonal.min() > 1e-13 * diagonal.max())


def _back_substitute(q: FloatArray, r: FloatArray, b: FloatArray) -> FloatArray:
    from scipy.linalg import solve_triangular

    solution: FloatArray = solve_triangular(r, q.T @ b)
    return solution
