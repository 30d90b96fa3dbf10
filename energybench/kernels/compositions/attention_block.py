"""Multi-head attention with its four projections [D14]."""

from __future__ import annotations

from typing import Any

from energybench.errors import UsageError
from energybench.kernels.call import TensorT
from energybench.kernels.composition import Part, composition
from energybench.kernels.families.attention.launch import ATTENTION
from energybench.kernels.families.copies.launch import MERGE_HEADS, SPLIT_HEADS
from energybench.kernels.families.linear.launch import LINEAR
from energybench.kernels.ladder import AUTO


def _multi_head_attention(
    part: Part,
    x: Any,
    memory: Any,
    w_q: Any,
    w_k: Any,
    w_v: Any,
    w_o: Any,
    b_q: Any = None,
    b_k: Any = None,
    b_v: Any = None,
    b_o: Any = None,
    *,
    heads: int,
    causal: bool = False,
) -> Any:
    if x.ndim != 3 or (memory is not None and memory.ndim != 3):
        raise UsageError(f"x has {x.ndim} dimensions; give 3: [B, S, E], and memory as many")
    memory = x if memory is None else memory

    def project(sequence: Any, w: Any, b: Any) -> Any:
        rows = part(LINEAR, sequence.reshape(-1, sequence.shape[-1]), w, b)
        return rows.reshape(*sequence.shape[:2], -1)

    q, k, v = (
        part(SPLIT_HEADS, project(sequence, w, b), heads=heads)
        for sequence, w, b in ((x, w_q, b_q), (memory, w_k, b_k), (memory, w_v, b_v))
    )
    return project(part(MERGE_HEADS, part(ATTENTION, q, k, v, causal=causal)), w_o, b_o)


MULTI_HEAD_ATTENTION = composition(_multi_head_attention, "multi_head_attention")


def multi_head_attention(
    x: TensorT,
    memory: TensorT | None,
    w_q: TensorT,
    w_k: TensorT,
    w_v: TensorT,
    w_o: TensorT,
    b_q: TensorT | None = None,
    b_k: TensorT | None = None,
    b_v: TensorT | None = None,
    b_o: TensorT | None = None,
    *,
    heads: int,
    causal: bool = False,
    variant: str = AUTO,
    threads: int | None = None,
) -> TensorT:
    """Multi-head attention [D14]: three projections, heads apart, `attention`, heads merged, a fourth projection.

    The work of ``torch.nn.MultiheadAttention(need_weights=False, batch_first=True)``. Splitting the heads is a copy
    of its own here (`split_heads`, `merge_heads`), because `attention` reads dense heads.

    Args:
        x: ``[B, S_q, E]``, float32 or float64: what asks.
        memory: ``[B, S_k, E]``, what is asked; None is x (self-attention).
        w_q: ``[E, E]``, as are the three that follow.
        w_k: As w_q.
        w_v: As w_q.
        w_o: As w_q.
        b_q: ``[E]`` or None, as are the three that follow.
        b_k: As b_q.
        b_v: As b_q.
        b_o: As b_q.
        heads: Heads, a divisor of E.
        causal: As `attention`'s.
        variant: As `attention`'s.
        threads: As `attention`'s.

    Returns:
        ``y[B, S_q, E]`` of the caller's kind. Errors as those of the operators.
    """
    arrays = (x, memory, w_q, w_k, w_v, w_o, b_q, b_k, b_v, b_o)
    (y,) = MULTI_HEAD_ATTENTION.run(*arrays, heads=heads, causal=causal, variant=variant, threads=threads)
    return y  # type: ignore[no-any-return]
