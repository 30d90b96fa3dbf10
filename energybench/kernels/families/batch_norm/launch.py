"""Launching batch normalisation."""

from __future__ import annotations

from typing import Any, Generic, NamedTuple

from energybench.kernels.call import Begin, Outcome, TensorT
from energybench.kernels.families.batch_norm import counts
from energybench.kernels.families.batch_norm.shape import (
    BatchNormShape,
    batch_norm_backward_shape,
    batch_norm_shape,
)
from energybench.kernels.ladder import AUTO, CPU_ALONE
from energybench.kernels.operator import Operator


def _batch_norm(
    begin: Begin,
    s: BatchNormShape,
    x: Any,
    weight: Any = None,
    bias: Any = None,
    running_mean: Any = None,
    running_var: Any = None,
    *,
    momentum: float = 0.1,
    eps: float = 1e-5,
    **_options: Any,
) -> Outcome:
    given = {"weight": weight, "bias": bias, "running_mean": running_mean, "running_var": running_var}
    call = begin({"x": x, **given})
    y = call.allocate("y", *s.shape)
    kept = [call.allocate(name, s.C) if s.keep_statistics else None for name in ("mean", "rstd")]
    updated = s.training and s.has_running
    new = [call.allocate(name, s.C) if updated else None for name in ("new_mean", "new_var")]
    images = (s.N, s.C, s.S)
    arrays = [call.dense(x).reshape(images), *map(call.dense, given.values()), y.reshape(images), *kept, *new]
    return call.finish(call.run_cpu(*arrays, momentum, eps, s.training), y, *kept, *new)


def _batch_norm_backward(
    begin: Begin,
    s: BatchNormShape,
    grad: Any,
    x: Any,
    mean: Any,
    rstd: Any,
    weight: Any = None,
    *,
    eps: float = 1e-5,
    **_options: Any,
) -> Outcome:
    call = begin({"grad": grad, "x": x, "mean": mean, "rstd": rstd, "weight": weight})
    dx = call.allocate("dx", *s.shape)
    dweight = call.allocate("dweight", s.C) if s.has_weight else None
    dbias = call.allocate("dbias", s.C) if s.has_bias else None
    images = (s.N, s.C, s.S)
    tallies = call.run_cpu(
        *(call.dense(a).reshape(images) for a in (grad, x)),
        *map(call.dense, (mean, rstd, weight)),
        dx.reshape(images),
        dweight,
        dbias,
        eps,
        s.training,
    )
    return call.finish(tallies, dx, dweight, dbias)


BATCH_NORM = Operator("batch_norm", "forward", "norm", CPU_ALONE, batch_norm_shape, counts.batch_norm, _batch_norm)
BATCH_NORM_BACKWARD = Operator(
    *("batch_norm", "backward", "norm", CPU_ALONE),
    batch_norm_backward_shape,
    counts.batch_norm_backward,
    _batch_norm_backward,
)


class BatchNorm(NamedTuple, Generic[TensorT]):
    """Results of `batch_norm`; None where they were not asked for."""

    y: TensorT
    mean: TensorT | None
    rstd: TensorT | None
    running_mean: TensorT | None
    running_var: TensorT | None


def batch_norm(
    x: TensorT,
    weight: TensorT | None = None,
    bias: TensorT | None = None,
    running_mean: TensorT | None = None,
    running_var: TensorT | None = None,
    *,
    training: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
    return_statistics: bool = False,
    variant: str = AUTO,
    threads: int | None = None,
) -> BatchNorm[TensorT]:
    """Batch normalisation, equal to `torch.nn.functional.batch_norm`; the running statistics are not updated in place.

    Args:
        x: ``[N, C, ...]``, float32 or float64.
        weight: ``[C]`` or None.
        bias: ``[C]`` or None.
        running_mean: ``[C]``; with `running_var` needed for inference, in training None where none are kept.
        running_var: ``[C]``.
        training: Normalise by the statistics of the batch; otherwise by the running ones.
        momentum: Share of the batch in the new running statistics.
        eps: Added to the variance; torch's default.
        return_statistics: Training: also return the batch's mean and ``rstd = 1/sqrt(var + eps)``, for the backward
            pass.
        variant: As `linear`'s.
        threads: As `linear`'s.

    Returns:
        `BatchNorm`: y, mean and rstd, and the running statistics after this batch. Errors as `linear`'s.
    """
    options: Any = {
        "training": training,
        "momentum": momentum,
        "eps": eps,
        "return_statistics": return_statistics,
        "variant": variant,
        "threads": threads,
    }
    return BatchNorm(*BATCH_NORM.run(x, weight, bias, running_mean, running_var, **options))


def batch_norm_backward(
    grad: TensorT,
    x: TensorT,
    mean: TensorT,
    rstd: TensorT,
    weight: TensorT | None = None,
    *,
    training: bool = True,
    eps: float = 1e-5,
    has_bias: bool | None = None,
    variant: str = AUTO,
    threads: int | None = None,
) -> tuple[TensorT, TensorT | None, TensorT | None]:
    """Gradients of `batch_norm`, equal to `torch.ops.aten.native_batch_norm_backward`.

    Args:
        grad: ``[N, C, ...]``, the gradient of y.
        x: ``[N, C, ...]``, as in the forward pass.
        mean: ``[C]``, kept by the forward pass (``return_statistics=True``); inference: the running mean.
        rstd: ``[C]``, likewise; inference: the running *variance*.
        weight: ``[C]`` or None, as in the forward pass.
        training: As in the forward pass.
        eps: As in the forward pass; training does not need it.
        has_bias: Whether the layer has a bias; None where it has weights.
        variant: As `linear`'s.
        threads: As `linear`'s.

    Returns:
        ``dx[N, C, ...]``, ``dweight[C]`` (None without a weight) and ``dbias[C]`` (None without a bias). Errors as
        `linear`'s.
    """
    dx, dweight, dbias = BATCH_NORM_BACKWARD.run(
        grad, x, mean, rstd, weight, training=training, eps=eps, has_bias=has_bias, variant=variant, threads=threads
    )
    return dx, dweight, dbias
