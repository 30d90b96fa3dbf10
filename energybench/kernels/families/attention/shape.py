"""Sizes of the core of multi-head attention (``B Hn S_q S_k D``), read from a call and checked once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from energybench.errors import UsageError
from energybench.kernels.arrays import common_dtype, describe, expect_shape

if TYPE_CHECKING:
    from energybench.kernels.arrays import Array


@dataclass(frozen=True, slots=True)
class AttentionShape:
    """``q[B, Hn, S_q, D]``, ``k`` and ``v[B, Hn, S_k, D]`` → ``y[B, Hn, S_q, D]``."""

    B: int
    Hn: int
    S_q: int
    S_k: int
    D: int
    causal: bool = False

    def visible_keys(self, query: int) -> int:
        """Keys that a query sees: all, or with a causal mask the first query + 1."""
        return min(query + 1, self.S_k) if self.causal else self.S_k

    @property
    def visible_pairs(self) -> int:
        """Pairs of query and key in one head: query i sees min(i + 1, S_k) keys under a causal mask, else all."""
        if not self.causal:
            return self.S_q * self.S_k
        ramp = min(self.S_q, self.S_k)
        return ramp * (ramp + 1) // 2 + (self.S_q - ramp) * self.S_k


def attention_shape(
    q: Array, k: Array, v: Array, *, causal: bool = False, scale: float | None = None
) -> tuple[AttentionShape, str]:
    """Sizes and element type of a call of `attention`. Raises UsageError."""
    operands = [describe("q", q, "B Hn S_q D"), describe("k", k, "B Hn S_k D"), describe("v", v, "B Hn S_k D")]
    (B, Hn, S_q, D), S_k = operands[0].shape, operands[1].shape[2]
    for operand in operands[1:]:
        expect_shape(operand, (B, Hn, S_k, D), "[B, Hn, S_k, D] of q and k")
    if type(causal) is not bool:
        raise UsageError(f"causal={causal!r} is not valid; give True or False")
    if scale is not None and (isinstance(scale, bool) or not isinstance(scale, int | float)):
        raise UsageError(f"scale={scale!r} is not a number; give a float, or None for 1/sqrt(D)")
    return AttentionShape(B, Hn, S_q, S_k, D, causal), common_dtype(operands)
