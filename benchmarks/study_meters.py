"""Accuracy of windows on virtual sensors whose truth is known: coverage, width beside an oracle, phases, wraps.

    make study-meters        python -m benchmarks.study_meters [--windows N] [--seed S]

Every sensor is characterised first and the windows are evaluated with what was found, never with the scenario. Seeds
are drawn afresh and printed. Prints the tables of ``docs/meters.md``; ends with status 1 where a goal is missed.
"""

from __future__ import annotations

import argparse
import random
import secrets
import statistics
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.sensor_oracle import Sensor, errors_j, narrowest_interval
from energybench.meters.characterise import characterise, update_noise_rel
from energybench.meters.repeats import repeated
from energybench.meters.rise_time import averaging_s
from energybench.meters.scenario import Scenario
from energybench.meters.simulated import READ_LATENCY_S, SimulatedMeter
from energybench.meters.ticks import wait_for_update
from energybench.meters.virtual_device import VirtualDevice
from energybench.meters.window import Window
from energybench.records.op_counts import OpCounts
from energybench.records.reading import Domain, Reading

COVERAGE_GOAL = 0.93
WIDTH_GOAL = 1.3

#: Updates that the noise of one is found from: more than a run takes by default, since all windows of a row share it.
UPDATES = 80
STATIC_W = 40.0
#: Power before a window over the power inside, from nearly nothing to all of it.
LEAST_RATIO = 0.02
#: Fastest work: MACs that take STATIC_W / LEAST_RATIO together with the static power.
MAC_RATE = 1e12
BYTE_RATE = 1e12
MAC_J = STATIC_W * (1 / LEAST_RATIO - 1) / MAC_RATE


@dataclass(frozen=True)
class Case:
    """A sensor, and the windows taken with it."""

    name: str
    sensor: dict[str, Any] = field(default_factory=dict)
    window_s: tuple[float, float] = (1.0, 6.0)
    aligned: bool = False
    with_gain: bool = False

    @property
    def sees_part(self) -> bool:
        """Whether the sensor looks at a part of each period only."""
        return bool(self.sensor.get("averaging_window_s", 0.1) < self.sensor.get("update_period_s", 0.1))


CASES = (
    Case("100 ms, whole period"),
    Case("100 ms, whole period, no noise", {"noise_rel": 0.0}),
    Case("100 ms, 10 % noise", {"noise_rel": 0.1}),
    Case("100 ms, 25 ms seen (GA100, GH100)", {"averaging_window_s": 0.025}),
    Case("20 ms, 10 ms seen (Volta)", {"update_period_s": 0.02, "averaging_window_s": 0.01}),
    Case("100 ms, average of 1 s", {"averaging_window_s": 1.0}, window_s=(4.0, 12.0)),
    Case(
        "1 ms (RAPL)",
        {"update_period_s": 1e-3, "averaging_window_s": 1e-3, "resolution_j": 61e-6, "noise_rel": 0.02},
        window_s=(0.02, 0.3),
    ),
    Case("20 ms, steps of 1 J", {"update_period_s": 0.02, "averaging_window_s": 0.02, "resolution_j": 1.0}),
    Case("100 ms, windows of 2 to 5 periods", window_s=(0.2, 0.5)),
    Case("100 ms, gain 0.95, drift 0.05 %/min", {"gain": 0.95, "drift_rel_per_min": 0.0005}, with_gain=True),
    Case("100 ms, edges aligned", aligned=True),
    Case("100 ms, 25 ms seen, edges aligned", {"averaging_window_s": 0.025}, aligned=True),
)
#: Of these only an oracle knows the gain: what is uncalibrated cannot be as narrow.
UNCALIBRATED = {case.name for case in CASES if case.with_gain}
#: What ran before and inside the window; "any" draws the ratio of powers for every window.
LOADS = ("any", "from idle", "from load", "bursts")


def loads_of(case: Case) -> tuple[str, ...]:
    """Bursts under a sensor that looks part of the time are shown by repeating alone: `run_repeated`."""
    return LOADS[:-1] if case.sees_part else LOADS


@dataclass(frozen=True)
class Outcome:
    """Of one case under one load: shares of windows whose truth was held, and the median ratio of widths."""

    case: str
    load: str
    coverage: float
    oracle_coverage: float
    width_ratio: float
    median_rel_half_width: float


