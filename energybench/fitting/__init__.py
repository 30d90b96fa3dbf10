"""Coefficients from records, with what is known about how well they are known."""

from energybench.fitting.bootstrap import bootstrap_coefficients, bootstrap_intervals
from energybench.fitting.covariance import ClusterCovariance, cluster_covariance
from energybench.fitting.fit import fit_records
from energybench.fitting.gain import GainLeastSquares
from energybench.fitting.least_squares import RelativeLeastSquares
from energybench.fitting.result import FitResult
from energybench.fitting.time_fit import fit_time_law

__all__ = [
    "ClusterCovariance",
    "FitResult",
    "GainLeastSquares",
    "RelativeLeastSquares",
    "bootstrap_coefficients",
    "bootstrap_intervals",
    "cluster_covariance",
    "fit_records",
    "fit_time_law",
]
