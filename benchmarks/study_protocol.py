"""``make study-protocol``: how often the stated 95 % intervals hold on virtual devices.

Each scenario is one that its sensor or its surroundings make hard. A window's interval is the energy of one call ±
1.96 standard uncertainties, and where the meter states a gain, that as well. The truth is what the device truly drew
over the calls; where something disturbs it, what they cost undisturbed. Invalid windows are left out, as in a fit, and
counted, with every window of a run that was refused for them.

Usage: python benchmarks/study_protocol.py [WINDOWS [TABLE.md]]        1,000 windows a scenario by default
"""

from __future__ import annotations

import math
import random
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from energybench.errors import ThrottledError
from energybench.meters.scenario import Scenario
from energybench.meters.simulated import SimulatedMeter
from energybench.meters.virtual_device import VirtualDevice
from energybench.protocol import SilentProgress, VirtualExecutor, run_design
from energybench.protocol.device_state import DeviceState
from energybench.protocol.executor import Prepared
from energybench.protocol.validity import ValidityLimits
from energybench.records.op_counts import OpCounts
from energybench.records.run_directory import RunDirectory
from energybench.records.run_record import RunRecord
from energybench.workloads.designs import Design
from energybench.workloads.idle import idle_workload
from energybench.workloads.workload import Tally, Workload

PLANTED = {
    "mac_fp32_j": 1.1e-11, "other_flop_j": 6.0e-12, "byte_j": 9.0e-11, "launch_j": 2.0e-6, "static_power_w": 41.0,
}  # fmt: skip
TIME = {"mac_rate": 2.0e12, "byte_rate": 1.0e11, "launch_s": 5.0e-6}
SENSOR = {
    "update_period_s": 0.1, "averaging_window_s": 0.1, "resolution_j": 0.001, "gain": 1.0, "noise_rel": 0.01,
    "drift_rel_per_min": 0.0, "seed": 7,
}  # fmt: skip
LEVEL_SIGMA = 1.96
HEAD = """# Do the stated intervals hold?

Written by `make study-protocol` (`benchmarks/study_protocol.py`), simulated: virtual devices whose truth is planted,
1,000 valid windows a scenario, 95 % stated. What a scenario does to its windows is in the program beside its name.

"""


@dataclass(frozen=True)
class Case:
    """A scenario: changes of the sensor, further sections, what disturbs the device, and the time a run has."""

    name: str
    what: str
    sensor: dict[str, float] = field(default_factory=dict)
    sections: dict[str, Any] = field(default_factory=dict)
    disturbed: Callable[[VirtualDevice, int], Disturbance] | None = None
    budget_s: float | None = None


class Disturbance:
    """Episodes that come and go at random times of the device's own clock: on for `on_s`, off for `off_s` on average.

    `power_w` is what a neighbour adds, `slow` the factor by which a thermal slowdown stretches every call; the device
    says so in its state while an episode lasts, and only then. `cores` is a neighbour on the CPU, whose time the kernel
    counts: it is seen however short the episode.
    """

    def __init__(
        self, device: VirtualDevice, seed: int, *, on_s: float, off_s: float, power_w: float = 0.0, slow: float = 1.0,
        cores: float = 0.0,
    ) -> None:  # fmt: skip
        self.device, self.power_w, self.slow, self.cores = device, power_w, slow, cores
        self._draw = random.Random(seed)
        self._mean_s = (off_s, on_s)
        self._on, self._until_ns, self.busy_s = False, 0, 0.0
        self._pass = device._pass
        device._pass = self._disturbed_pass  # type: ignore[method-assign]
        self._next()

    def _next(self) -> None:
        self._until_ns += round(self._draw.expovariate(1 / self._mean_s[self._on]) * 1e9)

    def _disturbed_pass(self, duration_ns: int, dynamic_j: float, *, busy: bool) -> None:
        """Cut a stretch of time where episodes begin and end; within one the neighbour's power comes on top."""
        left_ns, power = duration_ns, dynamic_j / duration_ns if duration_ns > 0 else 0.0
        while left_ns > 0:
            while self.device.clock.now_ns() >= self._until_ns:
                self._on = not self._on
                self._next()
            piece_ns = min(left_ns, self._until_ns - self.device.clock.now_ns())
            slow = self.slow if self._on and busy else 1.0
            extra_j = self.power_w * piece_ns / 1e9 if self._on else 0.0
            self.busy_s += self.cores * piece_ns / 1e9 if self._on else 0.0
            # a slowdown spends the same dynamic energy in more time
            self._pass(round(piece_ns * slow), power * piece_ns + extra_j, busy=busy)
            left_ns -= piece_ns

    def state(self) -> DeviceState:
        busy_s, own_s = (self.busy_s, 0.0) if self.cores else (None, None)
        return DeviceState(
            slowdowns=("hw_thermal_slowdown",) if self._on and self.slow > 1 else (),
            other_processes=(4242,) if self._on and self.power_w and not self.cores else (),
            busy_s=busy_s,
            own_s=own_s,
        )


