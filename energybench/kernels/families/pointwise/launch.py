"""Launching functions of one element, forward and backward."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from energybench.errors import UsageError
from energybench.kernels.call import Begin, Outcome, TensorT
from energybench.kernels.families.pointwise import shape as shapes
from energybench.kernels.families.pointwise.counts import POINTWISE_COUNTS
from energybench.kernels.families.pointwise.shape import PointwiseShape
from energybench.kernels.ladder import AUTO, CPU_ALONE, TUNED_ON_CPU, Ladders
from energybench.kernels.operator import Operator
from energybench.records.vocabulary import Direction


def _of_one(begin: Begin, s: PointwiseShape, x: Any, *, negative_slope: float = 0.0) -> Outcome:
    call = begin({"x": x})
    y = call.allocate("y", *s.shape)
    x_flat, y_flat = call.dense(x).reshape(s.n), y.reshape(s.n)
    if call.on_cuda:
        tallies = call.run_cuda([s.n], [x_flat, y_flat])
    else:
        tallies = call.run_cpu(None, [x_flat], [y_flat], [negative_slope], 1)
    return call.finish(tallies, y)


def _of_two(begin: Begin, s: PointwiseShape, a: Any, b: Any, *, negative_slope: float = 0.0) -> Outcome:
    call = begin({"grad": a, "kept": b})
    result = call.allocate("dx", *s.shape)
    arrays = [call.dense(array).reshape(s.n) for array in (a, b)]
    return call.finish(call.run_cpu(None, arrays, [result.reshape(s.n)], [negative_slope], 1), result)


def _add(begin: Begin, s: PointwiseShape, x: Any, other: Any) -> Outcome:
    call = begin({"x": x, "other": other})
    y = call.allocate("y", *s.shape)
    arrays = [call.dense(x).reshape(s.elements), call.dense(other).reshape(s.n)]
    return call.finish(call.run_cpu(None, arrays, [y.reshape(s.elements)], [], s.repeats, function="add"), y)


def _operator(
    operator: str,
    direction: Direction,
    ladders: Ladders,
    read_shape: Callable[..., tuple[PointwiseShape, str]],
    launch: Callable[..., Outcome],
) -> Operator:
    name = operator if direction == "forward" else f"{operator}_backward"
    return Operator(operator, direction, "pointwise", ladders, read_shape, POINTWISE_COUNTS[name], launch)


RELU = _operator("relu", "forward", TUNED_ON_CPU, shapes.pointwise_shape, _of_one)
LEAKY_RELU = _operator("leaky_relu", "forward", CPU_ALONE, shapes.leaky_relu_shape, _of_one)
SIGMOID = _operator("sigmoid", "forward", TUNED_ON_CPU, shapes.pointwise_shape, _of_one)
TANH = _operator("tanh", "forward", TUNED_ON_CPU, shapes.pointwise_shape, _of_one)
GELU = _operator("gelu", "forward", TUNED_ON_CPU, shapes.pointwise_shape, _of_one)
ADD = _operator("add", "forward", CPU_ALONE, shapes.add_shape, _add)
POSITIONAL_ENCODING = _operator("positional_encoding", "forward", CPU_ALONE, shapes.positional_shape, _add)
RELU_BACKWARD = _operator("relu", "backward", CPU_ALONE, shapes.gradient_from_result_shape, _of_two)
LEAKY_RELU_BACKWARD = _operator("leaky_relu", "backward", CPU_ALONE, shapes.leaky_relu_backward_shape, _of_two)
SIGMOID_BACKWARD = _operator("sigmoid", "backward", CPU_ALONE, shapes.gradient_from_result_shape, _of_two)
TANH_BACKWARD = _operator("tanh", "backward", CPU_ALONE, shapes.gradient_from_result_shape, _of_two)
GELU_BACKWARD = _operator("gelu", "backward", CPU_ALONE, shapes.gradient_from_input_shape, _of_two)


def relu(x: TensorT, *, variant: str = AUTO, threads: int | None = None) -> TensorT:
    """``max(x, 0)`` of each element; NaN stays NaN. Arguments, result and errors otherwise as `linear`'s."""
    (y,) = RELU.run(x, variant=variant, threads=threads)
    return y  # type: ignore[no-any-return]


def leaky_relu(x: TensorT, *, negative_slope: float = 0.01, variant: str = AUTO, threads: int | None = None) -> TensorT:
    """``x`` where it is positive, else ``negative_slope·x``. Arguments, result and errors otherwise as `linear`'s."""
    (y,) = LEAKY_RELU.run(x, negative_slope=negative_slope, variant=variant, threads=threads)
    return y  # type: ignore[no-any-return]


