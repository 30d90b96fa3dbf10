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


def _sizes(
    arrays: dict[str, Array], causal: object, scale: object, queries: tuple[str, ...] = (), rows: tuple[str, ...] = ()
) -> tuple[AttentionShape, str]:
    """Sizes from q, k and v, which come first; `queries` are shaped as q, `rows` as q without D. Raises UsageError."""
    q = describe("q", arrays["q"], "B Hn S_q D")
    k, v = (describe(name, arrays[name], "B Hn S_k D") for name in ("k", "v"))
    (B, Hn, S_q, D), S_k = q.shape, k.shape[2]
    for operand in (k, v):
        expect_shape(operand, (B, Hn, S_k, D), "[B, Hn, S_k, D] of q and k")
    more = [describe(name, arrays[name], "B Hn S_q D") for name in queries]
    for operand in more:
        expect_shape(operand, q.shape, "[B, Hn, S_q, D] of q")
    for name in rows:
        more.append(describe(name, arrays[name], "B Hn S_q"))
        expect_shape(more[-1], (B, Hn, S_q), "[B, Hn, S_q] of q")
    if type(causal) is not bool:
        raise UsageError(f"causal={causal!r} is not valid; give True or False")
    if scale is not None and (isinstance(scale, bool) or not isinstance(scale, int | float)):
        raise UsageError(f"scale={scale!r} is not a number; give a float, or None for 1/sqrt(D)")
    return AttentionShape(B, Hn, S_q, S_k, D, causal), common_dtype([q, k, v, *more])


def attention_shape(
    q: Array, k: Array, v: Array, *, causal: bool = False, scale: float | None = None
) -> tuple[AttentionShape, str]:
    """Sizes and element type of a call of `attention` or `online_attention`. Raises UsageError."""
    return _sizes({"q": q, "k": k, "v": v}, causal, scale)


def attention_backward_shape(
    grad: Array,
    q: Array,
    k: Array,
    v: Array,
    y: Array,
    lse: Array,
    *,
    causal: bool = False,
    scale: float | None = None,
) -> tuple[AttentionShape, str]:
    """Sizes and element type of a call of `attention_backward`. Raises UsageError."""
    arrays = {"grad": grad, "q": q, "k": k, "v": v, "y": y, "lse": lse}
    return _sizes(arrays, causal, scale, ("grad", "y"), ("lse",))
