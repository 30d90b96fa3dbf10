from __future__ import annotations

import pytest

from energybench.errors import UsageError
from energybench.protocol.row_plan import LEAST_UPDATE_PERIODS, SHARED_IDLE_ROWS, plan_rows


def test_without_a_limit_every_row_is_whole():
    plan = plan_rows(5.0, 0.1, workloads=100, min_repeats=3, time_s=None)
    assert (plan.window_s, plan.idle_every, plan.rows) == (5.0, 1, None)
    # the sensor forgets over ten periods before the idle window and before the work
    assert plan.settle_s == pytest.approx(1.0, rel=1e-12)
    assert plan.pre_run_s == pytest.approx(1.0, rel=1e-12)


@pytest.mark.parametrize(
    ("time_s", "window_s", "idle_every"),
    [
        pytest.param(3000.0, 5.0, 1, id="all of it"),
        pytest.param(2100.0, 5.0, SHARED_IDLE_ROWS, id="shared idle windows"),
        pytest.param(1500.0, None, SHARED_IDLE_ROWS, id="cut windows"),
        pytest.param(600.0, 3.96, SHARED_IDLE_ROWS, id="one round"),
        pytest.param(100.0, 2.0, SHARED_IDLE_ROWS, id="not even one"),
    ],
)
def test_what_gives_way_first(time_s, window_s, idle_every):
    plan = plan_rows(5.0, 0.1, workloads=100, min_repeats=3, time_s=time_s)
    assert plan.idle_every == idle_every
    if window_s is None:
        assert LEAST_UPDATE_PERIODS * 0.1 < plan.window_s < 5.0
    else:
        assert plan.window_s == pytest.approx(window_s, abs=0.6)
    assert plan.rows is not None
    assert plan.rows * plan.row_s <= time_s


@pytest.mark.parametrize("period_s", [0.0, 0.001, 0.02, 0.1, 1.0])
@pytest.mark.parametrize("time_s", [10.0, 120.0, 600.0, 6000.0])
def test_a_plan_keeps_its_promises(period_s, time_s):
    plan = plan_rows(max(1.0, 50 * period_s), period_s, workloads=60, min_repeats=2, time_s=time_s)
    assert plan.window_s >= LEAST_UPDATE_PERIODS * period_s * (1 - 1e-9)
    assert plan.rows is not None
    assert plan.rows >= 1
    least = plan_rows(max(1.0, 50 * period_s), period_s, workloads=60, min_repeats=2, time_s=1e-3)
    if time_s >= 60 * least.row_s:
        assert plan.rows >= 60
    if time_s >= 120 * least.row_s:
        assert plan.rows >= 120


@pytest.mark.parametrize("time_s", [60.0, 100.0, 115.0, 200.0, 340.0])
def test_the_last_row_of_a_plan_fits_though_it_may_have_an_idle_window_of_its_own(time_s):
    plan = plan_rows(1.0, 0.02, workloads=50, min_repeats=2, time_s=time_s)
    assert plan.rows is not None
    own_idle_s = (plan.idle_s + plan.settle_s) * (1 - 1 / plan.idle_every)
    assert plan.rows * plan.row_s + own_idle_s <= time_s < (plan.rows + 1) * plan.row_s + own_idle_s


def test_where_preparing_is_known_to_be_short_windows_are_longer():
    unknown = plan_rows(1.0, 0.02, workloads=59, min_repeats=2, time_s=115.0)
    known = plan_rows(1.0, 0.02, workloads=59, min_repeats=2, time_s=115.0, prepare_s=0.02)
    assert known.window_s - unknown.window_s == pytest.approx(0.18, rel=0.01)
    assert known.rows == unknown.rows == 118


def test_a_row_on_a_tenth_of_a_second_takes_less_than_four_seconds():
    """What a lab run of nine minutes plans with: about 130 rows."""
    plan = plan_rows(5.0, 0.1, workloads=125, min_repeats=1, time_s=480.0)
    assert plan.row_s < 4.0
    assert plan.rows is not None
    assert plan.rows >= 125


def test_a_plan_of_nothing_is_refused():
    with pytest.raises(UsageError, match="above 0"):
        plan_rows(1.0, 0.1, workloads=0, min_repeats=1, time_s=10.0)
