"""One operator call as the formulas see it: shapes, strides and dtypes instead of tensors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any, NamedTuple

import torch


class TensorSpec(NamedTuple):
    """What a formula may know of a tensor.

    `slot`       equal for two tensors that start at the same element of the same memory
    `parameter`  the memory belongs to a parameter of the model
    """

    shape: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: torch.dtype
    slot: int
    parameter: bool

    @property
    def numel(self) -> int:
        """Elements by shape, broadcast ones counted every time."""
        return prod(self.shape)

    @property
    def distinct(self) -> int:
        """Elements of memory behind the shape: broadcast dimensions (stride 0) and overlaps counted once."""
        sizes = [(abs(st), n) for n, st in zip(self.shape, self.stride, strict=True) if st != 0 or n == 0]
        elements = prod(n for _, n in sizes)
        span = 1
        overlaps = False
        for stride, n in sorted(sizes):
            if n > 1:
                overlaps = overlaps or stride < span
                span += stride * (n - 1)
        # an overlapping view (unfold) touches at most the memory it spans
        return min(elements, span) if overlaps else elements


def walk(value: Any) -> Iterator[TensorSpec]:
    """Every TensorSpec inside nested tuples, lists and mappings, in order."""
    if isinstance(value, TensorSpec):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from walk(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from walk(item)


@dataclass(frozen=True)
class OpCall:
    """One call: `args` and `kwargs` as given, tensors replaced by TensorSpec; `outputs` likewise.

    `name`         schema name with the namespace's dot, ``aten.add_``
    `gradient`     True where values are kept for a backward pass
    """

    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    outputs: Any
    gradient: bool = False

    @cached_property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """All tensors among the arguments, in order."""
        return (*walk(self.args), *walk(self.kwargs))

    @cached_property
    def results(self) -> tuple[TensorSpec, ...]:
        """All tensors among the outputs, in order."""
        return tuple(walk(self.outputs))

    def arg(self, index: int, name: str, default: Any = None) -> Any:
        """A positional argument that may have been given by keyword."""
        if index < len(self.args):
            return self.args[index]
        return self.kwargs.get(name, default)

    def tensor(self, index: int) -> TensorSpec:
        """The positional argument at `index`, which must be a tensor."""
        value = self.args[index]
        if not isinstance(value, TensorSpec):
            raise TypeError(f"argument {index} of {self.name} is no tensor")
        return value

    @property
    def out(self) -> TensorSpec:
        """The first output tensor."""
        return self.results[0]
