"""Closed-form counts of functions of one element."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from energybench.kernels.closed_form import CountRequest, Traffic
from energybench.kernels.families.pointwise.shape import PointwiseShape
from energybench.records.op_counts import OpCounts

#: Work of one element, as the conventions of docs/counting.md have it.
_WORK: Final[Mapping[str, Mapping[str, int]]] = {
    "relu": {"compares": 1},
    "leaky_relu": {"compares": 1, "muls": 1},
    "sigmoid": {"adds": 1, "divs": 1, "specials": 1},
    "tanh": {"specials": 1},
    "gelu": {"adds": 1, "muls": 3, "specials": 1},
    "add": {"adds": 1},
    "positional_encoding": {"adds": 1},
    "relu_backward": {"compares": 1},
    "leaky_relu_backward": {"compares": 1, "muls": 1},
    "sigmoid_backward": {"adds": 1, "muls": 2},
    "tanh_backward": {"adds": 1, "muls": 2},
    "gelu_backward": {"adds": 2, "muls": 7, "specials": 2},
}
#: Those that read two arrays.
_OF_TWO: Final = frozenset(
    name for name in _WORK if name.endswith("_backward") or name in ("add", "positional_encoding")
)


def _pointwise(function: str, shape: PointwiseShape, request: CountRequest) -> OpCounts:
    """Both bases agree, except that a table is read again for every repeat."""
    n, second = shape.elements, function in _OF_TWO
    work = {name: times * n for name, times in _WORK[function].items()}
    return request.tallies(
        compulsory=Traffic(n + (shape.n if second else 0), n),
        issued=Traffic(n + (n if second else 0), n),
        launches=1,
        others={},
        **work,
    )


#: Function → its counts.
POINTWISE_COUNTS: Final[Mapping[str, Callable[[PointwiseShape, CountRequest], OpCounts]]] = {
    name: partial(_pointwise, name) for name in _WORK
}
