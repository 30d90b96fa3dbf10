"""Which rows narrow an estimate most: greedy I-optimality (Atkinson, Donev and Tobias 2007, chapter 10)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from energybench.design.d_optimal import RIDGE
from energybench.errors import UsageError


def i_optimal_rows(
    candidates: NDArray[np.float64],
    targets: NDArray[np.float64],
    n_rows: int,
    *,
    existing: NDArray[np.float64] | None = None,
    cost: NDArray[np.float64] | None = None,
    most: NDArray[np.int64] | None = None,
) -> list[int]:
    """Indices of `n_rows` candidate rows, best first: each takes most off the targets' summed variance per cost.

    A row x takes (cᵀM⁻¹x)² / (1 + xᵀM⁻¹x) off the variance cᵀM⁻¹c of a target c, by the Sherman–Morrison identity.

    Args:
        candidates: (m, k), each row over its expected energy, so that errors are relative.
        targets: (t, k), likewise: shares of the estimates that are to be narrow. With the unit matrix the sum is the
            variance of the relative coefficients themselves (A-optimality).
        n_rows: how many to choose; fewer come back where `most` allows no more.
        existing: (n, k) rows already run.
        cost: (m,) positive price of each candidate.
        most: (m,) how often each may still be chosen; without it as often as it helps most.

    Raises:
        UsageError: matrices that do not fit together, or a cost that is not positive.
    """
    C, T = np.asarray(candidates, dtype=np.float64), np.asarray(targets, dtype=np.float64)
    if C.ndim != 2 or C.shape[0] == 0 or T.ndim != 2 or T.shape[1] != C.shape[1] or n_rows < 0:
        raise UsageError("candidates and targets must be matrices over the same terms; use one equation for both")
    past = np.zeros((0, C.shape[1])) if existing is None else np.asarray(existing, dtype=np.float64)
    price = np.ones(C.shape[0]) if cost is None else np.asarray(cost, dtype=np.float64)
    if past.ndim != 2 or past.shape[1] != C.shape[1] or price.shape != (C.shape[0],) or not bool(np.all(price > 0)):
        raise UsageError("existing rows need the candidates' columns, and cost a positive number for each candidate")
    left = np.full(C.shape[0], n_rows) if most is None else np.asarray(most).copy()
    # A term that no target has must still be told apart from those that it has: the ridge keeps it in the matrix.
    inverse = np.linalg.inv(past.T @ past + RIDGE * np.eye(C.shape[1]))
    chosen: list[int] = []
    for _ in range(n_rows):
        leverage = np.einsum("ij,jk,ik->i", C, inverse, C)
        gain = np.sum((T @ inverse @ C.T) ** 2, axis=0) / (1.0 + leverage) / price
        gain[left <= 0] = -1.0
        best = int(np.argmax(gain))
        if left[best] <= 0:
            break
        chosen.append(best)
        left[best] -= 1
        step = inverse @ C[best]
        inverse -= np.outer(step, step) / (1.0 + leverage[best])
    return chosen
