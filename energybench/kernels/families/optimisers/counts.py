"""Closed-form counts of optimiser steps: parameter, gradient and state read, parameter and state written."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Final

from energybench.kernels.closed_form import CountRequest, Traffic
from energybench.kernels.families.optimisers.shape import StepShape
from energybench.records.op_counts import OpCounts

#: Optimiser → tensors of state, and work of one parameter, as the conventions of docs/counting.md have it.
_STEPS: Final[Mapping[str, tuple[int, Mapping[str, int]]]] = {
    "sgd": (0, {"adds": 1, "muls": 1}),
    "momentum": (1, {"adds": 2, "muls": 2}),
    "adam": (2, {"adds": 5, "muls": 5, "divs": 2, "specials": 1}),
}


def _step(optimiser: str, shape: StepShape, request: CountRequest) -> OpCounts:
    states, work = _STEPS[optimiser]
    decay = int(shape.has_decay)
    total = {**work, "adds": work["adds"] + decay, "muls": work["muls"] + decay}
    total = {name: times * shape.n for name, times in total.items()}
    traffic = Traffic((2 + states) * shape.n, (1 + states) * shape.n, shape.n)
    return request.tallies(compulsory=traffic, issued=traffic, launches=1, others={}, **total)


#: Counts of a step of each optimiser; both bases agree.
sgd = partial(_step, "sgd")
momentum = partial(_step, "momentum")
adam = partial(_step, "adam")
