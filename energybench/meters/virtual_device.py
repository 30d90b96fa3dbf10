"""`VirtualDevice`: a device whose every joule is planted, in virtual time. The oracle of the dry runs.

It is written apart from the equations that are fitted to it and shares no code with them. A call costs

    energy   = Σ mac_j(dtype)·macs + other_flop_j·other_flops + byte_j·bytes + launch_j·launches + static_power_w·time
    duration = max(Σ macs/mac_rate, bytes/byte_rate) + launches·launch_s

and each optional section of the scenario changes that in one place below. All its energy is `simulated`.
"""

from __future__ import annotations

import itertools
import math
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from energybench.errors import UsageError
from energybench.meters.clock import VirtualClock
from energybench.meters.power_history import PowerHistory
from energybench.meters.scenario import Dvfs, Scenario
from energybench.meters.virtual_sensor import VirtualSensor
from energybench.records.op_counts import DTYPE_SHORT, OpCounts
from energybench.units import NS_PER_S, Joule, Nanosecond, Second, Watt, ns_to_s, s_to_ns

#: Steps per thermal time constant; within one the leakage is a constant (its exact mean).
_THERMAL_STEPS: Final = 20
#: Share of `leak_w` below which the leakage counts as settled.
_THERMAL_SETTLED: Final = 1e-4


@dataclass(frozen=True, slots=True)
class _Work:
    """One call at full clock: joules that follow the voltage, joules that do not, and its two times."""

    core_j: Joule
    other_j: Joule
    core_s: Second
    memory_s: Second
    launch_s: Second
    unit_w: Watt = 0.0


class _DeviceClock(VirtualClock):
    """Virtual time in which the device idles while anybody sleeps."""

    def __init__(self, device: VirtualDevice) -> None:
        super().__init__()
        self._device = device

    def sleep(self, duration_s: Second) -> None:
        self._device.idle(duration_s)

    def move_to(self, time_ns: Nanosecond) -> None:
        self._now_ns = time_ns


