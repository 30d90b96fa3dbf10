"""`WarmUp`: when power and temperature are steady, judged by their slopes."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from energybench.errors import UsageError
from energybench.units import Second, Watt

#: Slope below which a signal counts as steady: 0.5 % of its mean per second for power (the recommended protocol of
#: the project's meter survey), and a tenth of a kelvin per second for temperature, below which leakage moves power
#: by less than the same share.
POWER_SLOPE_REL_PER_S: Final = 0.005
TEMPERATURE_SLOPE_C_PER_S: Final = 0.1


def slope(times_s: Sequence[Second], values: Sequence[float]) -> float | None:
    """Least-squares slope of values over time; None below two distinct times."""
    n = len(times_s)
    if n != len(values):
        raise UsageError("times and values differ in number; give one value per time")
    if n < 2:
        return None
    mean_t, mean_v = sum(times_s) / n, sum(values) / n
    spread = sum((t - mean_t) ** 2 for t in times_s)
    if spread == 0:
        return None
    return sum((t - mean_t) * (v - mean_v) for t, v in zip(times_s, values, strict=True)) / spread


@dataclass(frozen=True, slots=True)
class WarmUpResult:
    """How a warm-up ended: whether it was steady, after how long, and the slopes that decided it."""

    is_steady: bool
    time_s: Second
    power_slope_rel_per_s: float | None
    temperature_slope_c_per_s: float | None


class WarmUp:
    """Feed it power and temperature; it says when both are steady.

    Args:
        window: How many of the last values the slopes are taken over.
        power_slope_rel_per_s: Steady below this share of the mean power per second.
        temperature_slope_c_per_s: Steady below this many kelvin per second; a device without a thermometer is
            judged by power alone.
    """

    def __init__(
        self,
        *,
        window: int = 5,
        power_slope_rel_per_s: float = POWER_SLOPE_REL_PER_S,
        temperature_slope_c_per_s: float = TEMPERATURE_SLOPE_C_PER_S,
    ) -> None:
        if window < 3:
            raise UsageError(f"window={window} is too short for a slope; give 3 or more")
        self._power_limit = power_slope_rel_per_s
        self._temperature_limit = temperature_slope_c_per_s
        self._rows: deque[tuple[Second, Watt, float | None]] = deque(maxlen=window)
        self._start_s: Second | None = None

    def add(self, time_s: Second, power_w: Watt, temp_c: float | None = None) -> None:
        """Take one observation."""
        if self._start_s is None:
            self._start_s = time_s
        self._rows.append((time_s, power_w, temp_c))

    @property
    def power_slope_rel_per_s(self) -> float | None:
        """Slope of power over its mean; None until it exists."""
        mean_w = sum(p for _, p, _ in self._rows) / len(self._rows) if self._rows else 0.0
        steepness = slope([t for t, _, _ in self._rows], [p for _, p, _ in self._rows])
        return None if steepness is None or mean_w == 0 else steepness / mean_w

    @property
    def temperature_slope_c_per_s(self) -> float | None:
        """Slope of temperature; None without a thermometer."""
        rows = [(t, c) for t, _, c in self._rows if c is not None]
        return slope([t for t, _ in rows], [c for _, c in rows])

    def is_steady(self) -> bool:
        """Whether the window is full and every slope that exists is below its limit."""
        if len(self._rows) < (self._rows.maxlen or 0):
            return False
        power, temperature = self.power_slope_rel_per_s, self.temperature_slope_c_per_s
        if power is None or abs(power) > self._power_limit:
            return False
        return temperature is None or abs(temperature) <= self._temperature_limit

    def result(self) -> WarmUpResult:
        """The state now."""
        elapsed_s = self._rows[-1][0] - self._start_s if self._rows and self._start_s is not None else 0.0
        return WarmUpResult(self.is_steady(), elapsed_s, self.power_slope_rel_per_s, self.temperature_slope_c_per_s)
