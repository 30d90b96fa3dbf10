"""Which rows narrow the stated intervals most: variance and degrees of freedom together, greedily.

Least variance alone asks for the one workload that shows a coefficient best, again and again. But an interval is
Student's t times the standard error, and its degrees of freedom are how many workloads the coefficient rests on, since
windows of one workload share the equation's misfit there (`energybench.fitting.covariance`): with one workload beside
few others, t is 12 where 2 would do. So what is made small here is Σ t²(ν)·variance, both as the fit will state them.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from energybench.design.d_optimal import RIDGE
from energybench.errors import UsageError

#: Two-sided level of the intervals.
_LEVEL: Final = 0.95
#: Degrees of freedom are taken as this many at least: below it t² is a number without meaning.
_LEAST_DOF: Final = 0.5
#: Share of what is wanted from which on a coefficient's degrees of freedom bound it.
_COUNTS_FROM: Final = 0.05


def interval_optimal_rows(
    candidates: NDArray[np.float64],
    wanted: NDArray[np.float64],
    n_rows: int,
    *,
    windows: NDArray[np.int64],
    misfit_ratio: float = 1.0,
    errs_alone: NDArray[np.bool_] | None = None,
    cost: NDArray[np.float64] | None = None,
    most: NDArray[np.int64] | None = None,
) -> list[int]:
    """Indices of `n_rows` candidate rows, best first: each takes most off the summed squared half-widths per cost.

    The model of the errors: a window errs by itself with variance 1, and all windows of a workload by one misfit of
    variance `misfit_ratio`. The estimator is the fit's, which weighs all windows alike: with influence c_g of a window
    of workload g on what is wanted, variance = Σ (ratio·n_g² + n_g)·c_g², and the degrees of freedom of a coefficient
    are those of Satterthwaite, (Σ v_g)² / Σ v_g² − 1 for the workloads' parts v_g. What is wanted has the fewest of
    those of the coefficients that make a twentieth of it or more.

    Args:
        candidates: (m, k), each row over its expected energy, so that errors are relative.
        wanted: (t, k), likewise: what is to be narrow. The unit matrix stands for the coefficients, each relative.
        n_rows: how many to choose; fewer come back where `most` allows no more.
        windows: (m,) how many windows of each candidate were taken.
        misfit_ratio: variance of a workload's misfit over that of a window, 0 or more.
        errs_alone: (m,) True where every window errs by itself, as idle ones do.
        cost: (m,) positive price of each candidate.
        most: (m,) how often each may still be chosen; without it as often as it helps most.

    Raises:
        UsageError: matrices that do not fit together, a cost that is not positive, a ratio below 0.
    """
    C, T = np.asarray(candidates, dtype=np.float64), np.asarray(wanted, dtype=np.float64)
    if C.ndim != 2 or C.shape[0] == 0 or T.ndim != 2 or T.shape[1] != C.shape[1] or n_rows < 0:
        raise UsageError(
            "candidates and what is wanted must be matrices over the same terms; use one equation for both"
        )
    count = np.asarray(windows, dtype=np.int64).copy()
    alone = np.zeros(len(C), dtype=np.bool_) if errs_alone is None else np.asarray(errs_alone, dtype=np.bool_)
    price = np.ones(len(C)) if cost is None else np.asarray(cost, dtype=np.float64)
    if not count.shape == alone.shape == price.shape == (len(C),) or not bool(np.all(price > 0)) or misfit_ratio < 0:
        raise UsageError(
            "windows, errs_alone and cost need a number for each candidate, cost and ratio no negative one"
        )
    left = np.full(len(C), n_rows) if most is None else np.asarray(most).copy()
    # The coefficients themselves, whose degrees of freedom count, and what is wanted of them.
    T, bounded_by = np.vstack([np.eye(C.shape[1]), T]), T >= _COUNTS_FROM
    M = (C.T * count) @ C + RIDGE * np.eye(C.shape[1])
    chosen: list[int] = []
    for _ in range(n_rows):
        inverse = np.linalg.inv(M)
        taken = np.flatnonzero(count)
        G, of_wanted = C @ inverse @ C.T, T @ inverse  # (m, m), (t, k)
        influence = of_wanted @ C.T  # (t, m)
        part, square = _parts(count, alone, misfit_ratio)
        guesses = RIDGE * of_wanted**2  # what no row tells of counts as one guess of its own each
        now = _square_widths(
            influence[:, taken] ** 2 @ part[taken] + guesses.sum(axis=1),
            influence[:, taken] ** 4 @ square[taken] + (guesses**2).sum(axis=1),
            bounded_by,
        )
        # With one more window of candidate j, by Sherman and Morrison: (j, t), (j, t, taken) and (j, t, k).
        own = influence.T / (1 + np.diag(G))[:, None]
        others2 = (influence[None, :, taken] - own[:, :, None] * G[:, None, taken]) ** 2
        guesses = RIDGE * (of_wanted[None] - own[:, :, None] * (C @ inverse)[:, None, :]) ** 2
        part_then, square_then = _parts(count + 1, alone, misfit_ratio)
        then = _square_widths(
            others2 @ part[taken] + (part_then - part)[:, None] * own**2 + guesses.sum(axis=2),
            others2**2 @ square[taken] + (square_then - square)[:, None] * own**4 + (guesses**2).sum(axis=2),
            bounded_by,
        )
        gain = (now.sum() - then.sum(axis=1)) / price
        gain[left <= 0] = -np.inf
        best = int(np.argmax(gain))
        if left[best] <= 0:
            break
        chosen.append(best)
        left[best] -= 1
        count[best] += 1
        M += np.outer(C[best], C[best])
    return chosen


def _parts(
    count: NDArray[np.int64], alone: NDArray[np.bool_], misfit_ratio: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Variance of the sum of each candidate's windows over that of one with its misfit; and its squares, by workload.

    Windows that err alone are as many workloads of their own.
    """
    part = np.where(alone, count * 1.0, misfit_ratio * count**2 + count) / (1 + misfit_ratio)
    return part, part**2 / np.where(alone, np.maximum(count, 1), 1)


def _square_widths(
    variance: NDArray[np.float64], squares: NDArray[np.float64], bounded_by: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """t²(ν)·variance of what is wanted, from the workloads' parts and their squares, coefficients first."""
    from scipy.special import stdtrit

    k = bounded_by.shape[1]
    dof = np.maximum(_LEAST_DOF, variance[..., :k] ** 2 / np.maximum(squares[..., :k], 1e-300) - 1)
    fewest = np.min(np.where(bounded_by, dof[..., None, :], np.inf), axis=-1)
    widths: NDArray[np.float64] = stdtrit(fewest, 0.5 + _LEVEL / 2) ** 2 * variance[..., k:]
    return widths
