"""Launching optimiser steps [D7, D30]. They return the new parameter and state and leave the old ones as they are."""

from __future__ import annotations

import math
from typing import Any

from energybench.kernels.call import Begin, Outcome, TensorT
from energybench.kernels.families.optimisers import counts
from energybench.kernels.families.optimisers.shape import StepShape, adam_shape, momentum_shape, sgd_shape
from energybench.kernels.ladder import AUTO, CPU_ALONE
from energybench.kernels.operator import Operator


def _step(begin: Begin, s: StepShape, w: Any, others: dict[str, Any], parameters: list[float]) -> Outcome:
    """`others` are the gradient and the state, of which the state is also written."""
    call = begin({"w": w, **others})
    results = [call.allocate(name, *s.shape) for name in ("w", *list(others)[1:])]
    tallies = call.run_cpu(
        call.dense(w).reshape(s.n),
        [call.dense(array).reshape(s.n) for array in others.values()],
        [result.reshape(s.n) for result in results],
        parameters,
        1,
        function=call.name.replace("_step", "_decay_step") if s.has_decay else None,
    )
    return call.finish(tallies, *results)


def _sgd(begin: Begin, s: StepShape, w: Any, grad: Any, *, lr: float, weight_decay: float = 0.0) -> Outcome:
    return _step(begin, s, w, {"grad": grad}, [lr, weight_decay])


def _momentum(
    begin: Begin,
    s: StepShape,
    w: Any,
    grad: Any,
    velocity: Any,
    *,
    lr: float,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
) -> Outcome:
    return _step(begin, s, w, {"grad": grad, "velocity": velocity}, [lr, weight_decay, momentum])


def _adam(
    begin: Begin,
    s: StepShape,
    w: Any,
    grad: Any,
    m: Any,
    v: Any,
    *,
    step: int,
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
) -> Outcome:
    first, second = betas
    # In double, so that each is rounded to the element type once (csrc/kernels/elementwise.h, AdamStep).
    rate, root = lr / (1 - first**step), math.sqrt(1 - second**step)
    parameters = [rate, weight_decay, 1 - first, second, root, eps, 1 - second]
    return _step(begin, s, w, {"grad": grad, "m": m, "v": v}, parameters)


SGD = Operator("sgd", "optimizer", "optimizer", CPU_ALONE, sgd_shape, counts.sgd, _sgd)
MOMENTUM = Operator("momentum", "optimizer", "optimizer", CPU_ALONE, momentum_shape, counts.momentum, _momentum)
ADAM = Operator("adam", "optimizer", "optimizer", CPU_ALONE, adam_shape, counts.adam, _adam)


def sgd_step(
    w: TensorT,
    grad: TensorT,
    *,
    lr: float,
    weight_decay: float = 0.0,
    variant: str = AUTO,
    threads: int | None = None,
) -> TensorT:
    """One step of gradient descent, ``w − lr·(grad + weight_decay·w)``, equal to `torch.optim.SGD`'s.

    Args:
        w: The parameter, any shape, float32 or float64.
        grad: Its gradient.
        lr: Learning rate.
        weight_decay: λ, added to the gradient as ``λ·w``; with 0 it costs nothing.
        variant: As `linear`'s.
        threads: As `linear`'s.

    Returns:
        The new parameter. Errors as `linear`'s.
    """
    (new,) = SGD.run(w, grad, lr=lr, weight_decay=weight_decay, variant=variant, threads=threads)
    return new  # type: ignore[no-any-return]


def momentum_step(
    w: TensorT,
    grad: TensorT,
    velocity: TensorT,
    *,
    lr: float,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    variant: str = AUTO,
    threads: int | None = None,
) -> tuple[TensorT, TensorT]:
    """One step with momentum, ``v = momentum·v + grad``, ``w − lr·v``: `torch.optim.SGD`'s from its second step on.

    Returns the new parameter and the new velocity; arguments and errors otherwise as `sgd_step`'s.
    """
    options: Any = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay}
    new, v = MOMENTUM.run(w, grad, velocity, **options, variant=variant, threads=threads)
    return new, v


def adam_step(
    w: TensorT,
    grad: TensorT,
    m: TensorT,
    v: TensorT,
    *,
    step: int,
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    variant: str = AUTO,
    threads: int | None = None,
) -> tuple[TensorT, TensorT, TensorT]:
    """One step of Adam (Kingma and Ba 2015), equal to `torch.optim.Adam`'s.

    Args:
        w: The parameter, any shape, float32 or float64.
        grad: Its gradient.
        m: First moment, zeros before the first step.
        v: Second moment, likewise.
        step: The number of this step, from 1: it corrects the moments' bias.
        lr: Learning rate.
        betas: How slowly the moments forget.
        eps: Added to the root of the second moment.
        weight_decay: As `sgd_step`'s.
        variant: As `linear`'s.
        threads: As `linear`'s.

    Returns:
        The new parameter and moments. Errors as `linear`'s.
    """
    options: Any = {"step": step, "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
    new, first, second = ADAM.run(w, grad, m, v, **options, variant=variant, threads=threads)
    return new, first, second
