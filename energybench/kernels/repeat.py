"""Calls that were checked before: the same kind of call again, and one call prepared to be made many times.

The first call of a kind goes the long way (`energybench.kernels.call.launch`), which a `Trace` watches. What it found
out holds for every call whose arrays have the same types, element types and shapes and whose options are the same, so
such a call, of one kernel or of several in sequence, is made again by the compiled module with its own arrays in the
places of the first one's. What can differ
between two such calls is looked at anew each time: dense, aligned, on the CPU, no gradient, no other dtype or shape.
Whatever does not fit goes the long way and is refused, or copied, there.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
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

    `memory`   what was allocated
    `calls`    native functions with all their arguments
    `outputs`  what the launch returned; it may have the shape that the caller sees where `memory` has another
    """

    memory: list[Any] = field(default_factory=list)
    calls: list[tuple[Callable[..., Any], tuple[Any, ...]]] = field(default_factory=list)
    outputs: tuple[Any, ...] = ()


#: Operator's name → its ``RepeatTable`` of the compiled module.
_TABLES: dict[str, Any] = {}


def table_of(name: str) -> Any | None:
    """The calls of a kernel that were made before, if any."""
    return _TABLES.get(name)


def entry_of(name: str, otherwise: Callable[..., Any] | None) -> Callable[..., Any] | None:
    """A compiled function of arrays and options: makes a call that was made before, passes all others to `otherwise`.

    None while no call of the kernel is kept. Without an `otherwise` it gives None for other calls.
    """
    table = table_of(name)
    entry: Callable[..., Any] | None = table and table.entry(otherwise, native.default_threads)
    return entry


def _is_plain(value: object) -> bool:
    return type(value) in _PLAIN or (type(value) is tuple and all(map(_is_plain, value)))


def _likeness(array: Any) -> tuple[Any, ...] | None:
    if array is None:
        return None
    if not is_torch(array):
        return type(array), True, array.dtype, array.shape, array.dtype, None, None
    as_numpy = np.dtype(str(array.dtype).removeprefix("torch."))
    tensor = (array.dtype, tuple(array.shape), as_numpy, array.layout)
    return type(array), False, *tensor, sys.modules["torch"].is_grad_enabled


def exchange_of(tensor_type: type) -> Any | None:
    """What looks at tensors and makes them without their attributes, where torch has it (2.10 and later)."""
    return getattr(tensor_type, "__dlpack_c_exchange_api__", None)


def _is_exactly_known(array: Any) -> bool:
    """Subclasses may mean something else by their attributes."""
    if not is_torch(array):
        return array is None or type(array) is np.ndarray
    torch = sys.modules["torch"]
    return type(array) in (torch.Tensor, torch.nn.Parameter)


def _is_dense(array: Any) -> bool:
    return bool(array.is_contiguous() if is_torch(array) else array.flags.c_contiguous)


def places_by_address(trace: Trace, arrays: Sequence[Any]) -> dict[int, tuple[int, int]]:
    """Address of each array that is dense and of each piece of memory → its place and its bytes.

    Places are those of `arrays`, then those of the trace's memory. Of two arrays at one address the first has it.
    """
    places: dict[int, tuple[int, int]] = {}
    for place, array in enumerate((*arrays, *trace.memory)):
        if array is not None and _is_dense(array):
            places.setdefault(address_of(array), (place, array.nbytes))
    return places


def arrays_in(arguments: Sequence[Any]) -> Iterator[np.ndarray[Any, np.dtype[Any]]]:
    """The arrays among the arguments of a native call, and in lists of them."""
    for argument in arguments:
        if isinstance(argument, list):
            yield from arrays_in(argument)
        elif isinstance(argument, np.ndarray):
            yield argument


class _Seats:
    """The arguments of native calls with an empty seat for each array.

    Raises LookupError for an array of unknown origin, and for one of two origins.
    """

    def __init__(self, trace: Trace, arrays: Sequence[Any]) -> None:
        self._places = places_by_address(trace, arrays)
        if len(self._places) < len(trace.memory) + sum(array is not None for array in arrays):
            raise LookupError("two arrays at one address, or one that is not dense")
        self._taken: list[tuple[Any, int]] = []

    def place_of(self, array: Any) -> int:
        """The place of an array that was given or allocated, whatever its shape is now."""
        place, size = self._places[address_of(array)]
        if array.nbytes != size or not _is_dense(array):
            raise LookupError("a part of an array")
        return place

    def _seated(self, argument: Any) -> Any:
        if isinstance(argument, list):
            return [self._seated(item) for item in argument]
        if not isinstance(argument, np.ndarray):
            if not _is_plain(argument):
                raise LookupError(f"{argument!r} may change")
            return argument
        self._taken.append((native.cpu().seat(argument), self.place_of(argument)))
        return self._taken[-1][0]

    def call(self, arguments: Sequence[Any]) -> tuple[tuple[Any, ...], list[tuple[Any, int]]]:
        """The arguments with seats for arrays, and the seats with their places."""
        self._taken = []
        return tuple(map(self._seated, arguments)), self._taken


def remember(name: str, trace: Trace, arrays: Sequence[Any], options: Mapping[str, Any], threads: int | None) -> None:
    """Keep a call that was made, where its like can be made again without looking at it in Python."""
    if not trace.calls or not all(map(_is_plain, options.values())) or not all(map(_is_exactly_known, arrays)):
        return
    memory = [(array.shape, array.dtype) for array in trace.memory]
    try:
        seats = _Seats(trace, arrays)
        calls = [(function, *seats.call(arguments)) for function, arguments in trace.calls]
        returned = []
        for output in trace.outputs:
            which = -1 if output is None else seats.place_of(output) - len(arrays)
            if output is not None and which < 0:
                return  # one of the caller's own arrays
            if which >= 0:
                memory[which] = tuple(output.shape), memory[which][1]
            returned.append(which)
        torch = sys.modules["torch"] if any(map(is_torch, arrays)) else None
        table = _TABLES.setdefault(name, native.cpu().RepeatTable(_MOST_KINDS))
        table.add(
            [_likeness(array) for array in arrays],
            {**options, "threads": native.default_threads() if threads is None else threads},
            calls,
            memory,
            returned,
            None if torch is None else torch.from_numpy,
            None if torch is None else exchange_of(torch.Tensor),
        )
    except (LookupError, ValueError):
        return


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