class _Watched:
    """A prepared workload; what the device truly drew over its last calls is kept."""

    def __init__(self, inner: Prepared, executor: WatchedExecutor) -> None:
        self._inner, self._executor, self.grid = inner, executor, inner.grid

    def run(self, calls: int) -> None:
        device = self._executor.watched
        before_j = device.true_energy_j
        self._inner.run(calls)
        self._executor.true_j = (device.true_energy_j - before_j) / calls

    def fence(self) -> None:
        self._inner.fence()

    def release(self) -> None:
        self._inner.release()


class WatchedExecutor(VirtualExecutor):
    """A virtual device, with what disturbs it, and the true energy of the last calls."""

    def __init__(self, device: VirtualDevice, disturbance: Disturbance | None) -> None:
        super().__init__(device)
        self.watched, self._disturbance = device, disturbance
        self.true_j = 0.0

    def prepare(self, workload: Workload) -> Prepared:
        return _Watched(super().prepare(workload), self)

    def state(self) -> DeviceState:
        return DeviceState() if self._disturbance is None else self._disturbance.state()


class Truths(SilentProgress):
    """The truth of every row: what the device drew, or, where something disturbs it, what it draws undisturbed."""

    def __init__(self, executor: WatchedExecutor, *, planted: bool) -> None:
        self._executor, self._planted = executor, planted
        self.rows: list[tuple[RunRecord, float]] = []

    def row_done(self, record: RunRecord, *, done: int, rows: int, width_rel: float | None) -> None:
        counts = record.counts
        planted_j = (
            counts.macs * PLANTED["mac_fp32_j"]
            + counts.bytes * PLANTED["byte_j"]
            + counts.launches * PLANTED["launch_j"]
            + record.time_s * PLANTED["static_power_w"]
        )
        idle = record.split == "idle"
        self.rows.append((record, planted_j if self._planted or idle else self._executor.true_j))


def _neighbour(on_s: float, off_s: float, **what: float) -> Callable[[VirtualDevice, int], Disturbance]:
    return lambda device, seed: Disturbance(device, seed, on_s=on_s, off_s=off_s, **what)


CASES = (
    Case("tick 20 ms", "a fast counter", {"update_period_s": 0.02, "averaging_window_s": 0.02}),
    Case("tick 100 ms", "as most boards have", {}),
    Case("tick 1 s", "a slow counter", {"update_period_s": 1.0, "averaging_window_s": 1.0}),
    Case("short of time", "windows cut to 20 updates, shared idle windows", {}, budget_s=190.0),
    Case("averaging 25 of 100 ms", "blind three quarters of the time", {"averaging_window_s": 0.025}),
    Case("averaging over 1 s", "ten periods in one update", {"averaging_window_s": 1.0}),
    Case("noise 5 %", "a noisy sensor", {"noise_rel": 0.05}),
    Case("gain drift", "1 % off and 0.1 % more every minute; the maker states 1 %",
         {"gain": 1.01, "drift_rel_per_min": 0.001}),
    Case("leakage", "5 W that creep up under work with 30 s", {}, {"thermal": {"leak_w": 5.0, "tau_s": 30.0}}),
    Case("slowdown", "calls twice as long for a minute in four", {},
         disturbed=_neighbour(60.0, 180.0, slow=2.0)),
    Case("neighbour on the GPU", "60 W for two minutes in eight", {}, disturbed=_neighbour(120.0, 360.0, power_w=60.0)),
    Case("neighbour on the CPU", "20 W and a core for 3 s in 30", {},
         disturbed=_neighbour(3.0, 27.0, power_w=20.0, cores=1.0)),
)  # fmt: skip


