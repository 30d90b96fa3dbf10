"""Closed-form counts of functions of one element."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Final

from energybench.kernels.closed_form import CountRequest, Traffic
from energybench.kernels.families.pointwise.shape import PointwiseShape
from energybench.records.op_counts import OpCounts

#: Work of one element, as the conventions of docs/counting.md have it.
_WORK: Final[Mapping[str, Mapping[str, int]]] = {
    "relu": {"compares": 1},
    "sigmoid": {"adds": 1, "divs": 1, "specials": 1},
    "tanh": {"specials": 1},
    "gelu": {"adds": 1, "muls": 3, "specials": 1},
}


def _pointwise(function: str, shape: PointwiseShape, request: CountRequest) -> OpCounts:
    traffic = Traffic(shape.n, shape.n)
    work = {name: times * shape.n for name, times in _WORK[function].items()}
    return request.tallies(compulsory=traffic, issued=traffic, **work)


#: Counts of a function of each element; both bases agree.
relu = partial(_pointwise, "relu")
sigmoid = partial(_pointwise, "sigmoid")
tanh = partial(_pointwise, "tanh")
gelu = partial(_pointwise, "gelu")
