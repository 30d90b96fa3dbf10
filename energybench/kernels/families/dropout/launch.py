"""Launching dropout."""

from __future__ import annotations

from typing import Any

from energybench.kernels.call import Begin, Outcome, TensorT
from energybench.kernels.families.dropout import counts
from energybench.kernels.families.dropout.shape import DropoutShape, dropout_backward_shape, dropout_shape
from energybench.kernels.ladder import AUTO, CPU_ALONE
from energybench.kernels.operator import Operator


def _dropout(begin: Begin, s: DropoutShape, x: Any, *, p: float, seed: int) -> Outcome:
    call = begin({"x": x})
    y, mask = call.allocate("y", *s.shape), call.allocate("mask", *s.shape, dtype="uint8")
    tallies = call.run_cpu(call.dense(x).reshape(-1), y.reshape(-1), mask.reshape(-1), 1 - p, seed)
    return call.finish(tallies, y, mask)


def _dropout_backward(begin: Begin, s: DropoutShape, grad: Any, mask: Any, *, p: float) -> Outcome:
    call = begin({"grad": grad, "mask": mask})
    dx = call.allocate("dx", *s.shape)
    tallies = call.run_cpu(call.dense(grad).reshape(-1), call.dense(mask).reshape(-1), dx.reshape(-1), 1 - p)
    return call.finish(tallies, dx)


DROPOUT = Operator("dropout", "forward", "pointwise", CPU_ALONE, dropout_shape, counts.dropout, _dropout)
DROPOUT_BACKWARD = Operator(
    "dropout", "backward", "pointwise", CPU_ALONE, dropout_backward_shape, counts.dropout_backward, _dropout_backward
)


def dropout(
    x: TensorT, *, p: float, seed: int, variant: str = AUTO, threads: int | None = None
) -> tuple[TensorT, TensorT]:
    """Dropout as torch's in training, ``x·mask/(1 − p)``, with a mask that `seed` and an element's place decide.

    The random numbers are Philox4x32-10's (docs/kernels/dropout.md states which element gets which), the same on every
    rung and with any number of threads; they are not torch's.

    Args:
        x: Any shape, float32 or float64.
        p: Probability of dropping an element, below 1.
        seed: From 0 to 2⁶⁴ − 1. A layer needs another one at each step.
        variant: As `linear`'s.
        threads: As `linear`'s.

    Returns:
        y and the mask, uint8, 1 where an element is kept; both of x's shape. Errors as `linear`'s.
    """
    y, mask = DROPOUT.run(x, p=p, seed=seed, variant=variant, threads=threads)
    return y, mask


def dropout_backward(
    grad: TensorT, mask: TensorT, *, p: float, variant: str = AUTO, threads: int | None = None
) -> TensorT:
    """Gradient of `dropout`: ``grad·mask/(1 − p)``; `mask` and `p` as in the forward pass, otherwise as `dropout`."""
    (dx,) = DROPOUT_BACKWARD.run(grad, mask, p=p, variant=variant, threads=threads)
    return dx  # type: ignore[no-any-return]
