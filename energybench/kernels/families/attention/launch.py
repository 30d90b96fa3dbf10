"""Launching the core of multi-head attention."""

from __future__ import annotations

import math
from typing import Any, Final

from energybench.kernels.call import Begin, Outcome, TensorT, run
from energybench.kernels.families.attention import counts
from energybench.kernels.families.attention.shape import AttentionShape, attention_shape
from energybench.kernels.ladder import AUTO, TUNED_ON_CPU
from energybench.kernels.operator import Operator

#: Elements of padding between two threads' scratch rows: 64 of float32 are four cache lines, so none is shared.
_ROW_PADDING: Final = 64


def _attention(
    begin: Begin,
    s: AttentionShape,
    q: Any,
    k: Any,
    v: Any,
    *,
    scale: float | None = None,
    **_options: Any,
) -> Outcome:
    call = begin({"q": q, "k": k, "v": v})
    factor = 1 / math.sqrt(s.D) if scale is None else float(scale)
    y = call.allocate("y", s.B, s.Hn, s.S_q, s.D)
    rows, row_length = (s.B * s.Hn * s.S_q, s.S_k) if call.on_cuda else (call.threads, s.S_k + _ROW_PADDING)
    scratch = call.allocate("scratch", rows, row_length)
    arrays = [*map(call.dense, (q, k, v)), y, scratch]
    if call.on_cuda:
        tallies = call.run_cuda([s.B, s.Hn, s.S_q, s.S_k, s.D, int(s.causal)], arrays, factor)
    else:
        tallies = call.run_cpu(*arrays, factor, s.causal)
    return call.finish(tallies, y)


ATTENTION = Operator("attention", "forward", "attention", TUNED_ON_CPU, attention_shape, counts.attention, _attention)


def attention(
    q: TensorT,
    k: TensorT,
    v: TensorT,
    *,
    causal: bool = False,
    scale: float | None = None,
    variant: str = AUTO,
    threads: int | None = None,
) -> TensorT:
    """The core of multi-head attention: ``softmax(scale · q kᵀ) v`` [D13, D14].

    Equal to `torch.nn.functional.scaled_dot_product_attention`.

    Args:
        q: ``[B, Hn, S_q, D]``, float32 or float64.
        k: ``[B, Hn, S_k, D]``.
        v: ``[B, Hn, S_k, D]``.
        causal: Query i sees keys 0…i (aligned at the top left); masked keys are skipped, not computed.
        scale: Factor of the scores; None is ``1/sqrt(D)``.
        variant: ``auto`` or a rung of the ladder.
        threads: CPU threads; None as torch or ``OMP_NUM_THREADS`` say.

    Returns:
        ``y[B, Hn, S_q, D]`` of the caller's kind.

    Raises:
        UsageError: The arguments cannot work; the message says which and what would.
        NativeModuleError: The compiled kernels are missing or the device failed.
    """
    (y,) = run(ATTENTION, q, k, v, causal=causal, scale=scale, variant=variant, threads=threads)
    return y  # type: ignore[no-any-return]
