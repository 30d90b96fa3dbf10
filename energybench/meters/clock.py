"""The clock a measurement runs on: the machine's monotonic one, or virtual time that only moves when told."""

from __future__ import annotations

import time
from typing import Protocol

from energybench.units import Nanosecond, Second, s_to_ns


class Clock(Protocol):
    """Monotonic time in integer nanoseconds."""

    def now_ns(self) -> Nanosecond:
        """Nanoseconds since an arbitrary origin; never goes back."""
        ...

    def sleep(self, duration_s: Second) -> None:
        """Let `duration_s` pass."""
        ...


class MonotonicClock:
    """The machine's own monotonic clock; wall-clock jumps do not touch it."""

    def now_ns(self) -> Nanosecond:
        """`time.monotonic_ns`."""
        return time.monotonic_ns()

    def sleep(self, duration_s: Second) -> None:
        """`time.sleep`, and nothing for a duration that is not positive."""
        if duration_s > 0:
            time.sleep(duration_s)


class VirtualClock:
    """Time that passes only when somebody sleeps or works in it; a dry run of ten minutes takes a second."""

    def __init__(self, start_ns: Nanosecond = 0) -> None:
        self._now_ns = start_ns

    def now_ns(self) -> Nanosecond:
        """The virtual time."""
        return self._now_ns

    def sleep(self, duration_s: Second) -> None:
        """Advance the virtual time."""
        self._now_ns += max(0, s_to_ns(duration_s))
