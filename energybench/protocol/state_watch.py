"""`StateWatch`: the device's state again and again while work runs, within a stated share of its time.

What a GPU says at the edges of a window misses a slowdown or a neighbour that came and went in between.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Final

from energybench.protocol.device_state import DeviceState
from energybench.units import Second

#: Between two looks: as often as boards update their power (100 ms; Yang, Adamek, Armour 2023, arXiv 2312.02741).
INTERVAL_S: Final[Second] = 0.1
#: Of the window's time, spent on looking at most: after each look the pause is as long as this asks.
MOST_SHARE: Final = 0.01
#: States kept; then every second is dropped and looks come half as often, so that a window of any length keeps few.
MOST_KEPT: Final = 64


class StateWatch:
    """A context in whose time a thread looks at the device.

    Args:
        look: Gives the state; what it raises ends the watch, and the states so far stand.
        interval_s: Between two looks at least.

    After it ended: `states`, in order, thinned but with every state kept that shows a slowdown or another process.
    """

    def __init__(self, look: Callable[[], DeviceState], *, interval_s: Second = INTERVAL_S) -> None:
        self._look, self._interval_s = look, interval_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="energybench-state-watch", daemon=True)
        self.states: list[DeviceState] = []

    def __enter__(self) -> StateWatch:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        pause_s = self._interval_s
        while not self._over.wait(pause_s):
            begin_s = time.monotonic()
            try:
                state = self._look()
            except Exception:  # the meter's next reading tells of a device that went away
                return
            self._keep(state)
            pause_s = max(self._interval_s, (time.monotonic() - begin_s) * (1 / MOST_SHARE - 1))

    def _keep(self, state: DeviceState) -> None:
        self.states.append(state)
        if len(self.states) > MOST_KEPT:
            self.states = thinned(self.states)
            self._interval_s *= 2


def thinned(states: list[DeviceState]) -> list[DeviceState]:
    """Half as many states, each of two neighbours: their slowdowns, processes, highest temperature and mean clock."""
    kept = []
    for a, b in zip(states[::2], [*states[1::2], None], strict=False):
        if b is None:
            kept.append(a)
            continue
        temps = [t for t in (a.temp_c, b.temp_c) if t is not None]
        clocks = [c for c in (a.clock_mhz, b.clock_mhz) if c is not None]
        kept.append(
            DeviceState(
                temp_c=max(temps, default=None),
                clock_mhz=sum(clocks) / len(clocks) if clocks else None,
                slowdowns=tuple(dict.fromkeys((*a.slowdowns, *b.slowdowns))),
                other_processes=tuple(dict.fromkeys((*a.other_processes, *b.other_processes))),
            )
        )
    return kept