def make_device(case: Case, seed: int) -> SimulatedMeter:
    """A virtual device whose power can be set anywhere between static and STATIC_W / LEAST_RATIO."""
    sensor: dict[str, Any] = {
        "update_period_s": 0.1,
        "averaging_window_s": 0.1,
        "resolution_j": 0.001,
        "gain": 1.0,
        "noise_rel": 0.01,
        "drift_rel_per_min": 0.0,
        "seed": seed,
        **case.sensor,
    }
    scenario = {
        "name": "study",
        "planted": {
            "mac_fp32_j": MAC_J,
            "other_flop_j": 0.0,
            "byte_j": 0.0,
            "launch_j": 0.0,
            "static_power_w": STATIC_W,
        },
        "time": {"mac_rate": MAC_RATE, "byte_rate": BYTE_RATE, "launch_s": 0.0},
        "sensor": sensor,
    }
    return SimulatedMeter(VirtualDevice(Scenario.from_dict(scenario)))


def work(meter: SimulatedMeter, duration_s: float, power_w: float) -> None:
    """Keep the device at a power. Bytes, which cost nothing, set the time; MACs set the power."""
    share = (power_w - STATIC_W) / (MAC_J * MAC_RATE)
    macs = round(share * MAC_RATE * duration_s)
    meter.device.execute(OpCounts.single("float32", macs=macs, load_bytes=round(BYTE_RATE * duration_s)))


@dataclass(frozen=True)
class Taken:
    """One window, its truth, and what the oracle needs to know of it."""

    window: Window
    true_j: float
    power_w: float
    poll_s: float | None


class Bench:
    """One characterised sensor and the windows taken with it."""

    def __init__(self, case: Case, load: str, seed: int) -> None:
        self.case, self.load = case, load
        self.draw = random.Random(f"{seed}/{case.name}/{load}")
        self.rng = np.random.default_rng(self.draw.randrange(2**32))
        self.meter = make_device(case, self.draw.randrange(2**31))
        self.sensor = self.meter.device.scenario.sensor
        self.found = characterise(
            self.meter, updates=UPDATES, load=lambda duration_s: work(self.meter, duration_s, 8 * STATIC_W)
        )
        self.settle_s = self.sensor.averaging_window_s + 2 * self.sensor.update_period_s

    def take(self, wanted_s: float, power_w: float, burst_s: float) -> Taken:
        """One window, after a random wait in idle or, where the load says so, in the same work."""
        meter, device, draw, period_s = self.meter, self.meter.device, self.draw, self.sensor.update_period_s
        wait_s = self.settle_s + draw.uniform(0.0, period_s)
        if self.load == "from load":
            work(meter, wait_s, power_w)
        else:
            device.idle(wait_s)
        begin, begin_poll_s = self.edge()
        before_j = device.history.energy_until(begin.time_ns)
        if self.case.aligned:
            device.idle(draw.uniform(0.0, period_s))
        if self.load == "bursts":
            for _ in range(max(1, round(wanted_s / burst_s))):
                work(meter, 0.5 * burst_s, power_w)
                device.idle(0.5 * burst_s)
        else:
            work(meter, wanted_s, power_w)
        end, end_poll_s = self.edge()
        true_j = device.history.energy_until(end.time_ns) - before_j
        poll_s = max(begin_poll_s, end_poll_s) or None
        window = Window.from_readings(
            begin,
            end,
            meter.domains,
            kind=meter.kind,
            update_period_s=self.found.update_period_s,
            aligned=self.case.aligned,
            # An edge is as sharp as its polls only where it is known what part of a period the sensor sees.
            poll_interval_s=poll_s if self.found.seen_share is not None else None,
            update_noise_rel=update_noise_rel(self.found) or 0.0,
            averaging_s=averaging_s(self.found),
        )
        return Taken(window, true_j, true_j / window.time_s if self.load == "bursts" else power_w, poll_s)

    def edge(self) -> tuple[Reading, float]:
        """A reading, right after an update where edges are aligned, and the time between the polls around it."""
        if not self.case.aligned:
            return self.meter.read(), 0.0
        update = wait_for_update(self.meter, poll_s=1e-3)
        return update.reading, update.poll_interval_s

    def oracle_interval(self, taken: Taken) -> tuple[float, float]:
        """What an oracle that knows the sensor, its gain and its drift says of the same window."""
        sensor, window = self.sensor, taken.window
        known = Sensor(sensor.update_period_s, sensor.averaging_window_s, sensor.noise_rel, sensor.resolution_j)
        errors = errors_j(known, window_s=window.time_s, power_w=taken.power_w, rng=self.rng, poll_s=taken.poll_s)
        low_j, high_j = narrowest_interval(errors)
        gain = sensor.gain * (1 + sensor.drift_rel_per_min * window.begin_ns / 1e9 / 60)
        shown_j = window.energy_j / gain
        # It is not told that reading the meter takes time.
        slack_j = READ_LATENCY_S * taken.power_w
        return shown_j - high_j - slack_j, shown_j - low_j + slack_j

    def conditions(self) -> tuple[float, float, float]:
        """Length, power inside and length of a burst of the next window."""
        ratio = {"from idle": 0.1, "from load": 1 / 8}.get(self.load) or self.draw.uniform(LEAST_RATIO, 1.0)
        burst_s = self.sensor.update_period_s * self.draw.uniform(1 / 7, 1 / 3)
        return self.draw.uniform(*self.case.window_s), STATIC_W / ratio, burst_s


