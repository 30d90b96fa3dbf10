"""Launching functions of one element."""

from __future__ import annotations

from typing import Any

from energybench.kernels.call import Begin, Outcome, TensorT, run
from energybench.kernels.families.pointwise import counts
from energybench.kernels.families.pointwise.shape import PointwiseShape, pointwise_shape
from energybench.kernels.ladder import AUTO, NAIVE_ONLY
from energybench.kernels.operator import Operator


def _pointwise(begin: Begin, s: PointwiseShape, x: Any) -> Outcome:
    call = begin({"x": x})
    y = call.allocate("y", *s.shape)
    arrays = [a.reshape(s.n) for a in (call.dense(x), y)]
    tallies = call.run_cuda([s.n], arrays) if call.on_cuda else call.run_cpu(*arrays)
    return call.finish(tallies, y)


RELU = Operator("relu", "forward", "pointwise", NAIVE_ONLY, pointwise_shape, counts.relu, _pointwise)
SIGMOID = Operator("sigmoid", "forward", "pointwise", NAIVE_ONLY, pointwise_shape, counts.sigmoid, _pointwise)
TANH = Operator("tanh", "forward", "pointwise", NAIVE_ONLY, pointwise_shape, counts.tanh, _pointwise)
GELU = Operator("gelu", "forward", "pointwise", NAIVE_ONLY, pointwise_shape, counts.gelu, _pointwise)


def relu(x: TensorT, *, variant: str = AUTO, threads: int | None = None) -> TensorT:
    """``max(x, 0)`` of each element; NaN stays NaN. Arguments, result and errors otherwise as `linear`'s."""
    (y,) = run(RELU, x, variant=variant, threads=threads)
    return y  # type: ignore[no-any-return]


def sigmoid(x: TensorT, *, variant: str = AUTO, threads: int | None = None) -> TensorT:
    """``1 / (1 + exp(−x))`` of each element. Arguments, result and errors otherwise as `linear`'s."""
    (y,) = run(SIGMOID, x, variant=variant, threads=threads)
    return y  # type: ignore[no-any-return]


def tanh(x: TensorT, *, variant: str = AUTO, threads: int | None = None) -> TensorT:
    """``tanh(x)`` of each element. Arguments, result and errors otherwise as `linear`'s."""
    (y,) = run(TANH, x, variant=variant, threads=threads)
    return y  # type: ignore[no-any-return]


def gelu(x: TensorT, *, variant: str = AUTO, threads: int | None = None) -> TensorT:
    """``½x · (1 + erf(x/√2))`` of each element. Arguments, result and errors otherwise as `linear`'s."""
    (y,) = run(GELU, x, variant=variant, threads=threads)
    return y  # type: ignore[no-any-return]
