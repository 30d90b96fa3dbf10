"""The order of one window, seen by a meter that logs, and the values of one by numbers."""

from __future__ import annotations

import pytest

from energybench.errors import MeterUnavailable
from energybench.protocol.idle import measure_idle
from energybench.protocol.measure_window import Edges, idle_power_w, measure_window, window_values
from energybench.records.reading import Domain, Reading
from energybench.records.window_readings import WindowReadings


def squeeze(log: list[str]) -> list[str]:
    """Repeated reads are the polls of one edge."""
    return [name for i, name in enumerate(log) if i == 0 or name != log[i - 1]]


def test_fence_read_work_fence_read(logging_meter):
    log: list[str] = []
    meter = logging_meter(log)
    measure_window(
        meter,
        Edges(None, align=False),
        row_id="r",
        work=lambda: log.append("work"),
        fence=lambda: log.append("fence"),
    )
    assert log == ["fence", "read", "work", "fence", "read"]


def test_aligned_edges_stand_at_counter_updates(logging_meter):
    log: list[str] = []
    meter = logging_meter(log, period_s=0.01)
    meter.now_ns_ = 3_400_000

    def work() -> None:
        log.append("work")
        meter.sleep(0.1234)

    measured = measure_window(meter, Edges(0.01, align=True), row_id="r", work=work, fence=lambda: log.append("fence"))
    assert squeeze(log) == ["fence", "read", "work", "fence", "read"]
    poll_ns = 60_000  # the poll interval of 10 ms / 200, and the read itself
    assert measured.recorded.begin.time_ns % 10_000_000 < poll_ns
    assert measured.recorded.end.time_ns % 10_000_000 < poll_ns
    assert measured.recorded.begin.time_ns <= measured.begin_ns < measured.end_ns < measured.recorded.end.time_ns
    assert measured.end_ns - measured.begin_ns == 123_400_000
    assert measured.recorded.aligned


def test_a_stuck_counter_is_an_error_and_not_a_wait(logging_meter):
    meter = logging_meter([], power_w=0.0)
    with pytest.raises(MeterUnavailable, match="did not move"):
        measure_window(meter, Edges(0.01, align=True), row_id="r", work=lambda: None, fence=lambda: None)


def test_idle_runs_nothing(logging_meter):
    log: list[str] = []
    measured = measure_idle(logging_meter(log), Edges(None, align=False), row_id="r/idle", duration_s=0.5)
    assert log == ["read", "read"]
    # one period of 10 ms may fall on either side of an edge
    assert idle_power_w(measured.recorded, kind="simulated") == pytest.approx(10.0, rel=0.021)


def recorded(end_nj: int, end_ns: int) -> WindowReadings:
    domains = (Domain("package-0"), Domain("core", parent="package-0"))
    begin = Reading(0, {"package-0": 0, "core": 0})
    end = Reading(end_ns, {"package-0": end_nj, "core": end_nj // 2})
    return WindowReadings("r", domains, begin, end, update_period_s=0.01, aligned=True)


def test_the_wait_for_the_counter_is_charged_at_idle_power():
    """1.0 s of work at 100 W, then 0.1 s of waiting at 20 W, in 4 calls."""
    values = window_values(
        recorded(102_000_000_000, 1_100_000_000),
        kind="simulated",
        begin_ns=0,
        end_ns=1_000_000_000,
        calls=4,
        idle_power_w=20.0,
    )
    assert values.energy_j == pytest.approx(25.0, rel=1e-12)
    assert values.time_s == pytest.approx(0.25, rel=1e-12)
    assert values.domains["package-0"].energy_j == pytest.approx(25.5, rel=1e-12)
    assert values.domains["core"].energy_j == pytest.approx(12.75, rel=1e-12)


def test_without_idle_power_the_whole_window_is_the_works():
    values = window_values(
        recorded(102_000_000_000, 1_100_000_000),
        kind="simulated",
        begin_ns=0,
        end_ns=1_000_000_000,
        calls=4,
        idle_power_w=None,
    )
    assert values.energy_j == pytest.approx(25.5, rel=1e-12)
    assert values.time_s == pytest.approx(0.275, rel=1e-12)