def run_case(case: Case, load: str, *, windows: int, seed: int) -> Outcome:
    """Characterise the sensor, then take windows of known truth beside the oracle's."""
    bench = Bench(case, load, seed)
    covered = oracle_covered = 0
    ratios, halves = [], []
    for _ in range(windows):
        taken = bench.take(*bench.conditions())
        interval = taken.window.interval(0.95, with_gain=case.with_gain)
        assert interval is not None
        oracle = bench.oracle_interval(taken)
        covered += interval[0] <= taken.true_j <= interval[1]
        oracle_covered += oracle[0] <= taken.true_j <= oracle[1]
        ratios.append((interval[1] - interval[0]) / (oracle[1] - oracle[0]))
        halves.append((interval[1] - interval[0]) / 2 / taken.true_j)
    return Outcome(
        case.name,
        load,
        covered / windows,
        oracle_covered / windows,
        statistics.median(ratios),
        statistics.median(halves),
    )


def run_repeated(case: Case, *, values: int, seed: int, repeats: int = 8) -> tuple[float, float]:
    """Bursts under a sensor that does not see them all: share of means of some windows whose interval holds the truth.

    The second number is the median half-width over the energy.
    """
    bench = Bench(case, "bursts", seed)
    covered, halves = 0, []
    for _ in range(values):
        conditions = bench.conditions()
        taken = [bench.take(*conditions) for _ in range(repeats)]
        value = repeated([t.window for t in taken])
        true_j = statistics.fmean(t.true_j for t in taken)
        covered += value.interval_j[0] <= true_j <= value.interval_j[1]
        halves.append((value.interval_j[1] - value.interval_j[0]) / 2 / true_j)
    return covered / values, statistics.median(halves)


def wrong_windows(wraps: int, seed: int) -> tuple[int, int, int]:
    """Windows of 1 to 250 s at 300 to 1,000 W on an Intel counter until it has wrapped that often.

    Returns the windows, those of wrong energy, and those whose correction is not visible or is visible for nothing.
    """
    draw = random.Random(seed)
    wrap_nj = 262_143_328_851 * 1000
    domain = Domain("package-0", wrap_nj=wrap_nj, max_power_w=1000.0)
    seen = windows = wrong = hidden = true_nj = time_ns = 0
    while seen < wraps:
        step_ns = int(draw.uniform(1.0, 250.0) * 1e9)
        energy_nj = int(draw.uniform(300.0, 1000.0) * step_ns)
        begin = Reading(time_ns, {domain.name: true_nj % wrap_nj})
        end = Reading(time_ns + step_ns, {domain.name: (true_nj + energy_nj) % wrap_nj})
        window = Window.from_readings(begin, end, [domain], kind="simulated", update_period_s=1e-3)
        wrapped = true_nj // wrap_nj != (true_nj + energy_nj) // wrap_nj
        windows += 1
        wrong += window.energy_j != energy_nj / 1e9
        hidden += window.corrected != wrapped
        seen += wrapped
        true_nj += energy_nj
        time_ns += step_ns
    return windows, wrong, hidden


#: A load in step with the sensor: half of each 100 ms at 400 W above the static power.
PART_TIME = Case("part-time", {"averaging_window_s": 0.025, "noise_rel": 0.005})
PERIOD_NS = 100_000_000


