"""The variance that a fit predicts for one window of an unseen workload: what residuals are scaled by.

variance = xᵀΣx (the coefficients) + (spread · E)² (an unseen workload about its prediction). Fitting scales residuals
of left-out networks by it, estimation widens it by their quantile, so both must read it from here.
"""

from __future__ import annotations

import numpy as np

from energybench.model.features import FloatArray


def predicted_variance_j2(X: FloatArray, energy_j: FloatArray, covariance: FloatArray, spread_rel: float) -> FloatArray:
    """Variances (n,) in J² of windows with features X (n, k) and predictions (n,), given Σ (k, k)."""
    parameters = np.maximum(np.einsum("ij,jk,ik->i", X, covariance, X), 0.0)
    return np.asarray(parameters + (spread_rel * energy_j) ** 2, dtype=np.float64)
