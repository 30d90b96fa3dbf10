"""Launching functions of a row: softmax and layer normalisation."""

from __future__ import annotations

from typing import Any, Literal, overload

from energybench.kernels.call import Begin, Outcome, TensorT
from energybench.kernels.families.rows import counts
from energybench.kernels.families.rows.shape import (
    RowShape,
    layer_norm_backward_shape,
    layer_norm_shape,
    softmax_backward_shape,
    softmax_shape,
)
from energybench.kernels.ladder import AUTO, BLOCKS_ON_CUDA, TUNED_ON_CPU
from energybench.kernels.operator import Operator


def _softmax(begin: Begin, s: RowShape, x: Any) -> Outcome:
    call = begin({"x": x})
    y = call.allocate("y", *s.shape)
    x_rows, y_rows = (a.reshape(s.rows, s.n) for a in (call.dense(x), y))
    arrays = [x_rows, None, y_rows]
    tallies = call.run_cuda([s.rows, s.n], arrays) if call.on_cuda else call.run_cpu(*arrays)
    return call.finish(tallies, y)


def _softmax_backward(begin: Begin, s: RowShape, grad: Any, y: Any) -> Outcome:
    call = begin({"grad": grad, "y": y})
    dx = call.allocate("dx", *s.shape)
    arrays = [a.reshape(s.rows, s.n) for a in (call.dense(grad), call.dense(y), dx)]
    tallies = call.run_cuda([s.rows, s.n], arrays) if call.on_cuda else call.run_cpu(*arrays)
    return call.finish(tallies, dx)


def _layer_norm(
    begin: Begin, s: RowShape, x: Any, weight: Any = None, bias: Any = None, *, eps: float = 1e-5, **_options: Any
) -> Outcome:
    call = begin({"x": x, "weight": weight, "bias": bias})
    y = call.allocate("y", *s.shape)
    rows = s.shape[:-1]
    mean, rstd = (call.allocate(name, *rows) if s.keep_statistics else None for name in ("mean", "rstd"))
    arrays = [call.dense(x).reshape(s.rows, s.n), call.dense(weight), call.dense(bias), y.reshape(s.rows, s.n)]
    arrays += [None if a is None else a.reshape(s.rows) for a in (mean, rstd)]
    tallies = call.run_cuda([s.rows, s.n], arrays, eps) if call.on_cuda else call.run_cpu(*arrays, eps)
    return call.finish(tallies, *((y, mean, rstd) if s.keep_statistics else (y,)))


def _layer_norm_backward(
    begin: Begin, s: RowShape, grad: Any, x: Any, mean: Any, rstd: Any, weight: Any = None, **_options: Any
) -> Outcome:
    call = begin({"grad": grad, "x": x, "mean": mean, "rstd": rstd, "weight": weight})
    dx = call.allocate("dx", *s.shape)
    dweight = call.allocate("dweight", s.n) if s.has_weight else None
    dbias = call.allocate("dbias", s.n) if s.has_bias else None
    arrays = [
        *(call.dense(a).reshape(s.rows, s.n) for a in (grad, x)),
        *(call.dense(a).reshape(s.rows) for a in (mean, rstd)),
        call.dense(weight),
        dx.reshape(s.rows, s.n),
        dweight,
        dbias,
    ]
    if call.on_cuda:
        waiting = call.allocate("scratch", s.rows, s.n) if s.has_weight else None
        return call.finish(call.run_cuda([s.rows, s.n], [*arrays, waiting]), dx, dweight, dbias)
    tallies = call.run_cpu(*arrays)
    return call.finish(tallies, dx, dweight, dbias)


SOFTMAX = Operator("softmax", "forward", "softmax", BLOCKS_ON_CUDA, softmax_shape, counts.softmax, _softmax)
SOFTMAX_BACKWARD = Operator(
    "softmax", "backward", "softmax", TUNED_ON_CPU, softmax_backward_shape, counts.softmax_backward, _softmax_backward
)
LOG_SOFTMAX = Operator("log_softmax", "forward", "softmax", TUNED_ON_CPU, softmax_shape, counts.log_softmax, _softmax)
LOG_SOFTMAX_BACKWARD = Operator(
    *("log_softmax", "backward", "softmax", TUNED_ON_CPU),
    softmax_backward_shape,
    counts.log_softmax_backward,
    _softmax_backward,
)
LAYER_NORM = Operator("layer_norm", "forward", "norm", BLOCKS_ON_CUDA, layer_norm_shape, counts.layer_norm, _layer_norm)
LAYER_NORM_BACKWARD = Operator(
    *("layer_norm", "backward", "norm", TUNED_ON_CPU),
    layer_norm_backward_shape,
    counts.layer_norm_backward,
    _layer_norm_backward,
)