def part_time_error(meter: SimulatedMeter, phase_s: float, periods: int = 20) -> float:
    """Relative error of a window of some periods whose load begins `phase_s` after a whole period of the sensor."""
    device, clock = meter.device, meter.clock
    device.idle(((round(phase_s * 1e9) - clock.now_ns()) % PERIOD_NS) / 1e9)
    begin, before_j = meter.read(), device.true_energy_j
    start_ns = clock.now_ns()
    for i in range(periods):
        work(meter, 0.05, STATIC_W + 400.0)
        # To the next whole period: the read itself took time.
        device.idle((start_ns + (i + 1) * PERIOD_NS - clock.now_ns()) / 1e9)
    true_j = device.true_energy_j - before_j
    window = Window.from_readings(begin, meter.read(), meter.domains, kind=meter.kind, update_period_s=0.1)
    return window.energy_j / true_j - 1


def part_time_errors(seed: int, phases: int = 64) -> tuple[float, float]:
    """Mean error of eight windows at one phase, and of as many windows as phases, one in each part of the period."""
    draw = random.Random(f"phases/{seed}")
    meter = make_device(PART_TIME, seed)
    one_phase = statistics.fmean(part_time_error(meter, 0.0) for _ in range(8))
    phases_s = [(i + draw.random()) * 0.1 / phases for i in range(phases)]
    draw.shuffle(phases_s)
    return one_phase, statistics.fmean(part_time_error(meter, phase_s) for phase_s in phases_s)


def failures(outcomes: Iterable[Outcome]) -> list[str]:
    """What misses a goal: coverage in every row; width in every row but where the oracle alone knows the gain."""
    missed = []
    for o in outcomes:
        if o.coverage < COVERAGE_GOAL:
            missed.append(f"{o.case}, {o.load}: {o.coverage:.1%} covered")
        if o.width_ratio > WIDTH_GOAL and o.case not in UNCALIBRATED:
            missed.append(f"{o.case}, {o.load}: {o.width_ratio:.2f} times the oracle's width")
    return missed


def main() -> int:
    """Run the study and print its tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--windows", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**31))
    parser.add_argument("--case", default="", help="only sensors whose name contains this")
    parser.add_argument("--devices", type=int, default=40, help="part-time sensors")
    given = parser.parse_args()
    print(f"{given.windows} windows a row, seed {given.seed}.\n")
    print("| sensor | before and inside | truth held | the oracle's | width / oracle's | half-width |")
    print("|---|---|---:|---:|---:|---:|")
    outcomes = []
    cases = [case for case in CASES if given.case in case.name]
    for case in cases:
        for load in loads_of(case):
            o = run_case(case, load, windows=given.windows, seed=given.seed)
            outcomes.append(o)
            print(
                f"| {o.case} | {o.load} | {o.coverage:.1%} | {o.oracle_coverage:.1%} | {o.width_ratio:.2f} "
                f"| {o.median_rel_half_width:.2%} |",
                flush=True,
            )
    missed = failures(outcomes)
    for case in cases:
        if case.sees_part and not case.aligned:
            share, half = run_repeated(case, values=given.windows, seed=given.seed)
            print(f"| {case.name} | bursts, means of 8 windows | {share:.1%} | – | – | {half:.2%} |", flush=True)
            if share < COVERAGE_GOAL:
                missed.append(f"{case.name}, means of 8 windows: {share:.1%} covered")
    errors = [part_time_errors(given.seed + i) for i in range(given.devices)]
    one, spread = ([abs(e[i]) for e in errors] for i in (0, 1))
    print(f"\n25 ms of every 100 ms seen, load in step, {given.devices} sensors: mean |error| at one phase ", end="")
    print(f"{statistics.fmean(one):.1%} (worst {max(one):.1%}), at 64 phases {statistics.fmean(spread):.2%}", end="")
    print(f" (worst {max(spread):.2%}).")
    if statistics.fmean(spread) > 0.01 or statistics.fmean(one) < 0.3:
        missed.append("part-time sensor")
    windows, wrong, hidden = wrong_windows(10_000, given.seed)
    print(f"10,000 wraps in {windows} windows at 300 to 1,000 W: {wrong} wrong, {hidden} with the wrong mark.")
    if wrong or hidden:
        missed.append("wraps")
    for line in missed:
        print(f"missed: {line}", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
