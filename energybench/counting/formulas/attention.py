"""Scaled dot-product attention taken as one operator, dense or causal, with grouped queries; and its gradients."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import torch

from energybench.counting.conventions import Ops, ops
from energybench.counting.cost import Cost


def visible_pairs(queries: int, keys: int, *, causal: bool) -> int:
    """(query, key) pairs that see each other; causal is torch's top-left mask, query i sees min(i + 1, keys)."""
    if not causal:
        return queries * keys
    full = min(queries, keys)
    return full * (full + 1) // 2 + max(0, queries - keys) * keys


@dataclass(frozen=True)
class AttentionShape:
    """One attention call: `batch` is batch·query heads, q (batch, L, D), k (…, S, D), v (…, S, D_v)."""

    batch: int
    queries: int
    keys: int
    head: int
    value_head: int
    causal: bool = False
    mask: torch.dtype | None = None
    dropout: bool = False

    @property
    def pairs(self) -> int:
        """Visible pairs of all heads together."""
        return self.batch * visible_pairs(self.queries, self.keys, causal=self.causal)

    def _nominal(self, per_pair: int) -> int:
        return self.batch * self.queries * self.keys * per_pair

    def _extras(self) -> Ops:
        extra = Ops()
        if self.mask is not None:
            extra = ops("attention_mask_bool" if self.mask == torch.bool else "attention_mask_add")
        return extra.plus(ops("dropout")) if self.dropout else extra

    def forward(self) -> Cost:
        """Scores, softmax, weighting."""
        per_pair = self.head + self.value_head
        work = ops("attention").plus(self._extras()).times(self.pairs)
        return Cost("attention", macs=self.pairs * per_pair, nominal_macs=self._nominal(per_pair), ops=work)

    def backward(self, *, recompute: bool = True) -> Cost:
        """dV, dP, dQ, dK, and the scores again where the probabilities were not kept (flash)."""
        per_pair = 2 * (self.head + self.value_head) + (self.head if recompute else 0)
        work = ops("attention_backward" if recompute else "attention_backward_math")
        if recompute:
            work = work.plus(self._extras())
        elif self.dropout:
            work = work.plus(Ops(muls=1))
        delta = ops("attention_delta").times(self.batch * self.queries * self.value_head)
        return Cost(
            "attention",
            macs=self.pairs * per_pair,
            nominal_macs=self._nominal(per_pair),
            ops=work.times(self.pairs).plus(delta),
        )


def attention_output_shape(q: tuple[int, ...], k: tuple[int, ...], v: tuple[int, ...]) -> tuple[int, ...]:
    """(…, L, D_v) with the leading dimensions of q broadcast against k (grouped queries keep q's heads)."""
    return (*q[:-1], v[-1])


def attention_shape(
    q: tuple[int, ...],
    k: tuple[int, ...],
    v: tuple[int, ...],
    *,
    causal: bool,
    mask: torch.dtype | None,
    dropout: bool,
) -> AttentionShape:
    """The AttentionShape of tensors (…, L, D), (…, S, D), (…, S, D_v)."""
    return AttentionShape(prod(q[:-2]), q[-2], k[-2], q[-1], v[-1], causal, mask, dropout)
