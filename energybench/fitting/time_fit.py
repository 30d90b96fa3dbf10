"""Fit durations to timed operators, robustly, in the logarithm of time: rates, classes of their own, the host."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from energybench.fitting.efficiency_fit import fit_efficiency
from energybench.model.features import MAC_COLUMNS, BoolArray, FeatureTable, FloatArray, feature_row
from energybench.model.operator_table import operator_table
from energybench.model.time_law import Rates, TimeLaw, soft_maximum
from energybench.records.timed_network import TimedNetwork

#: Sharpnesses of the soft maximum that are tried after the hard one.
SHARPNESS_TRIED: Final = (8.0, 4.0, 2.0, 1.0)
#: Rows beyond this number are thinned: the law has a handful of parameters.
MAX_ROWS: Final = 4000
#: Rows of a kernel class from which rates of its own are tried; each has at most five.
CLASS_ROWS: Final = 50
#: A rate that the data do not need may fall this far (as e-folds) below where it starts: then it is as good as zero.
_RANGE: Final = 18.0
#: One e-fold between a class's rate and that of all kernels weighs like one row that misses by this many e-folds.
_CLASS_SPREAD: Final = 0.3
#: More of the law (a host, a class) must lower the cost on the rows by this share, and by this much a row.
_GAIN: Final = 0.05
_GAIN_PER_ROW: Final = 1e-7
_CLASS_FOLDS: Final = 5


class _Shape(NamedTuple):
    """Which law is fitted: sharpness of the maximum, and whether a host hands over the launches."""

    sharpness: float | None
    host: bool


class _Fitted(NamedTuple):
    cost: float
    rates: FloatArray  # seconds per unit, columns of the matrix; the host's dispatch last where there is one
    shape: _Shape


def fit_time_law(table: FeatureTable, *, rows: BoolArray | None = None, by_class: bool = False) -> TimeLaw | None:
    """The law of `TimeLaw` from durations in the table; None where fewer rows than parameters have work.

    Rows of whole networks are used only where there are no others: a roofline holds operator by operator. With
    `by_class`, kernel classes with at least `CLASS_ROWS` rows get rates of their own, drawn towards those of all
    kernels, where these predict left-out rows better. It is off by default, since networks that were never run were
    not predicted better by it (docs/models.md). Where operators near it were timed, an operator's time follows theirs
    (`fit_efficiency`); the spread is then that of operators left out.
    """
    part = _timed(table, rows)
    dtypes = part.dtypes
    X = _matrix(part, dtypes)
    if len(part) < X.shape[1] + 1:
        return None
    log_time = np.log(part.column("time_s"))
    best = _fit(X, log_time, _Shape(None, host=False))
    for sharpness in SHARPNESS_TRIED:
        other = _fit(X, log_time, _Shape(sharpness, host=False))
        if other.cost < best.cost * (1 - 1e-3):  # the hard maximum wins a tie
            best = other
    with_host = _fit(X, log_time, _Shape(best.shape.sharpness, host=True))
    if with_host.cost < best.cost * (1 - _GAIN) - _GAIN_PER_ROW * len(part):
        best = with_host
    log_predicted = _log_predict(X, best.rates, best.shape)
    of_class: dict[str, Rates] = {}
    for name in sorted({str(k) for k in part.kernel_class}) if by_class else ():
        inside = np.asarray(part.kernel_class == name, dtype=np.bool_)
        if int(inside.sum()) < CLASS_ROWS or inside.all():
            continue
        own = _own_rates(X[inside], log_time[inside], best)
        if own is not None:
            of_class[name] = _rates(own, dtypes)
            log_predicted[inside] = _log_predict(X[inside], own.rates, own.shape)
    missed = log_time - log_predicted
    by_shape = fit_efficiency(part, missed)
    if by_shape is not None:
        missed = by_shape.missed
    spread = 1.4826 * float(np.median(np.abs(missed)))  # MAD to standard deviation, normal law
    dispatch_s = float(best.rates[-1]) if best.shape.host else 0.0
    efficiency = None if by_shape is None else by_shape.efficiency
    return TimeLaw(_rates(best, dtypes), spread, len(part), of_class, dispatch_s, efficiency=efficiency)


def time_scores(law: TimeLaw, networks: Sequence[TimedNetwork]) -> dict[str, tuple[float, ...]]:
    """Network -> |ln(taken / predicted)| of each of its sizes that the law covers."""
    found: dict[str, list[float]] = {}
    for one in networks:
        whole = FeatureTable.from_rows([feature_row(one.counts, time_s=one.time_s)])
        if law.covers(whole.dtypes):
            predicted_s = law.call_s(operator_table(one.counts, whole))
            found.setdefault(one.network, []).append(abs(float(np.log(one.time_s / predicted_s))))
    return {name: tuple(sorted(scores)) for name, scores in sorted(found.items())}


def _timed(table: FeatureTable, rows: BoolArray | None) -> FeatureTable:
    time_s = table.column("time_s")
    work = (table.column("macs") > 0) | (table.column("bytes") > 0) | (table.column("other_flops") > 0)
    work &= table.column("is_cold") == 0  # what is estimated runs as hot rows do
    usable = work & np.isfinite(time_s) & (time_s > 0) & (table.kernel_class != "idle")
    if rows is not None:
        usable &= rows
    operators = usable & (table.kernel_class != "network")
    index = np.flatnonzero(operators if operators.any() else usable)
    if index.size > MAX_ROWS:
        index = index[np.linspace(0, index.size - 1, MAX_ROWS).astype(np.intp)]
    return table.take(index)


def _matrix(part: FeatureTable, dtypes: tuple[str, ...]) -> FloatArray:
    """MACs by element type, other FLOPs, bytes, launches: (n, len(dtypes) + 3)."""
    columns = [part.column(MAC_COLUMNS[d]) for d in dtypes]
    return np.stack([*columns, *(part.column(c) for c in ("other_flops", "bytes", "launches"))], axis=1)


def _rates(fitted: _Fitted, dtypes: tuple[str, ...]) -> Rates:
    n = len(dtypes)
    mac_s: Mapping[str, float] = {d: float(v) for d, v in zip(dtypes, fitted.rates[:n], strict=True)}
    other_flop_s, byte_s, launch_s = map(float, fitted.rates[n : n + 3])
    return Rates(mac_s, other_flop_s, byte_s, launch_s, fitted.shape.sharpness)


def _log_predict(X: FloatArray, rates: FloatArray, shape: _Shape) -> FloatArray:
    k = X.shape[1]
    time_s = (
        soft_maximum(X[:, :-2] @ rates[: k - 2], X[:, -2] * rates[k - 2], shape.sharpness) + X[:, -1] * rates[k - 1]
    )
    if shape.host:
        time_s = np.maximum(time_s, X[:, -1] * rates[k])
    return np.asarray(np.log(np.maximum(time_s, np.finfo(np.float64).tiny)), dtype=np.float64)


def _starts(X: FloatArray, log_time: FloatArray, shape: _Shape) -> FloatArray:
    """Log rates to begin at: no row can be faster than its own slowest part, so the fastest rows bound each rate."""
    time_s = np.exp(log_time)
    start = np.full(X.shape[1] + shape.host, -np.inf)
    for j in range(X.shape[1]):
        has = X[:, j] > 0
        if has.any():
            start[j] = np.log(np.quantile(time_s[has] / X[has, j], 0.02))
    if shape.host:
        start[-1] = start[-2]
        start[-2] -= 2.0  # a launch begins below the dispatch, or no row would show the host
    return start


def _fit(X: FloatArray, log_time: FloatArray, shape: _Shape, towards: FloatArray | None = None) -> _Fitted:
    """Rates of one law. With `towards`, log rates that are drawn there and kept where no row has the work."""
    from scipy.optimize import least_squares

    start = _starts(X, log_time, shape) if towards is None else towards
    there = np.isfinite(start)
    there[: X.shape[1]] &= (X > 0).any(axis=0)
    begin = start[there]
    fixed = np.where(np.isfinite(start), np.exp(start), 0.0)

    def with_rates(log_rates: FloatArray) -> FloatArray:
        rates = fixed.copy()
        rates[there] = np.exp(log_rates)
        return rates

    def residuals(log_rates: FloatArray) -> FloatArray:
        missed = _log_predict(X, with_rates(log_rates), shape) - log_time
        if towards is None:
            return missed
        return np.concatenate([missed, (log_rates - begin) * _CLASS_SPREAD])

    solution = least_squares(
        residuals,
        begin,
        bounds=(begin - _RANGE, begin + 6.0),
        loss="soft_l1",
        f_scale=0.1,
        x_scale=1.0,
        max_nfev=200,
    )
    return _Fitted(float(solution.cost), with_rates(solution.x), shape)


def _own_rates(X: FloatArray, log_time: FloatArray, pooled: _Fitted) -> _Fitted | None:
    """Rates of one kernel class where they predict its left-out rows better than those of all kernels, else None."""
    with np.errstate(divide="ignore"):
        towards = np.log(pooled.rates)
    fold = np.random.default_rng(0).permutation(len(X)) % _CLASS_FOLDS
    shapes = [_Shape(s, pooled.shape.host) for s in (pooled.shape.sharpness, 2.0, 1.0)]
    common = float(np.mean(np.abs(_log_predict(X, pooled.rates, pooled.shape) - log_time)))
    errors = []
    for shape in shapes:
        missed = np.empty(len(X))
        for i in range(_CLASS_FOLDS):
            left = fold == i
            fitted = _fit(X[~left], log_time[~left], shape, towards)
            missed[left] = _log_predict(X[left], fitted.rates, shape) - log_time[left]
        errors.append(float(np.mean(np.abs(missed))))
    best = int(np.argmin(errors))
    if errors[best] >= common * (1 - _GAIN) - np.sqrt(_GAIN_PER_ROW):
        return None
    return _fit(X, log_time, shapes[best], towards)
