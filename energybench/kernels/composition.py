"""Native operators in sequence, run, counted and listed as one.

A composition is a plain function of `Part` and arrays: each ``part(OPERATOR, *arrays, **options)`` in it is one kernel
call. Plain and counting runs make those calls on the composition's rung, and the counts are the sum of theirs. The
closed form walks through the same function with arrays of no memory, which have shapes alone.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any, Protocol

import numpy as np

from energybench.errors import UsageError
from energybench.kernels.arrays import KERNEL_DTYPES, PLACE_DTYPES, common_dtype, describe
from energybench.kernels.call import Begin, Call, Outcome, launch
from energybench.kernels.closed_form import CountRequest
from energybench.kernels.ladder import CPU_ALONE
from energybench.kernels.operator import Operator
from energybench.records.op_counts import OpCounts


class Part(Protocol):
    """Makes one kernel call of a composition; gives the kernel's result, or a tuple of several."""

    def __call__(self, operator: Operator, *arrays: Any, **options: Any) -> Any: ...


@dataclass(frozen=True)
class Composed:
    """A call of a composition: its function and what it was given, of which a closed form reads the shapes."""

    body: Callable[..., Any]
    arrays: tuple[Any, ...]
    options: Mapping[str, Any]


def composition(body: Callable[..., Any], name: str) -> Operator:
    """The operator of a function ``body(part, *arrays, **options)``; its arrays are its positional parameters."""
    return Operator(
        *(name, "forward", "network", CPU_ALONE), partial(_read_shape, body), _closed_form, partial(_launch, body)
    )


#: A function's signature is read once: reading it takes as long as some parts.
_signature = cache(inspect.signature)


@cache
def _names(body: Callable[..., Any]) -> tuple[str, ...]:
    parameters = [p for p in _signature(body).parameters.values() if p.kind is not p.KEYWORD_ONLY]
    return tuple(p.name for p in parameters[1:])


def _read_shape(body: Callable[..., Any], *arrays: Any, **options: Any) -> tuple[Composed, str]:
    try:
        _signature(body).bind(None, *arrays, **options)
    except TypeError as error:
        raise UsageError(f"{error}; give {', '.join(_names(body))}") from None
    operands = [
        describe(name, array, "...", (*KERNEL_DTYPES, *PLACE_DTYPES))
        for name, array in zip(_names(body), arrays, strict=False)
        if array is not None
    ]
    return Composed(body, arrays, options), common_dtype([o for o in operands if o.dtype not in PLACE_DTYPES])


def _outputs(result: Any) -> tuple[Any, ...]:
    return result if isinstance(result, tuple) else (result,)


def _alone(outputs: tuple[Any, ...]) -> Any:
    return outputs[0] if len(outputs) == 1 else outputs


def _launch(body: Callable[..., Any], begin: Begin, _composed: Composed, *arrays: Any, **options: Any) -> Outcome:
    call = begin(dict(zip(_names(body), arrays, strict=False)))
    counts: list[OpCounts] = []

    def part(operator: Operator, *of_part: Any, **more: Any) -> Any:
        more |= {"variant": call.variant, "threads": call.threads}
        outcome = launch(operator, *of_part, counting=call.counting, trace=call.trace, **more)
        if outcome.counts is not None:
            counts.append(outcome.counts)
        return _alone(outcome.outputs)

    outputs = _outputs(body(part, *arrays, **options))
    if call.trace is not None:
        call.trace.outputs = outputs
    total = OpCounts.sum(counts, traffic_basis="issued") if call.counting else None
    return Outcome(outputs, total, call.variant)


class _ShapeCall(Call):
    """A call that runs nothing and whose arrays have no memory, one zero that stands for all elements."""

    def __init__(self, dtype: str) -> None:
        self.dtype, self.on_cuda, self.threads = dtype, False, 1

    def dense(self, array: Any) -> Any:
        return array

    def allocate(self, name: str, *shape: int, dtype: str | None = None) -> Any:
        return _without_memory(shape, dtype or self.dtype)

    def run_cpu(self, *arguments: Any, function: str | None = None) -> None:
        return None

    def finish(self, counts: OpCounts | None, *outputs: Any) -> Outcome:
        return Outcome(outputs, counts, "")


def _without_memory(shape: tuple[int, ...], dtype: str) -> Any:
    return np.broadcast_to(np.zeros((), dtype), shape)


def _closed_form(composed: Composed, request: CountRequest) -> OpCounts:
    counts: list[OpCounts] = []

    def part(operator: Operator, *arrays: Any, **options: Any) -> Any:
        shape, dtype = operator.read_shape(*arrays, **options)
        counts.append(operator.closed_form(shape, replace(request, dtype=dtype)))
        return _alone(operator.launch(lambda _arrays: _ShapeCall(dtype), shape, *arrays, **options).outputs)

    shapes = [
        None if a is None else _without_memory(tuple(a.shape), str(a.dtype).removeprefix("torch."))
        for a in composed.arrays
    ]
    composed.body(part, *shapes, **composed.options)
    return OpCounts.sum(counts, traffic_basis=request.basis)