class VirtualDevice:
    """A planted device with one power sensor.

    `clock` is its virtual clock: sleeping on it is idling. `sensor` is what a `SimulatedMeter` reads.
    """

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.name = scenario.name
        self.history = PowerHistory(scenario.planted.static_power_w * (1 + scenario.session_offset_rel))
        self._clock = _DeviceClock(self)
        self.sensor = VirtualSensor(scenario.sensor, self.history)
        self._leak_w = 0.0
        self._carry_ns = 0.0
        self._carry_j = 0.0
        self._clock_rel: float | None = None

    @classmethod
    def load(cls, path: Path | str) -> VirtualDevice:
        """A device from a scenario file. Raises UsageError in one line."""
        return cls(Scenario.load(path))

    @property
    def clock(self) -> VirtualClock:
        """Virtual time."""
        return self._clock

    @property
    def clock_mhz(self) -> float | None:
        """Clock of the last work; None before any, and of a device that does not tell it."""
        highest = self.scenario.dvfs.clock_mhz if self.scenario.dvfs else None
        return None if highest is None or self._clock_rel is None else highest * self._clock_rel

    def facts(self) -> dict[str, float | None]:
        """What the device says of itself, as a driver would: its last cache, units, highest clock and power cap."""
        cache, tile, dvfs = self.scenario.cache, self.scenario.tile, self.scenario.dvfs
        return {
            "last_cache_bytes": cache.l2_bytes if cache else None,
            "compute_units": tile.sm_count if tile else None,
            "highest_clock_mhz": dvfs.clock_mhz if dvfs else None,
            "power_cap_w": dvfs.power_cap_w if dvfs else None,
        }

    @property
    def true_energy_j(self) -> Joule:
        """Everything drawn since time 0: what a perfect meter would show."""
        return self.history.energy_until(self.history.end_ns)

    def idle(self, duration_s: Second) -> None:
        """Let time pass without work. Raises UsageError on a duration that is not finite."""
        if not math.isfinite(duration_s):
            raise UsageError(f"duration_s={duration_s!r} is not finite; give seconds")
        self._pass(max(0, s_to_ns(duration_s)), 0.0, busy=False)

    def execute(
        self,
        counts: OpCounts,
        calls: int = 1,
        *,
        kernel_class: str = "gemm",
        dtype: str | None = None,
        zero_share: float = 0.0,
        is_cold: bool = False,
    ) -> Second:
        """Run `calls` calls of that much work each, back to back; returns how long they took, in virtual seconds.

        Args:
            counts: Work of one call, with compulsory traffic.
            calls: How many.
            kernel_class: Names the kernel for the hidden spread between kernels.
            dtype: The same; the element type with the most MACs when not given.
            zero_share: Share of zeros in the data, 0…1, for ``[values] zero_sensitivity``.
            is_cold: No byte comes from the cache of ``[cache]``.

        Raises:
            UsageError: no cost is planted for an element type, the traffic is not compulsory, or an argument is wrong.
        """
        if type(calls) is not int or calls < 0:
            raise UsageError(f"calls={calls!r} is not possible; give a whole number, 0 or more")
        if not 0 <= zero_share <= 1:
            raise UsageError(f"zero_share={zero_share!r} is no share; give a number from 0 to 1")
        if counts.traffic_basis != "compulsory":
            raise UsageError(
                f"the virtual device prices compulsory traffic, not {counts.traffic_basis}; count it as compulsory"
            )
        work = self._work(counts, kernel_class, dtype, zero_share, is_cold)
        self._clock_rel = self._clock_under_cap(work)
        duration_s, dynamic_j = self._at_clock(work, self._clock_rel)
        if self.scenario.dispatch_s:
            # The host cannot launch faster than this: the device waits, powered.
            duration_s = max(duration_s, counts.launches * self.scenario.dispatch_s)
        if duration_s == 0 and dynamic_j > 0:
            raise UsageError(
                f"scenario {self.name} spends energy in no time; give the work a duration (time.launch_s above 0)"
            )
        # Parts of a nanosecond, and their energy, must not get lost over a million tiny calls.
        exact_ns = duration_s * calls * NS_PER_S + self._carry_ns
        whole_ns = math.floor(exact_ns)
        self._carry_ns = exact_ns - whole_ns
        self._carry_j += dynamic_j * calls
        if whole_ns > 0:
            work_j, self._carry_j = self._carry_j, 0.0
            self._pass(whole_ns, work_j, busy=True)
        return ns_to_s(whole_ns)

    def _work(self, counts: OpCounts, kernel_class: str, dtype: str | None, zero_share: float, is_cold: bool) -> _Work:
        planted, time = self.scenario.planted, self.scenario.time
        mac_j = mac_s = unit_s = 0.0
        for name, tally in counts.by_dtype.items():
            if tally.macs == 0:
                continue
            if name not in planted.mac_j:
                raise UsageError(
                    f"scenario {self.name} plants no energy for {name} MACs; add planted.mac_{DTYPE_SHORT[name]}_j"
                )
            priced, timed = self._tiled(tally.macs)
            mac_j += planted.mac_j[name] * priced
            unit_s += priced / time.mac_rate_by_dtype.get(name, time.mac_rate)
            mac_s += timed / time.mac_rate_by_dtype.get(name, time.mac_rate)
        energy_factor, time_factor = self._hidden_factors(kernel_class, dtype or _main_dtype(counts))
        return _Work(
            core_j=energy_factor
            * (mac_j * (1 - self.scenario.zero_sensitivity * zero_share) + planted.other_flop_j * counts.other_flops),
            other_j=energy_factor * self._traffic_j(counts.bytes, is_cold) + planted.launch_j * counts.launches,
            core_s=time_factor * mac_s,
            memory_s=time_factor * counts.bytes / time.byte_rate,
            launch_s=time.launch_s * counts.launches,
            unit_w=self.scenario.tile.unit_w * unit_s / mac_s if self.scenario.tile and mac_s else 0.0,
        )

    def _tiled(self, macs: int) -> tuple[int, int]:
        """MACs that are paid for and MACs that are waited for: whole tiles, and whole waves of tiles."""
        tile = self.scenario.tile
        if tile is None:
            return macs, macs
        tile_macs = tile.m * tile.n * tile.k
        tiles = -(-macs // tile_macs)
        waves = -(-tiles // tile.sm_count)
        return tiles * tile_macs, waves * tile.sm_count * tile_macs

    def _traffic_j(self, traffic_bytes: int, is_cold: bool) -> Joule:
        cache, byte_j = self.scenario.cache, self.scenario.planted.byte_j
        if cache is None or is_cold:
            return byte_j * traffic_bytes
        near = min(traffic_bytes, cache.l2_bytes)
        return cache.l2_byte_j * near + byte_j * (traffic_bytes - near)

    def _hidden_factors(self, kernel_class: str, dtype: str) -> tuple[float, float]:
        hidden = self.scenario.hidden
        if hidden is None:
            return 1.0, 1.0
        tile = self.scenario.tile
        key = f"{self.scenario.sensor.seed}/{kernel_class}/{dtype}/{(tile.m, tile.n, tile.k) if tile else ''}"
        draw = random.Random(key)
        return (
            math.exp(draw.gauss(0.0, hidden.variant_sigma_energy)),
            math.exp(draw.gauss(0.0, hidden.variant_sigma_time)),
        )

    def _at_clock(self, work: _Work, clock_rel: float) -> tuple[Second, Joule]:
        """Duration and dynamic energy of one call at a relative clock; dynamic energy goes with the voltage squared."""
        dvfs = self.scenario.dvfs
        voltage = _voltage(dvfs, clock_rel) if dvfs else 1.0
        duration_s = max(work.core_s / clock_rel, work.memory_s) + work.launch_s
        active_j = (self.scenario.sm_active_w + work.unit_w) * duration_s
        return duration_s, work.core_j * voltage**2 + work.other_j + active_j

    def _clock_under_cap(self, work: _Work) -> float:
        """The highest relative clock that keeps the mean power under the cap; the lowest there is where none does."""
        dvfs = self.scenario.dvfs
        if dvfs is None:
            return 1.0

        def over_cap(clock_rel: float) -> bool:
            duration_s, dynamic_j = self._at_clock(work, clock_rel)
            static_j = self.scenario.planted.static_power_w * duration_s
            return duration_s > 0 and (dynamic_j + static_j) > dvfs.power_cap_w * duration_s

        low, high = dvfs.v_of_f[0][0], 1.0
        if not over_cap(high):
            return high
        if over_cap(low):
            return low
        for _ in range(50):
            middle = (low + high) / 2
            low, high = (low, middle) if over_cap(middle) else (middle, high)
        return low

    def _pass(self, duration_ns: Nanosecond, dynamic_j: Joule, *, busy: bool) -> None:
        """Let time pass with `dynamic_j` spread evenly over it, on top of static power and leakage."""
        if duration_ns <= 0:
            return
        offset = 1 + self.scenario.session_offset_rel
        power_w = (self.scenario.planted.static_power_w + dynamic_j / ns_to_s(duration_ns)) * offset
        for piece_ns, leak_w in self._leakage(duration_ns, busy=busy):
            self.history.append(piece_ns, power_w + leak_w * offset)
        self._clock.move_to(self.history.end_ns)

    def _leakage(self, duration_ns: Nanosecond, *, busy: bool) -> list[tuple[Nanosecond, Watt]]:
        """The stretch cut into pieces with the mean leakage of each: dL/dt = (target − L)/tau, integrated exactly."""
        thermal = self.scenario.thermal
        if thermal is None or thermal.leak_w == 0:
            return [(duration_ns, 0.0)]
        target_w = thermal.leak_w if busy else 0.0
        step_ns = max(1, s_to_ns(thermal.tau_s / _THERMAL_STEPS))
        pieces: list[tuple[Nanosecond, Watt]] = []
        left_ns = duration_ns
        while left_ns > 0:
            gap_w = self._leak_w - target_w
            settled = abs(gap_w) < _THERMAL_SETTLED * thermal.leak_w
            piece_ns = left_ns if settled else min(step_ns, left_ns)
            ratio = ns_to_s(piece_ns) / thermal.tau_s
            pieces.append((piece_ns, target_w + (0.0 if settled else gap_w * -math.expm1(-ratio) / ratio)))
            self._leak_w = target_w if settled else target_w + gap_w * math.exp(-ratio)
            left_ns -= piece_ns
        return pieces


def _main_dtype(counts: OpCounts) -> str:
    return max(counts.by_dtype, key=lambda name: counts.by_dtype[name].macs, default="float32")


def _voltage(dvfs: Dvfs, clock_rel: float) -> float:
    """Linear between the points of `v_of_f`."""
    points = dvfs.v_of_f
    for (f0, v0), (f1, v1) in itertools.pairwise(points):
        if clock_rel <= f1:
            return v0 + (v1 - v0) * max(0.0, clock_rel - f0) / (f1 - f0)
    return points[-1][1]
