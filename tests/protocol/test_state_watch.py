"""What happens to a device between the edges of a window is seen, for a bounded share of its time."""

from __future__ import annotations

import threading
import time

from energybench.meters.simulated import SimulatedMeter
from energybench.meters.virtual_device import VirtualDevice
from energybench.protocol import VirtualExecutor, run_design
from energybench.protocol.device_state import DeviceState
from energybench.protocol.state_watch import MOST_KEPT, StateWatch, thinned
from energybench.records.run_directory import RunDirectory
from energybench.workloads.designs import Design

CALM = DeviceState(temp_c=60.0, clock_mhz=1000.0)


def test_a_watch_looks_until_it_is_over():
    enough = threading.Event()
    looks: list[None] = []

    def look() -> DeviceState:
        looks.append(None)
        if len(looks) == 5:
            enough.set()
        return CALM

    with StateWatch(look, interval_s=1e-4) as watch:
        assert enough.wait(30.0)
    seen = len(looks)
    assert len(watch.states) == seen >= 5
    time.sleep(0.01)
    assert len(looks) == seen


def test_a_slow_look_is_taken_rarely(monkeypatch):
    """A look of 1 s in time that stands still otherwise: the pause after it is 99 s."""
    now = [0.0]
    monkeypatch.setattr("energybench.protocol.state_watch.time.monotonic", lambda: now[0])
    pauses: list[float] = []

    def look() -> DeviceState:
        now[0] += 1.0
        return CALM

    watch = StateWatch(look)

    class Over:
        def wait(self, pause_s: float) -> bool:
            pauses.append(pause_s)
            return len(pauses) == 3

    watch._over = Over()  # type: ignore[assignment]
    watch._run()
    assert pauses == [0.1, 99.0, 99.0]


def test_many_looks_are_thinned_and_nothing_bad_is_lost():
    watch = StateWatch(lambda: CALM)
    for i in range(1000):
        bad = {"slowdowns": ("hw_slowdown",)} if i == 401 else {"other_processes": (7,)} if i == 42 else {}
        watch._keep(DeviceState(temp_c=60.0 + (i == 777), clock_mhz=1000.0, **bad))
    assert len(watch.states) <= MOST_KEPT
    assert {s for state in watch.states for s in state.slowdowns} == {"hw_slowdown"}
    assert {p for state in watch.states for p in state.other_processes} == {7}
    assert max(state.temp_c or 0.0 for state in watch.states) == 61.0
    assert thinned([CALM, CALM, DeviceState(clock_mhz=900.0)])[1].clock_mhz == 900.0


def test_a_device_that_goes_away_ends_the_watch():
    def look() -> DeviceState:
        raise OSError("gone")

    with StateWatch(look, interval_s=1e-4) as watch:
        watch._thread.join(30.0)
    assert watch.states == []


class _Between(VirtualExecutor):
    """A slowdown that is over before the window ends; only who looks in between sees it."""

    is_watched = True
    inside = False
    looked = threading.Event()

    def prepare(self, workload):
        prepared = super().prepare(workload)
        executor, run = self, prepared.run
        looked = executor.looked

        def slow(calls: int) -> None:
            run(calls)
            if any(thread.name == "energybench-state-watch" for thread in threading.enumerate()):
                looked.clear()
                executor.inside = True
                assert looked.wait(30.0)
                executor.inside = False

        prepared.run = slow  # type: ignore[method-assign]
        return prepared

    def state(self) -> DeviceState:
        watching = threading.current_thread().name == "energybench-state-watch"
        if self.inside and watching:
            self.looked.set()
            return DeviceState(temp_c=70.0, clock_mhz=500.0, slowdowns=("hw_slowdown",))
        return DeviceState(temp_c=69.0, clock_mhz=1000.0)


def test_a_slowdown_between_the_edges_invalidates_the_window(scenario_path, tmp_path, workload):
    design = Design("one", (workload("macs", macs=10**9),), 1, 1, 0.1, 0.4)
    device = VirtualDevice.load(scenario_path)
    run = RunDirectory(tmp_path / "run")
    executor = _Between(device)
    run_design(design, executor, SimulatedMeter(device), run)
    first = run.read_records()[0]
    assert first.invalid_reason == "slowdown: hw_slowdown"
    assert first.temp_c == 70.0
    assert first.clock_mhz is not None
    assert 500.0 < first.clock_mhz < 1000.0
