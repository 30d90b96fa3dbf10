"""Scaled dot-product attention taken as one operator, dense or causal, with grouped queries; and its gradients."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import torch

from energybench.counting.call import OpCall, TensorSpec
from energybench.counting.conventions import Ops, ops
from energybench.counting.cost import Cost
from energybench.counting.formulas.registry import register_formula


def visible_pairs(
    queries: int, keys: int, *, causal: bool, window: tuple[int, int] = (-1, -1), last_aligned: bool = False
) -> int:
    """(query, key) pairs that see each other.

    `causal` is torch's mask, query i sees keys up to i; with `last_aligned` the last query sees the last key, as flash
    kernels have it. `window`: how many keys before and after its own a query sees, −1 for all.
    """
    before, after = window
    if causal:
        after = 0 if after < 0 else min(after, 0)
    shift = keys - queries if last_aligned else 0
    if before < 0 and after < 0:
        return queries * keys
    return _below(queries, keys, shift + after if after >= 0 else keys) - (
        _below(queries, keys, shift - before - 1) if before >= 0 else 0
    )


def _below(queries: int, keys: int, offset: int) -> int:
    """Pairs with key ≤ query + offset: Σ over queries of i + offset + 1, held between 0 and `keys`."""
    first = max(0, min(queries, -offset))  # queries before it see nothing
    full = max(first, min(queries, keys - offset - 1))  # from here on they see every key
    rising = full - first
    return rising * (first + offset + 1) + rising * (rising - 1) // 2 + (queries - full) * keys


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
    window: tuple[int, int] = (-1, -1)
    last_aligned: bool = False

    @property
    def pairs(self) -> int:
        """Visible pairs of all heads together."""
        return self.batch * visible_pairs(
            self.queries, self.keys, causal=self.causal, window=self.window, last_aligned=self.last_aligned
        )

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


# ── the fused kernels by name, as a program that was traced for a device has them ────────────────────────────────────
_HEADS_FIRST: Final = tuple(
    f"_scaled_dot_product_{kind}"
    for kind in (
        "flash_attention_for_cpu",
        "flash_attention",
        "efficient_attention",
        "cudnn_attention",
        "fused_attention_overrideable",
    )
)
_HEADS_LAST: Final = ("_flash_attention", "_efficient_attention")


def _named(call: OpCall) -> dict[str, Any]:
    """Arguments by the names of the operator's schema."""
    schema = getattr(torch.ops.aten, call.name.removeprefix("aten.")).default._schema
    return {**dict(zip((a.name for a in schema.arguments), call.args, strict=False)), **call.kwargs}


def _shape(given: Mapping[str, Any], *, heads_last: bool) -> AttentionShape | None:
    """What a kernel is called with; None where sequences of unknown lengths are packed into one."""
    q, k, v = (given[name].shape for name in ("query", "key", "value"))
    if len(q) != 4:
        return None
    queries, keys, heads = (q[1], k[1], q[2]) if heads_last else (q[2], k[2], q[1])
    mask = next((given[n] for n in ("attn_mask", "attn_bias", "bias") if given.get(n) is not None), None)
    kind = given.get("custom_mask_type", 0)  # 1 causal, 2 causal with the last ones aligned
    flash = heads_last and "custom_mask_type" not in given
    before, after = (given.get(f"window_size_{side}") for side in ("left", "right"))
    return AttentionShape(
        q[0] * heads,
        queries,
        keys,
        q[3],
        v[3],
        causal=bool(given.get("is_causal") or kind),
        mask=mask.dtype if isinstance(mask, TensorSpec) and mask.numel else None,
        dropout=bool(given.get("dropout_p")),
        window=(-1 if before is None else before, -1 if after is None else after),
        last_aligned=flash or kind == 2,
    )


def _operands(given: Mapping[str, Any]) -> tuple[TensorSpec | None, ...]:
    names = ("query", "key", "value", "attn_mask", "attn_bias", "bias", "out", "logsumexp", "grad_out", "grad_out_")
    return tuple(given[n] for n in names if isinstance(given.get(n), TensorSpec))


@register_formula(*(f"aten::{n}" for n in _HEADS_FIRST), *(f"aten::{n}_forward" for n in _HEADS_LAST))
def fused(call: OpCall) -> Cost | None:
    """Forward; the log-sum-exp of each row is written where a backward pass will read it."""
    given = _named(call)
    shape = _shape(given, heads_last=call.name.endswith("_forward"))
    if shape is None:
        return None
    return shape.forward().with_traffic(reads=_operands(given), writes=call.results[: 2 if call.gradient else 1])


@register_formula(*(f"aten::{name}_backward" for name in (*_HEADS_FIRST, *_HEADS_LAST)))
def fused_backward(call: OpCall) -> Cost | None:
    """Backward with the scores computed again."""
    given = _named(call)
    heads_last = call.name.removeprefix("aten.").removesuffix("_backward") in _HEADS_LAST
    shape = _shape(given, heads_last=heads_last)
    return None if shape is None else shape.backward().with_traffic(reads=_operands(given))