class _Recipe:
    def __init__(self, counts: OpCounts) -> None:
        self._counts = counts

    def tally(self) -> Tally:
        return Tally(self._counts, "closed_form", parameters=0, operators=1)

    def issued_counts(self) -> None:
        return None

    def build(self, device: str, threads: int | None, seed: int) -> Any:
        raise AssertionError("a virtual device builds nothing")


def workloads() -> tuple[Workload, ...]:
    """From launch-bound to compute-bound and memory-bound, 5 µs to 20 ms a call, 41 W to 56 W."""
    shapes = [(10**n, 10 ** (n - 3)) for n in (6, 7, 8, 9, 10)] + [(0, 10**n) for n in (4, 6, 7, 8, 9)]
    return (
        idle_workload(),
        *(
            Workload(
                f"m{macs}b{bytes_}", "w", "probe", "fit", "gemm", "vendor", "float32",
                _Recipe(OpCounts.single("float32", launches=1, macs=macs, load_bytes=bytes_)),
            )
            for macs, bytes_ in shapes
        ),
    )  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """Of the valid windows: how many intervals hold, mean error, median half-width; and how many were refused."""

    covered: int
    valid: int
    invalid: int
    bias_rel: float
    half_width_rel: float

    @property
    def coverage(self) -> float:
        return self.covered / self.valid


def study(case: Case, windows: int) -> Outcome:
    """Fresh devices with sensors of other seeds until there are enough valid windows."""
    errors: list[float] = []
    halves: list[float] = []
    invalid = seed = 0
    while len(errors) < windows:
        seed += 1
        scenario = Scenario.from_dict(
            {
                "name": case.name, "planted": PLANTED, "time": TIME,
                "sensor": {**SENSOR, **case.sensor, "seed": 1000 + seed}, **case.sections,
            }
        )  # fmt: skip
        device = VirtualDevice(scenario)
        executor = WatchedExecutor(device, None if case.disturbed is None else case.disturbed(device, seed))
        truths = Truths(executor, planted=case.disturbed is not None)
        meter = SimulatedMeter(device)
        gain_rel = sum(d.gain_rel for d in meter.domains)
        design = Design("study", workloads(), 4, 4, 0.05, 0.4)
        with tempfile.TemporaryDirectory() as folder:
            limits = ValidityLimits.for_kind("measured", device="cpu", cores=2)
            try:
                run_design(
                    design,
                    executor,
                    meter,
                    RunDirectory(folder),
                    seed=seed,
                    budget_s=case.budget_s,
                    limits=limits,
                    progress=truths,
                )
            except ThrottledError:
                invalid += len(truths.rows)
                continue
        for record, truth_j in truths.rows:
            if not record.valid:
                invalid += 1
                continue
            if "thermal" in case.sections and record.split == "idle":
                continue  # what leaks in idle is left from the work before it: there is no one truth
            half_j = LEVEL_SIGMA * math.hypot(record.energy_uncertainty_j, gain_rel * record.energy_j)
            errors.append((record.energy_j - truth_j) / record.energy_j)
            halves.append(half_j / record.energy_j)
    e, h = np.array(errors[:windows]), np.array(halves[:windows])
    return Outcome(int(np.sum(np.abs(e) <= h)), windows, invalid, float(e.mean()), float(np.median(h)))


def main(windows: int = 1000, path: Path | None = None) -> None:
    """Every scenario, printed and written as a table."""
    lines = [
        "| scenario | what it is | intervals that hold | mean error | median half-width | windows refused |",
        "|---|---|---|---|---|---|",
    ]
    for case in CASES:
        outcome = study(case, windows)
        lines.append(
            f"| {case.name} | {case.what} | {outcome.covered} of {outcome.valid} | {outcome.bias_rel:+.2%} "
            f"| {outcome.half_width_rel:.2%} | {outcome.invalid} |"
        )
        print(lines[-1], flush=True)
    if path is not None:
        path.write_text(HEAD + "\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000, Path(sys.argv[2]) if len(sys.argv) > 2 else None)
