"""A sensor that looks 25 of every 100 ms (GA100, GH100) at a load in step with it: one phase misleads, many do not."""

import random
import statistics

import pytest

from energybench.meters.scenario import Scenario
from energybench.meters.simulated import SimulatedMeter
from energybench.meters.virtual_device import VirtualDevice
from energybench.meters.window import Window
from energybench.records.op_counts import OpCounts

#: 50 ms of work at 41 W static and about 400 W of MACs, then 50 ms of idling: the sensor's own period.
CALL = OpCounts.single("float32", macs=2_000_000_000, launches=0)
CALLS = 50
HALF_PERIOD_S = 0.05
PERIODS = 20


def window_error(meter: SimulatedMeter, phase_s: float) -> float:
    """Relative error of one window whose load begins `phase_s` after a whole multiple of the sensor's period."""
    device = meter.device
    period_ns = 100_000_000
    device.idle(((round(phase_s * 1e9) - meter.clock.now_ns()) % period_ns) / 1e9)
    begin, before_j = meter.read(), device.true_energy_j
    start_ns = meter.clock.now_ns()
    for i in range(PERIODS):
        device.execute(CALL, CALLS)
        # To the next whole period: the read itself took time.
        device.idle((start_ns + (i + 1) * period_ns - meter.clock.now_ns()) / 1e9)
    true_j = device.true_energy_j - before_j
    window = Window.from_readings(begin, meter.read(), meter.domains, kind=meter.kind, update_period_s=0.1)
    return window.energy_j / true_j - 1


@pytest.fixture
def part_time(scenario_dict):
    def make(seed: int) -> SimulatedMeter:
        sensor = {"update_period_s": 0.1, "averaging_window_s": 0.025, "noise_rel": 0.005, "seed": seed}
        planted = {"mac_fp32_j": 2.0e-10, "launch_j": 0.0}
        data = scenario_dict(sensor=sensor, planted=planted, time={"mac_rate": 2.0e12, "launch_s": 0.0})
        return SimulatedMeter(VirtualDevice(Scenario.from_dict(data)))

    return make


def test_one_phase_misleads_by_a_third_and_stratified_phases_find_the_truth(part_time):
    naive, spread = [], []
    for seed in range(8):
        meter = part_time(seed)
        naive.append(abs(statistics.fmean(window_error(meter, 0.0) for _ in range(8))))
        draw = random.Random(f"phases/{seed}")
        phases_s = [(i + draw.random()) * 0.1 / 64 for i in range(64)]
        draw.shuffle(phases_s)
        spread.append(abs(statistics.fmean(window_error(meter, phase_s) for phase_s in phases_s)))
    assert statistics.fmean(naive) > 0.3
    assert statistics.fmean(spread) < 0.01
    assert max(spread) < 0.02
