"""The order of a run: rounds over the workloads, each in its own random order, with a stable name for every row."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
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


def round_rows(
    workloads: Sequence[Workload],
    *,
    repeat: int,
    seed: int,
    first_order: int,
    windows: Callable[[Workload], int] = lambda workload: 1,
) -> Iterator[Row]:
    """The rows of one round in random order: the same seed gives the same order, and every round its own.

    The rows of a split (fit, held out, idle) are spread over the round: each has its random place in its own share of
    it. Wherever a budget ends the run, held-out and idle rows are among those taken, in proportion. A workload that
    comes several times a round (`windows`) is spread over it by itself.
    """
    draw = random.Random(f"{seed}/{repeat}")
    shuffled = list(workloads)
    draw.shuffle(shuffled)
    size = Counter(w.split for w in shuffled if windows(w) == 1)
    taken: Counter[str] = Counter()
    places: list[tuple[float, Workload, int]] = []
    for workload in shuffled:
        times = windows(workload)
        if times > 1:
            places += [((i + draw.random()) / times, workload, repeat * times + i) for i in range(times)]
            continue
        places.append(((taken[workload.split] + draw.random()) / size[workload.split], workload, repeat))
        taken[workload.split] += 1
    places.sort(key=lambda place: place[0])
    for i, (_, workload, number) in enumerate(places):
        yield Row(workload, number, first_order + i)
