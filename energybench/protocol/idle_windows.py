"""`IdleWindows`: the idle windows of a run, one beside each row or one shared by several."""

from __future__ import annotations

import itertools

from energybench.meters.base import EnergyMeter
from energybench.protocol.idle import IDLE_SUFFIX, measure_idle
from energybench.protocol.measure_window import Edges, idle_power_w
from energybench.records.jsonl import JsonlWriter
from energybench.units import Second, Watt


class IdleWindows:
    """Takes an idle window where a row needs one of its own, and gives its name and power to the rows that share it.

    Args:
        meter: What is read.
        edges: How it is read.
        readings: Where the readings of the windows go.
        names_taken: Names of readings that are there already.
        duration_s: Length of a window.
        every: One row in so many has a window of its own.
    """

    def __init__(
        self,
        meter: EnergyMeter,
        edges: Edges,
        readings: JsonlWriter,
        *,
        names_taken: set[str],
        duration_s: Second,
        every: int,
    ) -> None:
        self._meter, self._edges, self._readings = meter, edges, readings
        self._names_taken, self._duration_s, self._every = names_taken, duration_s, every
        self._last: tuple[str, Watt | None] | None = None
        self._rows_since = 0

    def beside(self, row_id: str) -> tuple[str, Watt | None]:
        """Name of the readings and power of the idle window beside a row: its own, or the last one where rows share."""
        if self._last is None or self._rows_since >= self._every:
            name = self._new_name(row_id + IDLE_SUFFIX)
            idle = measure_idle(self._meter, self._edges, row_id=name, duration_s=self._duration_s)
            self._readings.append(idle.recorded.to_dict())
            self._names_taken.add(name)
            self._last = name, idle_power_w(idle.recorded, kind=self._meter.kind)
            self._rows_since = 0
        self._rows_since += 1
        return self._last

    def forget(self) -> None:
        """The next row takes a window of its own: what spoiled a row may have spoiled an idle window others share."""
        self._last = None

    def _new_name(self, name: str) -> str:
        """A name that no readings have: rows recorded before a kill may refer to those under the plain one."""
        names = (name if i == 0 else f"{name}{i}" for i in itertools.count())
        return next(n for n in names if n not in self._names_taken)
