"""Which rows to run next: the candidates that add most to det(XᵀX) (greedy D-optimality, Fedorov 1972)."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from energybench.errors import UsageError

#: Added to the diagonal of the unit-column information matrix, so that a start without rows has a determinant.
RIDGE: Final = 1e-9


def d_optimal_rows(
    candidates: NDArray[np.float64],
    n_rows: int,
    *,
    existing: NDArray[np.float64] | None = None,
    cost: NDArray[np.float64] | None = None,
) -> list[int]:
    """Indices of `n_rows` candidate rows, best first; a row may be chosen again where a repeat helps most.

    Args:
        candidates: (m, k), each row already divided by its expected energy, so that errors are relative.
        n_rows: how many to choose.
        existing: (n, k) rows already run.
        cost: (m,) positive price of each candidate; the gain in log-determinant is taken per unit of it.

    Raises:
        UsageError: matrices that do not fit together, or a cost that is not positive.
    """
    C = np.asarray(candidates, dtype=np.float64)
    if C.ndim != 2 or C.shape[0] == 0 or n_rows < 0:
        raise UsageError("candidates must be a matrix with at least one row and n_rows at least 0; give feature rows")
    past = np.zeros((0, C.shape[1])) if existing is None else np.asarray(existing, dtype=np.float64)
    if past.ndim != 2 or past.shape[1] != C.shape[1]:
        raise UsageError(f"existing rows have {past.shape[-1]} columns, candidates {C.shape[1]}; use the same equation")
    price = np.ones(C.shape[0]) if cost is None else np.asarray(cost, dtype=np.float64)
    if price.shape != (C.shape[0],) or not bool(np.all(price > 0)):
        raise UsageError("cost must hold one positive number per candidate; give the expected seconds of each")
    scale = np.linalg.norm(np.vstack([past, C]), axis=0)
    scale[scale == 0] = 1.0
    C, past = C / scale, past / scale
    inverse = np.linalg.inv(past.T @ past + RIDGE * np.eye(C.shape[1]))
    chosen: list[int] = []
    for _ in range(n_rows):
        gain = np.einsum("ij,jk,ik->i", C, inverse, C)
        best = int(np.argmax(np.log1p(gain) / price))
        chosen.append(best)
        step = inverse @ C[best]
        inverse -= np.outer(step, step) / (1.0 + gain[best])  # Sherman–Morrison
    return chosen
