"""One row, part by part, under a meter that logs: idle window, timing, pre-run, window, record; and the run's time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from energybench.errors import ThrottledError
from energybench.meters.clock import VirtualClock
from energybench.protocol.bad_run import JUDGED_FROM, refuse_bad_run
from energybench.protocol.device_state import DeviceState
from energybench.protocol.heating import heat, warm_up_limit_s
from energybench.protocol.idle import response_s
from energybench.protocol.idle_windows import IdleWindows
from energybench.protocol.measure_row import RowMeter
from energybench.protocol.measure_window import Edges, WindowValues, measure_window, window_values
from energybench.protocol.plan import Row
from energybench.protocol.row_plan import RowPlan
from energybench.protocol.row_record import row_record
from energybench.protocol.run_time import CLOSING_S, RunTime
from energybench.protocol.validity import ValidityLimits
from energybench.records.frame import record_row
from energybench.records.run_record import DomainValue
from energybench.workloads.idle import idle_workload
from energybench.workloads.variants import with_cold_caches, with_threads
from energybench.workloads.workload import Workload
from tests.protocol.conftest import LoggingMeter, make_workload

PERIOD_S = 0.01
CALL_S = 0.004
PLAN = RowPlan(window_s=1.0, pre_run_s=0.5, idle_s=0.2, idle_every=2, settle_s=0.1, row_s=2.0)
EDGES = Edges(PERIOD_S, align=True, whole_period=True)


class Work:
    """Calls of 4 ms on the meter's clock; how many were made each time is kept."""

    def __init__(self, meter: LoggingMeter, call_s: float = CALL_S) -> None:
        self._meter, self._call_s = meter, call_s
        self.grid: dict[str, int] = {}
        self.runs: list[int] = []
        self.begun_ns: list[int] = []

    def run(self, calls: int) -> None:
        self._meter.log.append(f"run {calls}")
        self.runs.append(calls)
        self.begun_ns.append(self._meter.now_ns_)
        self._meter.sleep(calls * self._call_s)

    def fence(self) -> None:
        self._meter.log.append("fence")

    def release(self) -> None:
        self._meter.log.append("release")


class Kept:
    """A writer that keeps what is appended."""

    def __init__(self) -> None:
        self.rows: list[Any] = []

    def append(self, row: Any) -> None:
        self.rows.append(row)


def stand_in(value: object) -> Any:
    """For a part of the protocol that only needs a few members."""
    return value


class Bench:
    """A row meter over a logging meter, with states that a test may script."""

    def __init__(self, *, states: Sequence[DeviceState] = ()) -> None:
        self.meter = stand_in(LoggingMeter([], period_s=PERIOD_S))
        self.readings = stand_in(Kept())
        self.names: set[str] = set()
        left = list(states)
        executor = stand_in(
            SimpleNamespace(
                device="cpu", threads=2, is_watched=False, state=lambda: left.pop(0) if left else DeviceState()
            )
        )
        run = stand_in(SimpleNamespace(seed=3, run_id="run", tdp_w=None))
        idle = IdleWindows(
            self.meter, EDGES, self.readings, names_taken=self.names, duration_s=PLAN.idle_s, every=PLAN.idle_every
        )
        self.rows = RowMeter(
            executor,
            self.meter,
            EDGES,
            PLAN,
            ValidityLimits(),
            idle,
            self.readings,
            run,
            environment_sha256="e",
            counter_integral_ratio=None,
        )

    def take(self, workload: Workload, repeat: int = 0) -> tuple[Any, Work]:
        work = Work(self.meter)
        return self.rows.measure(Row(workload, repeat, repeat), work), work


def test_a_row_is_idle_then_timed_then_met_then_measured():
    bench = Bench()
    record, work = bench.take(make_workload("w", macs=10))
    log = [name for i, name in enumerate(bench.meter.log) if i == 0 or name != bench.meter.log[i - 1]]
    assert log[0] == "read"  # the idle window, before any work
    *timed, pre_run, window = work.runs
    assert timed[0] == 1
    assert pre_run == pytest.approx(PLAN.pre_run_s / CALL_S, abs=1)
    assert log[log.index(f"run {pre_run}") :] == [f"run {pre_run}", "fence", "read", f"run {window}", "fence", "read"]
    assert record.calls == window
    assert record.time_s == pytest.approx(CALL_S, rel=1e-6)
    assert record.energy_j == pytest.approx(10.0 * CALL_S, rel=0.02)
    assert [r["row_id"] for r in bench.readings.rows] == ["w#0/idle", "w#0"]
    assert bench.readings.rows[1]["idle_row_id"] == "w#0/idle"


def test_work_starts_and_ends_at_any_phase_of_the_counter():
    """Between the first reading and the work lies a pause drawn over a period, and so at the end, by seed and row."""
    bench, starts, ends = Bench(), [], []
    for repeat in range(40):
        record, work = bench.take(make_workload("w", macs=10), repeat)
        readings = bench.readings.rows[-1]
        lead_s = (record.begin_ns - readings["begin"]["time_ns"]) / 1e9
        starts.append(lead_s / PERIOD_S)
        ends.append(record.calls * CALL_S - PLAN.window_s)
        assert work.begun_ns[-1] == record.begin_ns
    assert 0.0 <= min(starts) < 0.15
    assert 0.85 < max(starts) <= 1.0
    assert 0.0 <= min(ends) <= 0.45 * PERIOD_S  # in steps of a call
    assert max(ends) > 0.9 * PERIOD_S


