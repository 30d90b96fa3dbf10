"""Timing callables beside each other in an experiment: in turns, in one process, so that a drift meets all alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from energybench.meters.clock import MonotonicClock
from energybench.protocol.call_time import call_time_s
from energybench.units import Second

#: Rounds in turns; the median of that many ratios moves by a percent or two on a quiet machine.
ROUNDS: Final = 9
#: Each sample lasts at least this long, so that the clock and the loop weigh nothing.
SAMPLE_S: Final[Second] = 0.005


@dataclass(frozen=True)
class Repeated:
    """A callable as `call_time_s` wants it; `wait` waits for the device that it runs on."""

    call: Callable[[], object]
    wait: Callable[[], object]

    def run(self, calls: int) -> None:
        """Call it so many times."""
        for _ in range(calls):
            self.call()

    def fence(self) -> None:
        """Wait until the device is done."""
        self.wait()


@dataclass(frozen=True)
class Timings:
    """Seconds of one call, by name, one value a round; round i of all names ran one after the other."""

    rounds_s: Mapping[str, Sequence[Second]]

    def median_s(self, name: str) -> Second:
        """Median over the rounds."""
        return median(self.rounds_s[name])

    def ratio(self, name: str, to: str) -> float:
        """Median over the rounds of the time of `name` over that of `to`."""
        return median(a / b for a, b in zip(self.rounds_s[name], self.rounds_s[to], strict=True))


def time_in_turns(
    calls: Mapping[str, Callable[[], object]],
    *,
    rounds: int = ROUNDS,
    sample_s: Second = SAMPLE_S,
    fence: Callable[[], object] = lambda: None,
    prepare: Callable[[str], object] = lambda name: None,
) -> Timings:
    """Time each callable once a round, after one round that is thrown away (caches, pages, code paths chosen).

    `fence` waits for the device that the calls run on; `prepare` is told the name before each sample.
    """
    clock = MonotonicClock()
    taken: dict[str, list[Second]] = {name: [] for name in calls}
    for number in range(rounds + 1):
        for name, call in calls.items():
            prepare(name)
            taken_s = call_time_s(Repeated(call, fence), clock, at_least_s=sample_s)
            if number:
                taken[name].append(taken_s)
    return Timings(taken)
