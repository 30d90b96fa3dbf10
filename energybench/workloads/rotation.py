"""`Rotation`: calls that each find their operands out of the caches, however many there are in a window.

Emptying the caches before each call would put the emptying into the window, thousands of times. Instead a row has many
copies of its operands, together several times as large as the last-level cache, and each call takes the next one: by
the time a copy comes round again, the others have pushed it out. Nothing runs in the window but the work.

What is cold with the operands is also the translation of their addresses (the TLB), as it is for any data that was not
touched for that long. Scratch memory that a library keeps for itself stays warm. Nothing here was checked by a cache's
own counters: that calls are cold is inferred from sizes, and seen in their duration.
"""

from __future__ import annotations

import copy
from typing import Final

from energybench.errors import UsageError
from energybench.units import Byte
from energybench.workloads.workload import Runnable

#: Copies together, over the last-level cache. With the oldest line replaced, anything above 1 is cold; a cache that
#: replaces lines at random still finds a share h = exp(-3·(1 - h)) of them, 6 %, and 20 % at a factor of 2.
COLD_FACTOR: Final = 3
#: More copies are refused: each is checked and prepared, and a row so small is bound by its launch.
MOST_COPIES: Final = 4096


def copies_for(name: str, call_bytes: Byte, last_level_bytes: Byte | None) -> int:
    """How many copies of operands of `call_bytes` make every call cold; 1 where they fill the cache by themselves.

    Raises UsageError where the size of the last-level cache is not known, there is no traffic, or it is too little.
    """
    if last_level_bytes is None:
        raise UsageError(
            f"{name}: this machine does not say how large its last-level cache is, so no call is known to be cold; "
            "leave the row out"
        )
    needed = -(-COLD_FACTOR * last_level_bytes // call_bytes) if call_bytes else MOST_COPIES + 1
    if needed > MOST_COPIES:
        raise UsageError(
            f"{name} touches {call_bytes / 1e3:.0f} kB a call, and {needed if call_bytes else 'no number of'} copies "
            f"would fill a cache of {last_level_bytes / 1e6:.0f} MB, {MOST_COPIES} are made at most; use a larger row"
        )
    return max(1, int(needed))


class Rotation:
    """`copies` of a call, each on operands of its own with the same values, run one after another."""

    def __init__(self, first: Runnable, copies: int) -> None:
        # Made before the first run: an output of a training step cannot be copied.
        self._calls = [first, *(copy.deepcopy(first) for _ in range(copies - 1))]
        self._next = 0
        self._last = first

    def run(self) -> None:
        """One call, of the copy that has waited longest."""
        self._last = self._calls[self._next]
        self._next = (self._next + 1) % len(self._calls)
        self._last.run()

    def is_finite(self) -> bool:
        """Of the copy that ran last."""
        return self._last.is_finite()
