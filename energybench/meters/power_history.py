"""`PowerHistory`: the true power of a virtual device over time, as pieces of constant power."""

from __future__ import annotations

from bisect import bisect_right

from energybench.units import Joule, Nanosecond, Watt, ns_to_s


class PowerHistory:
    """Piecewise constant power from time 0 on; before that the device drew `power_before_w`.

    Equal neighbours are merged, so ten minutes of the same kernel are one piece.
    """

    def __init__(self, power_before_w: Watt) -> None:
        self._before_w = power_before_w
        self._start_ns: list[Nanosecond] = [0]
        self._start_j: list[Joule] = [0.0]
        self._power_w: list[Watt] = [power_before_w]
        self._end_ns: Nanosecond = 0

    @property
    def end_ns(self) -> Nanosecond:
        return self._end_ns

    def __len__(self) -> int:
        return len(self._start_ns)

    def append(self, duration_ns: Nanosecond, power_w: Watt) -> None:
        """Let `duration_ns` pass at `power_w`."""
        if duration_ns <= 0:
            return
        if power_w != self._power_w[-1]:
            self._start_j.append(self.energy_until(self._end_ns))
            self._start_ns.append(self._end_ns)
            self._power_w.append(power_w)
        self._end_ns += duration_ns

    def energy_until(self, time_ns: Nanosecond) -> Joule:
        """True energy from time 0 to `time_ns`; negative before time 0."""
        if time_ns < 0:
            return self._before_w * ns_to_s(time_ns)
        i = bisect_right(self._start_ns, time_ns) - 1
        if i < 0:
            raise ValueError("this part of the power history was forgotten")
        return self._start_j[i] + self._power_w[i] * ns_to_s(time_ns - self._start_ns[i])

    def forget(self, before_ns: Nanosecond) -> None:
        """Drop the pieces that ended before `before_ns`."""
        i = bisect_right(self._start_ns, before_ns) - 1
        if i > 0:
            del self._start_ns[:i], self._start_j[:i], self._power_w[:i]
