"""The order of a run: rounds over the workloads, each in its own random order, with a stable name for every row."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from energybench.workloads.workload import Workload


@dataclass(frozen=True, slots=True)
class Row:
    """One window to take: a workload, which repeat it is, and its place in the run."""

    workload: Workload
    repeat: int
    order: int

    @property
    def row_id(self) -> str:
        """The row's name: the same in every run of the design, whatever its order."""
        return f"{self.workload.name}#{self.repeat}"


def round_rows(workloads: Sequence[Workload], *, repeat: int, seed: int, first_order: int) -> Iterator[Row]:
    """The rows of one round in random order: the same seed gives the same order, and every round its own."""
    shuffled = list(workloads)
    random.Random(f"{seed}/{repeat}").shuffle(shuffled)
    for i, workload in enumerate(shuffled):
        yield Row(workload, repeat, first_order + i)
