"""The feed-forward block of a Transformer [D15]."""

from __future__ import annotations

from typing import Any

from energybench.errors import UsageError
from energybench.kernels.call import TensorT
from energybench.kernels.composition import Part, composition
from energybench.kernels.families.dropout.launch import DROPOUT
from energybench.kernels.families.linear.launch import LINEAR
from energybench.kernels.families.pointwise.launch import ADD, GELU
from energybench.kernels.ladder import AUTO


def _feed_forward(
    part: Part,
    x: Any,
    w1: Any,
    w2: Any,
    b1: Any = None,
    b2: Any = None,
    *,
    p: float | None = None,
    seed: int | None = None,
) -> Any:
    if (p is None) != (seed is None):
        raise UsageError(f"p={p!r} and seed={seed!r} do not go together; give both for dropout or neither")
    rows = x.reshape(-1, x.shape[-1])
    hidden = part(GELU, part(LINEAR, rows, w1, b1))
    if p is not None:
        hidden, _mask = part(DROPOUT, hidden, p=p, seed=seed)
    return part(ADD, rows, part(LINEAR, hidden, w2, b2)).reshape(x.shape)


FEED_FORWARD = composition(_feed_forward, "feed_forward")


def feed_forward(
    x: TensorT,
    w1: TensorT,
    w2: TensorT,
    b1: TensorT | None = None,
    b2: TensorT | None = None,
    *,
    p: float | None = None,
    seed: int | None = None,
    variant: str = AUTO,
    threads: int | None = None,
) -> TensorT:
    """``x + linear(dropout(gelu(linear(x))))`` [D15]; dropout, which is nothing outside training, only where asked for.

    Args:
        x: ``[..., E]``, float32 or float64.
        w1: ``[F, E]``.
        w2: ``[E, F]``.
        b1: ``[F]`` or None.
        b2: ``[E]`` or None.
        p: `dropout`'s, of the hidden rows ``[rows, F]`` as one array; None: no dropout.
        seed: `dropout`'s; its mask is that of `dropout` of an array of that shape with the same p and seed.
        variant: As `linear`'s.
        threads: As `linear`'s.

    Returns:
        ``y[..., E]`` of the caller's kind. Errors as those of `linear`.
    """
    (y,) = FEED_FORWARD.run(x, w1, w2, b1, b2, p=p, seed=seed, variant=variant, threads=threads)
    return y  # type: ignore[no-any-return]
