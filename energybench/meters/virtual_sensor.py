"""`VirtualSensor`: an energy counter that sees true power as real sensors do, late and only part of the time.

At each update the sensor averages the true power over its last `averaging_window_s` and charges that average for the
whole `update_period_s`. With a window shorter than the period it is blind in between, as GA100 and GH100 boards are
(25 of every 100 ms: Yang, Adamek, Armour 2023, arXiv 2312.02741); with a longer one it lags.
"""

from __future__ import annotations

import math
import random

from energybench.meters.power_history import PowerHistory
from energybench.meters.scenario import Sensor
from energybench.units import Joule, Nanojoule, Nanosecond, j_to_nj, ns_to_s, s_to_ns


class VirtualSensor:
    """Counter of one virtual device. The same seed gives the same phase and noise, however often it is read."""

    def __init__(self, sensor: Sensor, history: PowerHistory) -> None:
        self._sensor = sensor
        self._history = history
        self._period_ns = s_to_ns(sensor.update_period_s)
        self._window_ns = s_to_ns(sensor.averaging_window_s)
        self._random = random.Random(f"sensor/{sensor.seed}")
        #: The phase is random: nobody tells a meter when its sensor ticks.
        self._next_update_ns = self._random.randrange(self._period_ns)
        self._counted_j: Joule = 0.0
        self._counter_nj: Nanojoule = 0

    @property
    def next_update_ns(self) -> Nanosecond:
        """When the counter moves next."""
        return self._next_update_ns

    @property
    def resolution_nj(self) -> Nanojoule:
        return max(1, j_to_nj(self._sensor.resolution_j))

    def counter_nj(self) -> Nanojoule:
        """The counter now, at the end of the history: what the last update left."""
        if self._next_update_ns > self._history.end_ns:
            return self._counter_nj
        while self._next_update_ns <= self._history.end_ns:
            self._update(self._next_update_ns)
            self._next_update_ns += self._period_ns
        self._history.forget(self._next_update_ns - self._period_ns - self._window_ns)
        steps = math.floor(self._counted_j / self._sensor.resolution_j)
        self._counter_nj = steps * self.resolution_nj
        return self._counter_nj

    def _update(self, time_ns: Nanosecond) -> None:
        sensor = self._sensor
        seen_j = self._history.energy_until(time_ns) - self._history.energy_until(time_ns - self._window_ns)
        power_w = seen_j / ns_to_s(self._window_ns)
        noise = 1 + self._random.gauss(0.0, sensor.noise_rel)
        drift = 1 + sensor.drift_rel_per_min * ns_to_s(time_ns) / 60
        # An energy counter does not run back, whatever the noise.
        self._counted_j += max(0.0, power_w * sensor.gain * noise * drift) * ns_to_s(self._period_ns)
