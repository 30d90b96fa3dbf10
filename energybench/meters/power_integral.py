"""`PowerIntegral`: energy of sensors that report power alone, by trapezoids over samples of it.

One sleeping thread takes a sample every period while the meter is open; no process. What happens between two samples
is not seen, so such a meter's windows are charged with a period at each edge, and its energies are those of a sampled
power and not of a counter: the meter says so (`announcement`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

from energybench.errors import EnergybenchError
from energybench.meters.clock import Clock
from energybench.units import Joule, Nanojoule, Nanosecond, Second, Watt, j_to_nj, ns_to_s


class PowerIntegral:
    """Cumulative energy from sampled power.

    Args:
        read_power_w: Power of every domain now.
        clock: Time of the samples.
        period_s: Time between the thread's samples.

    Raises what `read_power_w` raises, at the start and at the next `read` after the thread met it.
    """

    def __init__(self, read_power_w: Callable[[], Mapping[str, Watt]], *, clock: Clock, period_s: Second) -> None:
        self._read_power_w = read_power_w
        self._clock = clock
        self._period_s = period_s
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._error: EnergybenchError | None = None
        self._last_ns: Nanosecond = clock.now_ns()
        self._last_w = dict(read_power_w())
        self._energy_j: dict[str, Joule] = dict.fromkeys(self._last_w, 0.0)
        self._thread = threading.Thread(target=self._run, name="energybench-power", daemon=True)
        self._thread.start()

    def read(self) -> tuple[Nanosecond, dict[str, Nanojoule]]:
        """Take a sample now: its time, and the energy since the start. Raises what the sensor raises."""
        with self._lock:
            if self._error is not None:
                raise self._error
            self._sample()
            return self._last_ns, {name: j_to_nj(energy_j) for name, energy_j in self._energy_j.items()}

    def close(self) -> None:
        """End the thread; a second call does nothing."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(self._period_s):
            with self._lock:
                try:
                    self._sample()
                except EnergybenchError as error:
                    self._error = error
                    return

    def _sample(self) -> None:
        now_ns, power_w = self._clock.now_ns(), self._read_power_w()
        elapsed_s = ns_to_s(now_ns - self._last_ns)
        for name, now_w in power_w.items():
            # A sensor that can show a negative power (current flowing back) gives no counter that runs back.
            self._energy_j[name] += max(0.0, 0.5 * (self._last_w[name] + now_w)) * elapsed_s
        self._last_ns, self._last_w = now_ns, dict(power_w)
