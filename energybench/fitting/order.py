"""Coefficients in a known order, as one non-negative problem: each is the one below it and an increment ≥ 0.

A narrower element type never costs more per MAC than a wider one on hardware with units for it (bf16 on tensor cores
≤ fp32 ≤ fp64). AccelWattch bounds its coefficients the same way (INT ≤ FPU ≤ DPU); the order is physics brought to the
data, so it is asked for and never assumed: a CPU that emulates bfloat16 breaks it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import numpy as np

from energybench.errors import FitError
from energybench.model.features import BoolArray, FloatArray

#: Element types from the cheapest MAC to the dearest, by the short names of coefficients.
NARROW_TO_WIDE: Final = ("mac_fp8e4m3_j", "mac_bf16_j", "mac_tf32_j", "mac_fp32_j", "mac_fp64_j")


def chains_of(names: Sequence[str]) -> tuple[tuple[int, ...], ...]:
    """Columns of the MAC coefficients in ascending order; none where there are fewer than two."""
    chain = tuple(names.index(name) for name in NARROW_TO_WIDE if name in names)
    return (chain,) if len(chain) > 1 else ()


def increments_to_coefficients(k: int, chains: Sequence[Sequence[int]]) -> FloatArray:
    """The matrix L (k, k) with coefficients = L · increments; columns outside every chain are their own increment.

    Raises FitError where a column is in two chains, or twice in one.
    """
    members = [j for chain in chains for j in chain]
    if len(set(members)) != len(members) or any(not 0 <= j < k for j in members):
        raise FitError("a coefficient can stand in one order only; give chains that share no column")
    L = np.eye(k)
    for chain in chains:
        for position, column in enumerate(chain):
            L[column, list(chain[: position + 1])] = 1.0
    return L


def tied(coef: FloatArray, increments: FloatArray, chains: Sequence[Sequence[int]]) -> BoolArray:
    """Which coefficients (k,) the order holds at the one below them: nothing else says that value."""
    result = np.zeros(len(coef), dtype=np.bool_)
    for chain in chains:
        for below, column in pairwise(chain):
            result[column] = increments[column] <= 0 and coef[below] > 0
    return result
