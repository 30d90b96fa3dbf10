"""Cases of `make bench-kernels`: one module for each family, each with its ``CASES``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from energybench.records.op_counts import OpCounts

#: Modules of this package.
FAMILIES: Final = ("linear", "conv", "sequences", "between_layers")


@dataclass(frozen=True)
class Case:
    """One operator on one shape, ours and torch's.

    `ours`    threads → the call to time, with its data made
    `theirs`  the same of torch
    `counts`  compulsory counts of one call
    `goal`    least ratio of torch's time to ours
    """

    family: str
    name: str
    ours: Callable[[int], Callable[[], Any]]
    theirs: Callable[[], Callable[[], Any]]
    counts: Callable[[], OpCounts]
    goal: float
