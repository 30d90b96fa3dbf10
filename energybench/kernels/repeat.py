"""Calls that were checked before: the same kind of call again, and one call prepared to be made many times.

The first call of a kind goes the long way (`energybench.kernels.call.launch`), which a `Trace` watches. What it found
out holds for every call whose arrays have the same types, element types and shapes and whose options are the same, so
such a call is made again by the compiled module with its own arrays in the seats of the first one's. What can differ
between two such calls is looked at anew each time: dense, aligned, on the CPU, no gradient, no other dtype or shape.
Whatever does not fit goes the long way and is refused, or copied, there.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from energybench.errors import NativeModuleError
from energybench.kernels import native
from energybench.kernels.arrays import address_of, is_torch

#: Kinds of call that are kept for each kernel; a network has about so many shapes of one.
_MOST_KINDS: Final = 16
#: Options that compare by value and cannot be changed in place.
_PLAIN: Final = (int, float, bool, str, type(None))


def native_failure(name: str, error: RuntimeError) -> NativeModuleError:
    """A failure of the native call as the package's error."""
    return NativeModuleError(f"{name} failed: {error}; give other arguments")


@dataclass
class Trace:
    """What a launch on the CPU did, for making it again.

    `dense`   the caller's array and what the kernel is given in its place
    `memory`  what was allocated
    `calls`   native functions with all their arguments
    """

    dense: list[tuple[Any, Any]] = field(default_factory=list)
    memory: list[Any] = field(default_factory=list)
    calls: list[tuple[Callable[..., Any], tuple[Any, ...]]] = field(default_factory=list)
    outputs: tuple[Any, ...] = ()


#: Kernel → its ``RepeatTable`` of the compiled module.
_TABLES: dict[str, Any] = {}


def table_of(name: str) -> Any | None:
    """The calls of a kernel that were made before, if any."""
    return _TABLES.get(name)


def _is_plain(value: object) -> bool:
    return type(value) in _PLAIN or (type(value) is tuple and all(map(_is_plain, value)))


def _likeness(array: Any) -> tuple[Any, ...] | None:
    if array is None:
        return None
    if not is_torch(array):
        return type(array), True, array.dtype, array.shape, array.dtype.itemsize, None, None
    tensor = (array.dtype, tuple(array.shape), array.element_size(), array.layout)
    return type(array), False, *tensor, sys.modules["torch"].is_grad_enabled


def _is_exactly_known(array: Any) -> bool:
    """Subclasses may mean something else by their attributes."""
    if not is_torch(array):
        return array is None or type(array) is np.ndarray
    torch = sys.modules["torch"]
    return type(array) in (torch.Tensor, torch.nn.Parameter)


class _Seats:
    """The arguments of a native call with an empty seat for each array.

    Raises LookupError for an array of unknown origin, and for one of two origins.
    """

    def __init__(self, trace: Trace, arrays: Sequence[Any]) -> None:
        self._origins: dict[int, tuple[bool, int, int]] = {}
        for given, dense in trace.dense:
            if dense is not None:
                (which,) = (i for i, array in enumerate(arrays) if array is given)
                self._add(dense, False, which)
        for which, memory in enumerate(trace.memory):
            self._add(memory, True, which)
        self.inputs: list[tuple[Any, int]] = []
        self.results: list[tuple[Any, int]] = []

    def _add(self, array: Any, is_memory: bool, which: int) -> None:
        address = address_of(array)
        if address in self._origins:
            raise LookupError("two arrays at one address")
        self._origins[address] = is_memory, which, array.nbytes

    def place(self, argument: Any) -> Any:
        """The argument, or a seat for it."""
        if isinstance(argument, list):
            return [self.place(item) for item in argument]
        if not isinstance(argument, np.ndarray):
            if not _is_plain(argument):
                raise LookupError(f"{argument!r} may change")
            return argument
        is_memory, which, size = self._origins[address_of(argument)]
        if argument.nbytes != size:
            raise LookupError("a part of an array")
        seat = native.cpu().seat(argument)
        (self.results if is_memory else self.inputs).append((seat, which))
        return seat


def remember(name: str, trace: Trace, arrays: Sequence[Any], options: Mapping[str, Any], threads: int | None) -> None:
    """Keep a call that was made, where its like can be made again without looking at it in Python."""
    if len(trace.calls) != 1 or not all(map(_is_plain, options.values())) or not all(map(_is_exactly_known, arrays)):
        return
    (function, arguments), *_ = trace.calls
    try:
        seats = _Seats(trace, arrays)
        seated = tuple(map(seats.place, arguments))
        returned = [
            -1 if output is None else next(i for i, memory in enumerate(trace.memory) if memory is output)
            for output in trace.outputs
        ]
    except (LookupError, ValueError, StopIteration):
        return
    from_numpy = sys.modules["torch"].from_numpy if any(map(is_torch, arrays)) else None
    table = _TABLES.setdefault(name, native.cpu().RepeatTable(_MOST_KINDS))
    table.add(
        [_likeness(array) for array in arrays],
        dict(options),
        native.default_threads() if threads is None else threads,
        function,
        seated,
        seats.inputs,
        seats.results,
        [(memory.shape, memory.dtype) for memory in trace.memory],
        returned,
        from_numpy,
    )


@dataclass(frozen=True, slots=True)
class PreparedCall:
    """One kernel call, checked once, on these very arrays: each run computes into the same `outputs`."""

    name: str
    variant: str
    outputs: tuple[Any, ...]
    calls: tuple[tuple[Callable[..., Any], tuple[Any, ...]], ...]

    def run(self) -> None:
        """Make the call. Raises NativeModuleError when the kernel fails."""
        try:
            for function, arguments in self.calls:
                function(*arguments)
        except RuntimeError as error:
            raise native_failure(self.name, error) from error