def sigmoid(x: TensorT, *, variant: str = AUTO, threads: int | None = None) -> TensorT:
    """``1 / (1 + exp(−x))`` of each element. Arguments, result and errors otherwise as `linear`'s."""
    (y,) = SIGMOID.run(x, variant=variant, threads=threads)
    return y  # type: ignore[no-any-return]


def tanh(x: TensorT, *, variant: str = AUTO, threads: int | None = None) -> TensorT:
    """``tanh(x)`` of each element. Arguments, result and errors otherwise as `linear`'s."""
    (y,) = TANH.run(x, variant=variant, threads=threads)
    return y  # type: ignore[no-any-return]


def gelu(x: TensorT, *, variant: str = AUTO, threads: int | None = None) -> TensorT:
    """``½x · (1 + erf(x/√2))`` of each element. Arguments, result and errors otherwise as `linear`'s."""
    (y,) = GELU.run(x, variant=variant, threads=threads)
    return y  # type: ignore[no-any-return]


def add(x: TensorT, other: TensorT, *, variant: str = AUTO, threads: int | None = None) -> TensorT:
    """``x + other`` of two arrays of one shape, the residual connection. Otherwise as `linear`'s."""
    (y,) = ADD.run(x, other, variant=variant, threads=threads)
    return y  # type: ignore[no-any-return]


def positional_encoding(x: TensorT, table: TensorT, *, variant: str = AUTO, threads: int | None = None) -> TensorT:
    """Add a table of positions ``[S, D]`` to every sequence of ``x[B, S, D]``; `sinusoids` makes one.

    Arguments, result and errors otherwise as `linear`'s.
    """
    (y,) = POSITIONAL_ENCODING.run(x, table, variant=variant, threads=threads)
    return y  # type: ignore[no-any-return]


def sinusoids(S: int, D: int, dtype: str = "float32") -> np.ndarray[Any, np.dtype[Any]]:
    """The table of Vaswani et al. 2017, section 3.5: ``sin`` at even and ``cos`` at odd columns, ``[S, D]``.

    Column 2i and 2i + 1 turn by 10000^(−2i/D) from position to position. Raises UsageError.
    """
    if S < 1 or D < 1:
        raise UsageError(f"a table of {S} positions with {D} columns is empty; give positive sizes")
    columns = np.arange(D)
    angles = np.arange(S)[:, None] * np.exp(-math.log(10_000) * (columns - columns % 2) / D)
    return np.where(columns % 2 == 0, np.sin(angles), np.cos(angles)).astype(dtype)


def relu_backward(grad: TensorT, y: TensorT, *, variant: str = AUTO, threads: int | None = None) -> TensorT:
    """Gradient of `relu` from its result: ``grad`` where y is positive (or NaN, as in torch), else 0."""
    (dx,) = RELU_BACKWARD.run(grad, y, variant=variant, threads=threads)
    return dx  # type: ignore[no-any-return]


def leaky_relu_backward(
    grad: TensorT, x: TensorT, *, negative_slope: float = 0.01, variant: str = AUTO, threads: int | None = None
) -> TensorT:
    """Gradient of `leaky_relu` from its input: ``grad`` where x is positive, else ``negative_slope·grad``."""
    (dx,) = LEAKY_RELU_BACKWARD.run(grad, x, negative_slope=negative_slope, variant=variant, threads=threads)
    return dx  # type: ignore[no-any-return]


def sigmoid_backward(grad: TensorT, y: TensorT, *, variant: str = AUTO, threads: int | None = None) -> TensorT:
    """Gradient of `sigmoid` from its result: ``grad·y·(1 − y)``."""
    (dx,) = SIGMOID_BACKWARD.run(grad, y, variant=variant, threads=threads)
    return dx  # type: ignore[no-any-return]


def tanh_backward(grad: TensorT, y: TensorT, *, variant: str = AUTO, threads: int | None = None) -> TensorT:
    """Gradient of `tanh` from its result: ``grad·(1 − y²)``."""
    (dx,) = TANH_BACKWARD.run(grad, y, variant=variant, threads=threads)
    return dx  # type: ignore[no-any-return]


def gelu_backward(grad: TensorT, x: TensorT, *, variant: str = AUTO, threads: int | None = None) -> TensorT:
    """Gradient of `gelu` from its input: ``grad·(Φ(x) + x·φ(x))``."""
    (dx,) = GELU_BACKWARD.run(grad, x, variant=variant, threads=threads)
    return dx  # type: ignore[no-any-return]