def softmax(x: TensorT, *, variant: str = AUTO, threads: int | None = None) -> TensorT:
    """Softmax of ``x[..., n]`` over its last dimension, equal to `torch.softmax` with ``dim=-1``.

    Arguments, result and errors otherwise as `linear`'s.
    """
    (y,) = SOFTMAX.run(x, variant=variant, threads=threads)
    return y  # type: ignore[no-any-return]


def softmax_backward(grad: TensorT, y: TensorT, *, variant: str = AUTO, threads: int | None = None) -> TensorT:
    """Gradient of `softmax` from its result: ``y·(grad − Σ grad·y)``; shapes, results and errors as `softmax`'s."""
    (dx,) = SOFTMAX_BACKWARD.run(grad, y, variant=variant, threads=threads)
    return dx  # type: ignore[no-any-return]


def log_softmax(x: TensorT, *, variant: str = AUTO, threads: int | None = None) -> TensorT:
    """Logarithm of the softmax over the last dimension, equal to `torch.log_softmax`; otherwise as `softmax`."""
    (y,) = LOG_SOFTMAX.run(x, variant=variant, threads=threads)
    return y  # type: ignore[no-any-return]


def log_softmax_backward(grad: TensorT, y: TensorT, *, variant: str = AUTO, threads: int | None = None) -> TensorT:
    """Gradient of `log_softmax` from its result: ``grad − exp(y)·Σ grad``; otherwise as `softmax_backward`."""
    (dx,) = LOG_SOFTMAX_BACKWARD.run(grad, y, variant=variant, threads=threads)
    return dx  # type: ignore[no-any-return]


@overload
def layer_norm(
    x: TensorT,
    weight: TensorT | None = None,
    bias: TensorT | None = None,
    *,
    eps: float = 1e-5,
    return_statistics: Literal[False] = False,
    variant: str = AUTO,
    threads: int | None = None,
) -> TensorT: ...
@overload
def layer_norm(
    x: TensorT,
    weight: TensorT | None = None,
    bias: TensorT | None = None,
    *,
    eps: float = 1e-5,
    return_statistics: Literal[True],
    variant: str = AUTO,
    threads: int | None = None,
) -> tuple[TensorT, TensorT, TensorT]: ...
def layer_norm(
    x: TensorT,
    weight: TensorT | None = None,
    bias: TensorT | None = None,
    *,
    eps: float = 1e-5,
    return_statistics: bool = False,
    variant: str = AUTO,
    threads: int | None = None,
) -> TensorT | tuple[TensorT, TensorT, TensorT]:
    """Layer normalisation over the last dimension, equal to `torch.nn.functional.layer_norm`.

    Args:
        x: ``[..., n]``, float32 or float64.
        weight: ``[n]`` or None.
        bias: ``[n]`` or None.
        eps: Added to the variance; torch's default.
        return_statistics: Also return the mean and ``rstd = 1/sqrt(var + eps)`` of each row, for the backward pass.
        variant: As `linear`'s.
        threads: As `linear`'s.

    Returns:
        ``y[..., n]`` of the caller's kind, or it with ``mean[...]`` and ``rstd[...]``. Errors as `linear`'s.
    """
    results = LAYER_NORM.run(
        x, weight, bias, eps=eps, return_statistics=return_statistics, variant=variant, threads=threads
    )
    return results if return_statistics else results[0]


def layer_norm_backward(
    grad: TensorT,
    x: TensorT,
    mean: TensorT,
    rstd: TensorT,
    weight: TensorT | None = None,
    *,
    has_bias: bool | None = None,
    variant: str = AUTO,
    threads: int | None = None,
) -> tuple[TensorT, TensorT | None, TensorT | None]:
    """Gradients of `layer_norm`, equal to `torch.ops.aten.native_layer_norm_backward`.

    Args:
        grad: ``[..., n]``, the gradient of y.
        x: ``[..., n]``, as in the forward pass.
        mean: ``[...]``, kept by the forward pass (``return_statistics=True``).
        rstd: ``[...]``, likewise.
        weight: ``[n]`` or None, as in the forward pass.
        has_bias: Whether the layer has a bias; None where it has weights.
        variant: As `linear`'s.
        threads: As `linear`'s.

    Returns:
        ``dx[..., n]``, ``dweight[n]`` (None without a weight) and ``dbias[n]`` (None without a bias). Errors as
        `linear`'s.
    """
    dx, dweight, dbias = LAYER_NORM_BACKWARD.run(
        grad, x, mean, rstd, weight, has_bias=has_bias, variant=variant, threads=threads
    )
    return dx, dweight, dbias
