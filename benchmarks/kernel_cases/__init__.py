"""Cases of `make bench-kernels`: one module for each family, each with its ``CASES``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import torch

from energybench import kernels
from energybench.records.op_counts import OpCounts

#: Modules of this package.
FAMILIES: Final = ("linear", "conv", "sequences", "between_layers", "layouts", "compositions", "training")


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


def kernel_case(
    family: str, label: str, goal: float, name: str, theirs: Callable[[], Any], *arrays: Any, **options: Any
) -> Case:
    """The case of a call of `energybench.kernels.<name>` and torch's call of the same."""
    function = getattr(kernels, name)
    return Case(
        family,
        f"{name} {label}",
        lambda threads: lambda: function(*arrays, threads=threads, **options),
        lambda: theirs,
        lambda: kernels.count(name, *arrays, **options),
        goal,
    )


def normal(*shape: int) -> torch.Tensor:
    """Standard normal numbers, the same for the same shape."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))
