"""Virtual time of polls that show nothing new is passed over, and nothing that is read differs by it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from energybench.errors import MeterUnavailable
from energybench.meters.scenario import Scenario, Thermal
from energybench.meters.simulated import SimulatedMeter
from energybench.meters.ticks import wait_for_update
from energybench.meters.virtual_device import VirtualDevice
from energybench.records.op_counts import OpCounts
from energybench.records.reading import Reading

SCENARIO = Scenario.from_dict(
    {
        "name": "polls",
        "planted": {
            "mac_fp32_j": 1.1e-11,
            "other_flop_j": 6.0e-12,
            "byte_j": 9.0e-11,
            "launch_j": 2.0e-5,
            "static_power_w": 41.0,
        },
        "time": {"mac_rate": 2.0e12, "byte_rate": 1.0e11, "launch_s": 5.0e-6},
        "sensor": {
            "update_period_s": 0.0371,
            "averaging_window_s": 0.01,
            "resolution_j": 0.001,
            "gain": 1.03,
            "noise_rel": 0.02,
            "drift_rel_per_min": 0.001,
            "seed": 4,
        },
    }
)


class Polled(SimulatedMeter):
    """Polls in full."""

    skip_quiet_polls = None  # type: ignore[assignment]


def walk(meter: SimulatedMeter, poll_s: float = 0.0) -> list[object]:
    """Updates awaited between stretches of work, with all that they read, and the device's energy."""
    seen: list[object] = []
    for i in range(40):
        meter.device.execute(OpCounts.single("float32", macs=10**7 * (i % 7), launches=3), calls=i)
        seen += [wait_for_update(meter, poll_s=poll_s), meter.clock.now_ns(), meter.device.true_energy_j]
        meter.clock.sleep(0.0013 * i)
    return seen


@pytest.mark.parametrize("poll_s", [0.0, 0.0371 / 200, 0.0005, 0.03, 0.05])
@pytest.mark.parametrize("thermal", [None, Thermal(15.0, 0.5)])
def test_what_is_read_is_the_same(thermal: Thermal | None, poll_s: float) -> None:
    scenario = replace(SCENARIO, thermal=thermal)
    passed_over = walk(SimulatedMeter(VirtualDevice(scenario)), poll_s)
    assert passed_over == walk(Polled(VirtualDevice(scenario)), poll_s)


@pytest.mark.parametrize("poll_s", [0.0, 0.0371 / 200])
def test_few_polls_are_left(monkeypatch: pytest.MonkeyPatch, poll_s: float) -> None:
    meter = SimulatedMeter(VirtualDevice(SCENARIO))
    polls: list[int] = []
    read = meter.read

    def counted() -> Reading:
        polls.append(1)
        return read()

    monkeypatch.setattr(meter, "read", counted)
    walk(meter, poll_s)
    assert len(polls) <= 40 * 3


@pytest.mark.parametrize("kind", [SimulatedMeter, Polled])
def test_a_counter_that_does_not_move_is_given_up_at_the_same_time(kind: type[SimulatedMeter]) -> None:
    still = replace(SCENARIO, planted=replace(SCENARIO.planted, static_power_w=0.0))
    meter = kind(VirtualDevice(still))
    with pytest.raises(MeterUnavailable, match="did not move"):
        wait_for_update(meter, timeout_s=0.2)
    assert meter.clock.now_ns() == 200_050_000  # one poll of 50 µs after the time is over
