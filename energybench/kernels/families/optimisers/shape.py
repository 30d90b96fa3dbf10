"""Sizes of an optimiser's step, read from a call and checked once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from energybench.errors import UsageError
from energybench.kernels.arrays import common_dtype, describe, expect_like

if TYPE_CHECKING:
    from energybench.kernels.arrays import Array


@dataclass(frozen=True, slots=True)
class StepShape:
    """A parameter tensor `w`; its gradient and its state have the same shape."""

    shape: tuple[int, ...]
    has_decay: bool = False

    @property
    def n(self) -> int:
        return math.prod(self.shape)


def _number(name: str, value: object, below: float = math.inf) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 <= value < below:  # type: ignore[operator]
        limit = "a finite number" if below == math.inf else f"a number below {below:g}"
        raise UsageError(f"{name}={value!r} is not valid; give {limit} that is not negative")


def _step_shape(arrays: dict[str, Array], lr: float, weight_decay: float) -> tuple[StepShape, str]:
    _number("lr", lr)
    _number("weight_decay", weight_decay)
    operands = [describe(name, array, "...") for name, array in arrays.items()]
    for other in operands[1:]:
        expect_like(operands[0], other)
    return StepShape(operands[0].shape, weight_decay != 0), common_dtype(operands)


def sgd_shape(w: Array, grad: Array, *, lr: float, weight_decay: float = 0.0) -> tuple[StepShape, str]:
    """Sizes and element type of a call of `sgd_step`. Raises UsageError."""
    return _step_shape({"w": w, "grad": grad}, lr, weight_decay)


def momentum_shape(
    w: Array, grad: Array, velocity: Array, *, lr: float, momentum: float = 0.9, weight_decay: float = 0.0
) -> tuple[StepShape, str]:
    """Sizes and element type of a call of `momentum_step`. Raises UsageError."""
    _number("momentum", momentum)
    return _step_shape({"w": w, "grad": grad, "velocity": velocity}, lr, weight_decay)


def adam_shape(
    w: Array,
    grad: Array,
    m: Array,
    v: Array,
    *,
    step: int,
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
) -> tuple[StepShape, str]:
    """Sizes and element type of a call of `adam_step`. Raises UsageError."""
    if type(step) is not int or step < 1:
        raise UsageError(f"step={step!r} is not valid; give the number of this step, from 1")
    given: object = betas
    if not isinstance(given, tuple) or len(given) != 2:
        raise UsageError(f"betas={betas!r} is not valid; give two numbers below 1, such as (0.9, 0.999)")
    for value in betas:
        _number("betas", value, 1.0)
    _number("eps", eps)
    return _step_shape({"w": w, "grad": grad, "m": m, "v": v}, lr, weight_decay)
