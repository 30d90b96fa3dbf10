"""Power over the run: means between readings by hand, wraps, resets, what is left out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from energybench.records.reading import Domain, Reading
from energybench.records.window_readings import WindowReadings
from energybench.report import ReportData
from energybench.report import power_trace as module
from energybench.report.power_trace import power_trace

POWERS_W, IDLE_W, BETWEEN_W = (60, 71, 55, 90), 40, 45  # as in the fixture


def window(row_id: str, begin: tuple[int, dict[str, int]], end: tuple[int, dict[str, int]], *domains: Domain):
    return WindowReadings(row_id, domains, Reading(*begin), Reading(*end))


def test_stretches_have_the_power_that_was_drawn(data_with_readings: ReportData) -> None:
    trace = power_trace(data_with_readings)
    assert trace is not None
    assert trace.left_out == 0
    by = {kind: [s for s in trace.stretches if s.stretch == kind] for kind in ("work", "idle", "between", "discarded")}
    assert [s.power_w for s in by["work"][:3]] == pytest.approx(list(POWERS_W[:3]))
    assert {round(s.power_w, 9) for s in by["idle"]} == {IDLE_W}
    assert {round(s.power_w, 9) for s in by["between"]} == {BETWEEN_W}
    assert len(by["discarded"]) == sum(~data_with_readings.records["valid"].astype(bool))
    assert trace.stretches[0].begin_s == 0
    assert all(a.end_s == b.begin_s for a, b in zip(trace.stretches, trace.stretches[1:], strict=False))
    assert by["work"][0].label == data_with_readings.records["workload"].iloc[0]


def test_no_readings_no_trace(data_of: Callable[..., ReportData]) -> None:
    assert power_trace(data_of("simulated")) is None


def test_a_wrap_is_counted_and_domains_inside_others_are_not(data_of: Callable[..., ReportData]) -> None:
    top, core = Domain("package-0", wrap_nj=100 * 10**9, max_power_w=10.0), Domain("core", parent="package-0")
    row = str(data_of("simulated").records["row_id"].iloc[0])
    one = window(
        row, (0, {"package-0": 95 * 10**9, "core": 0}), (2 * 10**9, {"package-0": 5 * 10**9, "core": 10**9}), top, core
    )
    far = window(
        "later", (60 * 10**9, {"package-0": 0, "core": 0}), (61 * 10**9, {"package-0": 10**9, "core": 0}), top, core
    )
    trace = power_trace(data_of("simulated", readings={row: one, "later": far}))
    assert trace is not None
    # 58 s at up to 10 W may wrap more than once: the gap is not drawn
    assert [(s.stretch, s.power_w) for s in trace.stretches] == [("work", 5.0), ("idle", 1.0)]


def test_a_domain_beside_the_total_is_not_added(data_of: Callable[..., ReportData]) -> None:
    """psys covers the packages and more: it is reported by itself and summed with nothing."""
    package, psys = Domain("package-0"), Domain("psys", in_total=False)
    one = window(
        "a", (0, {"package-0": 0, "psys": 0}), (10**9, {"package-0": 7 * 10**9, "psys": 9 * 10**9}), package, psys
    )
    trace = power_trace(data_of("simulated", readings={"a": one}))
    assert trace is not None
    assert [s.power_w for s in trace.stretches] == [7.0]


def test_a_reset_counter_has_no_power(data_of: Callable[..., ReportData]) -> None:
    domain = Domain("device")
    reset = window("a", (0, {"device": 10**9}), (10**9, {"device": 0}), domain)
    assert power_trace(data_of("simulated", readings={"a": reset})) is None


def test_long_runs_say_what_is_left_out(data_with_readings: ReportData, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_WINDOWS", 5)
    trace = power_trace(replace(data_with_readings))
    assert trace is not None
    assert trace.left_out == len(data_with_readings.readings) - 5
