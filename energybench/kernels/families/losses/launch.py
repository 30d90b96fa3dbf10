"""Launching cross-entropy."""

from __future__ import annotations

from typing import Any

from energybench.kernels.call import Begin, Outcome, TensorT
from energybench.kernels.families.losses import counts
from energybench.kernels.families.losses.shape import (
    ClassShape,
    cross_entropy_backward_shape,
    cross_entropy_shape,
)
from energybench.kernels.ladder import AUTO, CPU_ALONE
from energybench.kernels.operator import Operator


def _cross_entropy(begin: Begin, s: ClassShape, x: Any, targets: Any) -> Outcome:
    call = begin({"x": x, "targets": targets})
    loss, y = call.allocate("loss"), call.allocate("y", s.rows, s.n)
    tallies = call.run_cpu(call.dense(x), call.dense(targets), y, loss.reshape(1))
    return call.finish(tallies, loss, y)


def _cross_entropy_backward(begin: Begin, s: ClassShape, grad: Any, y: Any, targets: Any) -> Outcome:
    call = begin({"grad": grad, "y": y, "targets": targets})
    dx = call.allocate("dx", s.rows, s.n)
    tallies = call.run_cpu(call.dense(grad).reshape(1), call.dense(y), call.dense(targets), dx)
    return call.finish(tallies, dx)


CROSS_ENTROPY = Operator(
    "cross_entropy", "forward", "loss", CPU_ALONE, cross_entropy_shape, counts.cross_entropy, _cross_entropy
)
CROSS_ENTROPY_BACKWARD = Operator(
    *("cross_entropy", "backward", "loss", CPU_ALONE),
    cross_entropy_backward_shape,
    counts.cross_entropy_backward,
    _cross_entropy_backward,
)


def cross_entropy(
    x: TensorT, targets: TensorT, *, variant: str = AUTO, threads: int | None = None
) -> tuple[TensorT, TensorT]:
    """Cross-entropy of logits and classes, equal to `torch.nn.functional.cross_entropy`: the mean over the rows.

    Args:
        x: ``[rows, n]``, logits, float32 or float64.
        targets: ``[rows]``, int64, classes from 0 to n − 1; none is ignored.
        variant: As `linear`'s.
        threads: As `linear`'s.

    Returns:
        The loss, ``[]``, and ``y[rows, n]``, the logarithms of the probabilities, which the backward pass needs.

    Raises:
        UsageError: As `linear`'s.
        NativeModuleError: A target is no class.
    """
    loss, y = CROSS_ENTROPY.run(x, targets, variant=variant, threads=threads)
    return loss, y


def cross_entropy_backward(
    grad: TensorT, y: TensorT, targets: TensorT, *, variant: str = AUTO, threads: int | None = None
) -> TensorT:
    """Gradient of `cross_entropy`: ``(exp(y) − [i = target])·grad/rows``.

    Args:
        grad: ``[]``, the gradient of the loss.
        y: ``[rows, n]``, from the forward pass.
        targets: ``[rows]``, as in the forward pass.
        variant: As `linear`'s.
        threads: As `linear`'s.

    Returns:
        ``dx[rows, n]``. Errors as `cross_entropy`'s.
    """
    (dx,) = CROSS_ENTROPY_BACKWARD.run(grad, y, targets, variant=variant, threads=threads)
    return dx  # type: ignore[no-any-return]
