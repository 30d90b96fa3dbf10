"""The feed-forward block of a Transformer [D15]."""

from __future__ import annotations

from typing import Any

from energybench.kernels.call import TensorT, run
from energybench.kernels.composition import Part, composition
from energybench.kernels.families.linear.launch import LINEAR
from energybench.kernels.families.pointwise.launch import ADD, GELU
from energybench.kernels.ladder import AUTO


def _feed_forward(part: Part, x: Any, w1: Any, w2: Any, b1: Any = None, b2: Any = None) -> Any:
    rows = x.reshape(-1, x.shape[-1])
    hidden = part(GELU, part(LINEAR, rows, w1, b1))
    return part(ADD, rows, part(LINEAR, hidden, w2, b2)).reshape(x.shape)


FEED_FORWARD = composition(_feed_forward, "feed_forward")


def feed_forward(
    x: TensorT,
    w1: TensorT,
    w2: TensorT,
    b1: TensorT | None = None,
    b2: TensorT | None = None,
    *,
    variant: str = AUTO,
    threads: int | None = None,
) -> TensorT:
    """``x + linear(gelu(linear(x)))`` [D15], without dropout, which is nothing outside training.

    Args:
        x: ``[..., E]``, float32 or float64.
        w1: ``[F, E]``.
        w2: ``[E, F]``.
        b1: ``[F]`` or None.
        b2: ``[E]`` or None.
        variant: As `linear`'s.
        threads: As `linear`'s.

    Returns:
        ``y[..., E]`` of the caller's kind. Errors as those of `linear`.
    """
    (y,) = run(FEED_FORWARD, x, w1, w2, b1, b2, variant=variant, threads=threads)
    return y  # type: ignore[no-any-return]
