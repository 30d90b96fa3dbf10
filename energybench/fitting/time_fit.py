"""Fit the roofline of durations to the rows of a run, robustly, in the logarithm of time."""

from __future__ import annotations

from typing import Final

import numpy as np

from energybench.model.features import MAC_COLUMNS, BoolArray, FeatureTable, FloatArray
from energybench.model.time_law import TimeLaw, soft_maximum

#: Sharpnesses of the soft maximum that are tried after the hard one.
SHARPNESS_TRIED: Final = (8.0, 4.0, 2.0, 1.0)
#: Rows beyond this number are thinned: the law has a handful of parameters.
MAX_ROWS: Final = 4000
#: A rate that the data do not need may fall this far (as e-folds) below where it starts: then it is as good as zero.
_RANGE: Final = 18.0


def fit_time_law(table: FeatureTable, *, rows: BoolArray | None = None) -> TimeLaw | None:
    """The law of `TimeLaw` from durations in the table; None where fewer rows than parameters have work.

    Rows of whole networks are used only where there are no others: a roofline holds operator by operator.
    """
    time_s = table.column("time_s")
    work = (table.column("macs") > 0) | (table.column("bytes") > 0) | (table.column("other_flops") > 0)
    usable = work & np.isfinite(time_s) & (time_s > 0) & (table.kernel_class != "idle")
    if rows is not None:
        usable &= rows
    operators = usable & (table.kernel_class != "network")
    chosen = operators if operators.any() else usable
    index = np.flatnonzero(chosen)
    if index.size > MAX_ROWS:
        index = index[np.linspace(0, index.size - 1, MAX_ROWS).astype(np.intp)]
    part = table.take(index)
    dtypes = part.dtypes
    columns = [
        *(part.column(MAC_COLUMNS[d]) for d in dtypes),
        *(part.column(c) for c in ("other_flops", "bytes", "launches")),
    ]
    if index.size < len(columns) + 1:
        return None
    X = np.stack(columns, axis=1)
    log_time = np.log(part.column("time_s"))
    least, rates = _fit_rates(X, log_time, None)
    sharpness: float | None = None
    for candidate in SHARPNESS_TRIED:
        cost, other = _fit_rates(X, log_time, candidate)
        if cost < least * (1 - 1e-3):  # the hard maximum wins a tie
            least, rates, sharpness = cost, other, candidate
    residual = log_time - np.log(_predict(X, rates, sharpness))
    spread = 1.4826 * float(np.median(np.abs(residual)))  # MAD to standard deviation, for the normal law
    n = len(dtypes)
    return TimeLaw(
        {d: float(v) for d, v in zip(dtypes, rates[:n], strict=True)},
        float(rates[n]),
        float(rates[n + 1]),
        float(rates[n + 2]),
        sharpness,
        spread,
        int(index.size),
    )


def _predict(X: FloatArray, rates: FloatArray, sharpness: float | None) -> FloatArray:
    roof = soft_maximum(X[:, :-2] @ rates[:-2], X[:, -2] * rates[-2], sharpness)
    return np.asarray(np.maximum(roof + X[:, -1] * rates[-1], np.finfo(np.float64).tiny), dtype=np.float64)


def _fit_rates(X: FloatArray, log_time: FloatArray, sharpness: float | None) -> tuple[float, FloatArray]:
    from scipy.optimize import least_squares

    time_s = np.exp(log_time)
    start = np.full(X.shape[1], -np.inf)
    for j in range(X.shape[1]):
        has = X[:, j] > 0
        if has.any():
            # no row can be faster than its own slowest part, so the fastest rows bound each rate
            start[j] = np.log(np.quantile(time_s[has] / X[has, j], 0.02))
    there = np.isfinite(start)

    def residuals(log_rates: FloatArray) -> FloatArray:
        rates = np.zeros(X.shape[1])
        rates[there] = np.exp(log_rates)
        return np.asarray(np.log(_predict(X, rates, sharpness)) - log_time, dtype=np.float64)

    begin = start[there]
    solution = least_squares(
        residuals,
        begin,
        bounds=(begin - _RANGE, begin + 6.0),
        loss="soft_l1",
        f_scale=0.1,
        x_scale=1.0,
        max_nfev=200,
    )
    rates = np.zeros(X.shape[1])
    rates[there] = np.exp(solution.x)
    return float(solution.cost), rates