def test_waves_that_kernels_tell_join_the_shape():
    bench, workload = Bench(), make_workload("w", macs=10)
    work = Work(bench.meter)
    assert bench.rows.measure(Row(workload, 0, 0), work).shape == workload.shape
    work.grid = {"tiles": 6, "waves": 2}
    record = bench.rows.measure(Row(workload, 1, 1), work)
    assert record.shape == {**workload.shape, "tiles": 6, "waves": 2}
    assert (record_row(record)["tiles"], record_row(record)["waves"]) == (6, 2)


def test_a_call_is_timed_once_and_then_known_from_its_window():
    bench, workload = Bench(), make_workload("w", macs=10)
    _, first = bench.take(workload)
    _, second = bench.take(workload, 1)
    assert len(first.runs) > 2
    assert second.runs[0] == pytest.approx(PLAN.pre_run_s / CALL_S, abs=1)
    assert len(second.runs) == 2
    assert second.runs[1] * CALL_S == pytest.approx(PLAN.window_s, abs=PERIOD_S + CALL_S)


def test_idle_windows_are_shared_and_taken_anew_after_a_bad_row():
    hot = [DeviceState(temp_c=40.0)] * 2 + [DeviceState(temp_c=60.0)]
    bench = Bench()
    beside = [bench.take(make_workload(name, macs=10))[0] for name in "abc"]
    assert [r["row_id"] for r in bench.readings.rows if "/idle" in r["row_id"]] == ["a#0/idle", "c#0/idle"]
    assert [r.idle_power_w for r in beside] == [pytest.approx(10.0, rel=0.05)] * 3
    bench = Bench(states=hot)
    assert "temperature drift" in (bench.take(make_workload("a", macs=10))[0].invalid_reason or "")
    bench.take(make_workload("b", macs=10))
    assert [r["row_id"] for r in bench.readings.rows if "/idle" in r["row_id"]] == ["a#0/idle", "b#0/idle"]


def test_readings_that_are_there_keep_their_name():
    bench = Bench()
    bench.names.update({"a#0/idle", "a#0/idle1"})
    bench.take(make_workload("a", macs=10))
    assert bench.readings.rows[0]["row_id"] == "a#0/idle2"
    assert bench.readings.rows[1]["idle_row_id"] == "a#0/idle2"


def test_an_idle_row_waits_until_the_sensor_has_forgotten():
    bench = Bench()
    begin_ns = bench.meter.now_ns_
    record, work = bench.take(idle_workload())
    assert work.runs == []
    assert (record.begin_ns - begin_ns) / 1e9 >= response_s(PERIOD_S)
    assert PLAN.window_s <= (record.end_ns - record.begin_ns) / 1e9 <= PLAN.window_s + PERIOD_S
    assert record.idle_power_w is None
    assert record.energy_j / record.time_s == pytest.approx(10.0, rel=0.02)
    begin_ns = bench.meter.now_ns_
    bench.take(make_workload("w", macs=10))
    idle = next(r for r in bench.readings.rows if r["row_id"] == "w#0/idle")
    assert (idle["begin"]["time_ns"] - begin_ns) / 1e9 >= response_s(PERIOD_S)


VALUES = WindowValues(1.0, 0.1, 0.5, {"package-0": DomainValue(1.0, 0.1)})


def recorded(workload: Workload, states: list[DeviceState], **changes: Any) -> Any:
    given: dict[str, Any] = {
        "run_id": "r",
        "meter": "m",
        "kind": "simulated",
        "device": "cpu",
        "threads": 2,
        "environment_sha256": "e",
        "calls": 3,
        "begin_ns": 1,
        "end_ns": 2,
        "idle_power_w": None,
        "tdp_w": None,
        "states": states,
        "grid": {},
        "invalid_reason": None,
    }
    return row_record(Row(workload, 0, 0), VALUES, **{**given, **changes})


def test_the_record_keeps_the_mean_clock_and_the_highest_temperature_of_the_work():
    states = [DeviceState(temp_c=90.0, clock_mhz=1000.0), DeviceState(temp_c=50.0, clock_mhz=2000.0), DeviceState()]
    record = recorded(make_workload("w", macs=1), states)
    assert (record.clock_mhz, record.temp_c) == (1500.0, 50.0)  # 90 °C was before it began
    assert recorded(make_workload("w", macs=1), [DeviceState()] * 3).clock_mhz is None


def test_the_record_says_threads_and_caches_of_the_row():
    plain = make_workload("w", macs=1)
    assert (recorded(plain, []).threads, recorded(plain, []).caches) == (2, "hot")
    assert recorded(with_threads(plain, 1), []).threads == 1
    assert recorded(with_threads(plain, 1), [], threads=None).threads is None
    assert recorded(with_cold_caches(plain), []).caches == "cold"


