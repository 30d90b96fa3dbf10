"""Launching the core of multi-head attention, its gradients, and its online form."""

from __future__ import annotations

import math
from typing import Any, Final

from energybench.kernels.call import Begin, Outcome, TensorT
from energybench.kernels.families.attention import counts
from energybench.kernels.families.attention.shape import AttentionShape, attention_backward_shape, attention_shape
from energybench.kernels.ladder import AUTO, TUNED_ON_CPU
from energybench.kernels.operator import Operator

#: Elements of padding between two threads' scratch rows: 64 of float32 are four cache lines, so none is shared.
_ROW_PADDING: Final = 64


def _factor(s: AttentionShape, scale: float | None) -> float:
    return 1 / math.sqrt(s.D) if scale is None else float(scale)


def _cuda_sizes(s: AttentionShape) -> list[int]:
    return [s.B, s.Hn, s.S_q, s.S_k, s.D, int(s.causal)]


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
    factor = _factor(s, scale)
    y = call.allocate("y", s.B, s.Hn, s.S_q, s.D)
    rows, row_length = (s.B * s.Hn * s.S_q, s.S_k) if call.on_cuda else (call.threads, s.S_k + _ROW_PADDING)
    scratch = call.allocate("scratch", rows, row_length)
    arrays = [*map(call.dense, (q, k, v)), y, scratch]
    tallies = call.run_cuda(_cuda_sizes(s), arrays, factor) if call.on_cuda else call.run_cpu(*arrays, factor, s.causal)
    return call.finish(tallies, y)


def _attention_backward(
    begin: Begin,
    s: AttentionShape,
    *arrays: Any,
    scale: float | None = None,
    **_options: Any,
) -> Outcome:
    call = begin(dict(zip(("grad", "q", "k", "v", "y", "lse"), arrays, strict=True)))
    gradients = [
        call.allocate(name, s.B, s.Hn, length, s.D) for name, length in (("dq", s.S_q), ("dk", s.S_k), ("dv", s.S_k))
    ]
    operands, factor = [*map(call.dense, arrays), *gradients], _factor(s, scale)
    if call.on_cuda:
        return call.finish(call.run_cuda(_cuda_sizes(s), operands, factor), *gradients)
    return call.finish(call.run_cpu(*operands, factor, s.causal), *gradients)


def _online_attention(
    begin: Begin, s: AttentionShape, q: Any, k: Any, v: Any, *, scale: float | None = None, **_options: Any
) -> Outcome:
    call = begin({"q": q, "k": k, "v": v})
    y, lse = call.allocate("y", s.B, s.Hn, s.S_q, s.D), call.allocate("lse", s.B, s.Hn, s.S_q)
    operands, factor = [*map(call.dense, (q, k, v)), y, lse], _factor(s, scale)
    if call.on_cuda:
        scratch = call.allocate("scratch", s.B * s.Hn * s.S_q, counts.BLOCK)
        return call.finish(call.run_cuda(_cuda_sizes(s), [*operands, scratch], factor), y, lse)
    return call.finish(call.run_cpu(*operands, factor, s.causal), y, lse)


ATTENTION = Operator("attention", "forward", "attention", TUNED_ON_CPU, attention_shape, counts.attention, _attention)
ATTENTION_BACKWARD = Operator(
    *("attention", "backward", "attention", TUNED_ON_CPU),
    attention_backward_shape,
    counts.attention_backward,
    _attention_backward,
)
ONLINE_ATTENTION = Operator(
    *("online_attention", "forward", "attention", TUNED_ON_CPU),
    attention_shape,
    counts.online_attention,
    _online_attention,
)


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
    (y,) = ATTENTION.run(q, k, v, causal=causal, scale=scale, variant=variant, threads=threads)
    return y  # type: ignore[no-any-return]


def online_attention(
    q: TensorT,
    k: TensorT,
    v: TensorT,
    *,
    causal: bool = False,
    scale: float | None = None,
    variant: str = AUTO,
    threads: int | None = None,
) -> tuple[TensorT, TensorT]:
    """The core of multi-head attention with an online softmax, block of keys by block of keys (Dao et al. 2022).

    Equal to `attention` in its result, not in its work: docs/kernels/attention.md.

    Args:
        q: As `attention`'s.
        k: As `attention`'s.
        v: As `attention`'s.
        causal: As `attention`'s.
        scale: As `attention`'s.
        variant: As `attention`'s.
        threads: As `attention`'s.

    Returns:
        ``y[B, Hn, S_q, D]``, and ``lse[B, Hn, S_q]``, the logarithm of each query's sum of exponentials, which
        `attention_backward` needs. Errors as `attention`'s.
    """
    y, lse = ONLINE_ATTENTION.run(q, k, v, causal=causal, scale=scale, variant=variant, threads=threads)
    return y, lse


def attention_backward(
    grad: TensorT,
    q: TensorT,
    k: TensorT,
    v: TensorT,
    y: TensorT,
    lse: TensorT,
    *,
    causal: bool = False,
    scale: float | None = None,
    variant: str = AUTO,
    threads: int | None = None,
) -> tuple[TensorT, TensorT, TensorT]:
    """Gradients of `attention`, equal to those of torch's autograd.

    Args:
        grad: ``[B, Hn, S_q, D]``, the gradient of y.
        q: As in the forward pass.
        k: As in the forward pass.
        v: As in the forward pass.
        y: The result of the forward pass.
        lse: ``[B, Hn, S_q]``, which `online_attention` returns: the logarithm of each query's sum of exponentials.
        causal: As in the forward pass.
        scale: As in the forward pass.
        variant: As `attention`'s.
        threads: As `attention`'s.

    Returns:
        dq, dk and dv, shaped as q, k and v. Errors as `attention`'s.
    """
    dq, dk, dv = ATTENTION_BACKWARD.run(
        grad, q, k, v, y, lse, causal=causal, scale=scale, variant=variant, threads=threads
    )
    return dq, dk, dv
