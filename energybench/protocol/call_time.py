"""How long one call takes: timed before the window, to know how many calls fill it."""

from __future__ import annotations

from typing import Final, Protocol

from energybench.errors import UsageError
from energybench.meters.clock import Clock
from energybench.units import Second, ns_to_s

#: Calls are doubled until together they take this long: then the clock's grain and a stray interrupt are small.
TIMED_AT_LEAST_S: Final[Second] = 0.02
_MOST_CALLS: Final = 2**24


class Timed(Protocol):
    """What is timed."""

    def run(self, calls: int) -> None:
        """Make calls."""
        ...

    def fence(self) -> None:
        """Wait for them."""
        ...


def call_time_s(prepared: Timed, clock: Clock, *, at_least_s: Second = TIMED_AT_LEAST_S) -> Second:
    """Duration of one call, from a stretch of at least `at_least_s`. Raises UsageError where no time passes."""
    calls = 1
    while True:
        prepared.fence()
        begin_ns = clock.now_ns()
        prepared.run(calls)
        prepared.fence()
        elapsed_s = ns_to_s(clock.now_ns() - begin_ns)
        if elapsed_s >= at_least_s:
            return elapsed_s / calls
        if calls >= _MOST_CALLS:
            raise UsageError(
                f"{calls} calls took {elapsed_s:g} s; the workload takes no time on this clock, leave it out"
            )
        calls *= 2 if elapsed_s <= 0 else min(64, max(2, round(1.2 * at_least_s / elapsed_s)))
