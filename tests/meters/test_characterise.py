import itertools
from typing import Any

import pytest

from energybench.errors import MeterUnavailable, UsageError
from energybench.meters.characterise import characterise, update_noise_rel
from energybench.meters.clock import Clock, VirtualClock
from energybench.meters.modelled import ModelledMeter
from energybench.meters.rapl_powercap import RaplMeter
from energybench.meters.scenario import Scenario
from energybench.meters.simulated import SimulatedMeter
from energybench.meters.ticks import wait_for_update
from energybench.meters.virtual_device import VirtualDevice
from energybench.records.reading import Domain, MeterCharacteristics, Reading
from energybench.records.vocabulary import Kind


@pytest.mark.parametrize("period_s", [0.02, 0.1])
@pytest.mark.parametrize("resolution_j", [0.001, 0.05])
def test_finds_what_was_planted(scenario_dict, period_s, resolution_j):
    sensor = {"update_period_s": period_s, "averaging_window_s": period_s / 4, "resolution_j": resolution_j}
    meter = SimulatedMeter(VirtualDevice(Scenario.from_dict(scenario_dict(sensor=sensor))))
    found = characterise(meter)
    assert found.update_period_s == pytest.approx(period_s, rel=0.01)
    assert found.resolution_j == pytest.approx(resolution_j)
    assert found.read_latency_p50_s == pytest.approx(50e-6)
    assert found.read_latency_p99_s == pytest.approx(50e-6)
    assert found.idle_power_w == pytest.approx(41.0, rel=0.02)
    assert found.idle_power_stdev_w is not None
    assert 0 < found.idle_power_stdev_w < 2.0
    if resolution_j == 0.001:
        assert update_noise_rel(found) == pytest.approx(0.01, rel=0.8)


def test_noise_is_unknown_where_a_value_is():
    assert update_noise_rel(MeterCharacteristics(None, None, None, None, 40.0, 0.1)) is None


def test_runs_in_real_time_on_a_tree_that_a_process_moves(powercap_tree):
    powercap_tree.zone("intel-rapl:0", "package-0")
    powercap_tree.run("intel-rapl:0", power_w=50.0, duration_s=60.0)  # killed with the fixture
    meter = RaplMeter(powercap_tree.root)
    found = characterise(meter, latency_reads=50, updates=10, idle_segments=3, idle_segment_s=0.05, timeout_s=10.0)
    meter.close()
    assert found.update_period_s is not None
    assert found.update_period_s > 0
    assert found.read_latency_p50_s is not None
    assert found.read_latency_p99_s is not None
    assert 0 < found.read_latency_p50_s <= found.read_latency_p99_s
    # The writer's energy is power × its own clock, whatever the load here: only its lateness enters.
    assert found.idle_power_w == pytest.approx(50.0, rel=0.6)


def test_a_stuck_counter_is_named(powercap_tree):
    powercap_tree.zone("intel-rapl:0", "package-0", 123)
    meter = RaplMeter(powercap_tree.root)
    with pytest.raises(MeterUnavailable, match="did not move within 0.05 s"):
        characterise(meter, latency_reads=2, timeout_s=0.05)
    meter.close()


def test_a_continuous_meter_gets_the_poll_interval_as_bound():
    found = characterise(ModelledMeter(tdp_w=100.0), latency_reads=20, updates=5, idle_segments=2, idle_segment_s=0.01)
    assert found.update_period_s is not None
    assert 0 < found.update_period_s < 0.05


def test_arguments_without_a_spread_are_refused(scenario_dict):
    meter = SimulatedMeter(VirtualDevice(Scenario.from_dict(scenario_dict())))
    with pytest.raises(UsageError, match="at least 2"):
        characterise(meter, updates=1)


def test_waiting_for_an_update_ignores_domains_outside_the_total():
    class Meter:
        name = "two"
        kind = "simulated"
        domains = (Domain("psys", in_total=False), Domain("package-0"))

        def __init__(self) -> None:
            self.clock = self
            self.reads = itertools.count()

        def now_ns(self):
            return 0

        def sleep(self, duration_s):
            raise AssertionError("no sleep was asked for")

        def read(self):
            i = next(self.reads)
            return Reading(i * 1000, {"psys": i, "package-0": i // 10})

        def close(self):
            pass

    meter: Any = Meter()
    update = wait_for_update(meter)
    assert update.reading.energy_nj["package-0"] == 1
    assert update.reading.time_ns == 10_000
    assert update.poll_interval_s == pytest.approx(1e-6)


def test_characteristics_without_a_power_check_are_written_as_before_it_existed():
    """Runs refer to them by a hash of their content."""
    old = {
        "update_period_s": 0.1,
        "resolution_j": None,
        "read_latency_p50_s": 1e-6,
        "read_latency_p99_s": 2e-6,
        "idle_power_w": 40.0,
        "idle_power_stdev_w": None,
    }
    assert MeterCharacteristics(**old).to_dict() == old
    with_ratio = {**old, "counter_integral_ratio": 1.01}
    assert MeterCharacteristics(**with_ratio).to_dict() == with_ratio


class Skipping:
    """10 W in virtual time; every eleventh of its updates, 0.1 s apart, is left out."""

    name = "skipping"
    kind: Kind = "simulated"
    domains: tuple[Domain, ...] = (Domain("gpu-0"),)

    def __init__(self) -> None:
        self.clock: Clock = VirtualClock()

    def read(self) -> Reading:
        time_ns = self.clock.now_ns()
        self.clock.sleep(1e-3)
        updates = time_ns // 100_000_000
        return Reading(time_ns, {"gpu-0": (1 + updates - (updates % 11 == 0)) * 10**9})

    def close(self) -> None:
        pass


def test_an_update_that_was_missed_does_not_lengthen_the_period():
    found = characterise(Skipping(), updates=30)
    assert found.update_period_s == pytest.approx(0.1, rel=0.02)
