"""Launching functions of a row: softmax and layer normalisation."""

from __future__ import annotations

from typing import Any

from energybench.kernels.call import Begin, Outcome, TensorT, run
from energybench.kernels.families.rows import counts
from energybench.kernels.families.rows.shape import RowShape, layer_norm_shape, softmax_shape
from energybench.kernels.ladder import AUTO, NAIVE_ONLY
from energybench.kernels.operator import Operator


def _softmax(begin: Begin, s: RowShape, x: Any) -> Outcome:
    call = begin({"x": x})
    y = call.allocate("y", *s.shape)
    arrays = [a.reshape(s.rows, s.n) for a in (call.dense(x), y)]
    tallies = call.run_cuda([s.rows, s.n], arrays) if call.on_cuda else call.run_cpu(*arrays)
    return call.finish(tallies, y)


def _layer_norm(
    begin: Begin,
    s: RowShape,
    x: Any,
    weight: Any = None,
    bias: Any = None,
    *,
    eps: float = 1e-5,
) -> Outcome:
    call = begin({"x": x, "weight": weight, "bias": bias})
    y = call.allocate("y", *s.shape)
    arrays = [call.dense(x).reshape(s.rows, s.n), call.dense(weight), call.dense(bias), y.reshape(s.rows, s.n)]
    tallies = call.run_cuda([s.rows, s.n], arrays, eps) if call.on_cuda else call.run_cpu(*arrays, eps)
    return call.finish(tallies, y)


SOFTMAX = Operator("softmax", "forward", "softmax", NAIVE_ONLY, softmax_shape, counts.softmax, _softmax)
LAYER_NORM = Operator("layer_norm", "forward", "norm", NAIVE_ONLY, layer_norm_shape, counts.layer_norm, _layer_norm)


def softmax(x: TensorT, *, variant: str = AUTO, threads: int | None = None) -> TensorT:
    """Softmax of ``x[..., n]`` over its last dimension, equal to `torch.softmax` with ``dim=-1``.

    Arguments, result and errors otherwise as `linear`'s.
    """
    (y,) = run(SOFTMAX, x, variant=variant, threads=threads)
    return y  # type: ignore[no-any-return]


def layer_norm(
    x: TensorT,
    weight: TensorT | None = None,
    bias: TensorT | None = None,
    *,
    eps: float = 1e-5,
    variant: str = AUTO,
    threads: int | None = None,
) -> TensorT:
    """Layer normalisation over the last dimension, equal to `torch.nn.functional.layer_norm`.

    Args:
        x: ``[..., n]``, float32 or float64.
        weight: ``[n]`` or None.
        bias: ``[n]`` or None.
        eps: Added to the variance; torch's default.
        variant: As `linear`'s.
        threads: As `linear`'s.

    Returns:
        ``y[..., n]`` of the caller's kind. Errors as `linear`'s.
    """
    (y,) = run(LAYER_NORM, x, weight, bias, eps=eps, variant=variant, threads=threads)
    return y  # type: ignore[no-any-return]