def test_the_uncertainty_is_one_calls(logging_meter):
    def work() -> None:
        meter.sleep(1.0)

    meter = logging_meter([], period_s=PERIOD_S)
    measured = measure_window(meter, Edges(PERIOD_S, align=True), row_id="r", work=work, fence=lambda: None)
    one, ten = (
        window_values(
            measured.recorded, kind="simulated", begin_ns=measured.begin_ns, end_ns=measured.end_ns, calls=calls,
            idle_power_w=1.0,
        )
        for calls in (1, 10)
    )  # fmt: skip
    assert 0 < ten.energy_uncertainty_j == pytest.approx(one.energy_uncertainty_j / 10, rel=1e-12)
    assert ten.domains["core"].energy_uncertainty_j == pytest.approx(one.domains["core"].energy_uncertainty_j / 10)


def test_an_edge_is_as_sharp_as_the_wider_of_its_polls_where_the_meter_says_so(logging_meter):
    meter = logging_meter([], period_s=PERIOD_S)

    def slow_from_now_on() -> None:
        meter.sleep(0.5)
        plain = meter.read

        def read() -> Any:
            meter.now_ns_ += 9000
            return plain()

        meter.read = read

    edges = Edges(PERIOD_S, align=True, whole_period=True)
    measured = measure_window(meter, edges, row_id="r", work=slow_from_now_on, fence=lambda: None, lead_s=0.003)
    assert measured.recorded.poll_interval_s == pytest.approx(10e-6, rel=1e-6)  # 1 µs at the first edge
    assert measured.begin_ns - measured.recorded.begin.time_ns >= 3_000_000
    meter = logging_meter([], period_s=PERIOD_S)
    plain = measure_window(meter, replace(edges, whole_period=False), row_id="r", work=lambda: None, fence=lambda: None)
    assert plain.recorded.poll_interval_s is None


def test_heating_ends_when_power_is_steady_or_time_is_up(logging_meter):
    meter: Any = logging_meter([], period_s=PERIOD_S)
    result = heat(Work(meter), meter, EDGES, temperature=lambda: None, limit_s=30.0)
    assert result.is_steady
    assert result.time_s < 3.0
    meter = logging_meter([], period_s=PERIOD_S)
    warming = iter(range(20, 10_000))
    result = heat(Work(meter), meter, EDGES, temperature=lambda: float(next(warming)), limit_s=5.0)
    assert not result.is_steady
    assert 4.5 <= result.time_s <= 5.5


def test_a_warm_up_takes_a_tenth_of_the_budget_at_most():
    assert warm_up_limit_s("simulated", None) == 30.0
    assert warm_up_limit_s("simulated", 100.0) == 10.0
    assert warm_up_limit_s("measured", 600.0) == 30.0
    assert warm_up_limit_s("modelled", 600.0) == 0.5


def test_time_is_out_when_the_longest_row_and_the_end_no_longer_fit():
    clock = VirtualClock()
    time = RunTime(clock, 0, budget_s=100.0, starting_s=2.0, row_s=4.0)
    assert time.rows_left() == 25
    clock.sleep(50.0)
    assert time.spent_s() == 50.0
    assert time.rows_left() == 12
    time.add_row(10.0)
    time.add_row(2.0)
    assert time.rows_left() == 8  # at 6 s each
    clock.sleep(100.0 - 50.0 - 10.0 - 2.0 - CLOSING_S)
    assert not time.is_out()
    clock.sleep(0.001)
    assert time.is_out()
    clock.sleep(1000.0)
    assert time.rows_left() == 0
    free = RunTime(clock, 0, budget_s=None, starting_s=0.0, row_s=4.0)
    assert (free.is_out(), free.rows_left()) == (False, None)


def test_what_starting_took_is_kept_for_the_end_up_to_a_twentieth():
    clock = VirtualClock()
    clock.sleep(100.0 - CLOSING_S - 5.0 - 1.0)
    assert not RunTime(clock, 0, budget_s=100.0, starting_s=50.0, row_s=1.0).is_out()
    clock.sleep(0.001)
    assert RunTime(clock, 0, budget_s=100.0, starting_s=50.0, row_s=1.0).is_out()


def test_a_run_is_judged_late_and_by_its_commonest_fault():
    plain = make_workload("w", macs=1)
    good = recorded(plain, [])
    hot, busy = (recorded(plain, [], invalid_reason=text) for text in ("slowdown: hot", "other load: 1; slowdown: x"))
    few = [hot] * (JUDGED_FROM - 1)
    refuse_bad_run(few)
    refuse_bad_run([*[hot] * 6, *[good] * 6])  # half is no more than half
    with pytest.raises(
        ThrottledError, match=r"12 of 12 windows are invalid, 12 of them for slowdown; free the machine"
    ):
        refuse_bad_run([*few, busy])
    wrong = recorded(plain, [], invalid_reason="counter and power disagree: 0.5")
    with pytest.raises(ThrottledError, match="update the driver"):
        refuse_bad_run([wrong] * JUDGED_FROM)
