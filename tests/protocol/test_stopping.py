from __future__ import annotations

import math

import pytest

from energybench.errors import RecordError, UsageError
from energybench.meters.repeats import t_975
from energybench.protocol.stopping import StoppingCriterion


def test_t_quantiles_against_scipy():
    from scipy import stats

    for dof in range(1, 31):
        assert t_975(dof) == pytest.approx(stats.t.ppf(0.975, dof), abs=6e-4)
    # beyond the table the normal value errs by less than 4 % of the half-width
    assert t_975(31) == pytest.approx(stats.t.ppf(0.975, 31), rel=0.04)


def test_stops_when_the_interval_is_narrow():
    criterion = StoppingCriterion(target_rel_error=0.05, min_count=3, max_count=10)
    for value in (1.00, 1.01):
        criterion.add(value)
        assert not criterion.is_finished()
    criterion.add(0.99)
    # mean 1, stdev 0.01, t(2) = 4.303: half-width 0.0248
    assert criterion.relative_half_width == pytest.approx(4.303 * 0.01 / math.sqrt(3), rel=1e-12)
    assert criterion.is_finished()
    assert criterion.reason == "interval"


def test_goes_on_while_the_interval_is_wide_and_stops_at_the_greatest_count():
    criterion = StoppingCriterion(target_rel_error=0.001, min_count=2, max_count=4)
    reasons = []
    for value in (1.0, 2.0, 1.0, 2.0):
        criterion.add(value)
        reasons.append(criterion.reason)
    assert reasons == [None, None, None, "count"]


def test_least_count_holds_even_for_equal_values():
    criterion = StoppingCriterion(target_rel_error=0.01, min_count=3, max_count=5)
    criterion.add(1.0)
    criterion.add(1.0)
    assert not criterion.is_finished()
    criterion.add(1.0)
    assert criterion.reason == "interval"


def test_budget_ends_it():
    criterion = StoppingCriterion(target_rel_error=1e-9, min_count=2, max_count=100, budget_s=10.0)
    criterion.add(1.0, duration_s=6.0)
    assert not criterion.is_finished()
    criterion.add(2.0, duration_s=6.0)
    assert criterion.reason == "budget"


def test_an_interval_that_does_not_exist_is_none():
    criterion = StoppingCriterion(target_rel_error=0.1)
    assert criterion.relative_half_width is None
    criterion.add(1.0)
    assert criterion.relative_half_width is None
    zeros = StoppingCriterion(target_rel_error=0.1)
    zeros.add(0.0)
    zeros.add(0.0)
    assert zeros.relative_half_width is None
    assert not zeros.is_finished()


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_values_that_are_no_measurement_are_refused(value):
    with pytest.raises(RecordError, match="no measurement"):
        StoppingCriterion(target_rel_error=0.1).add(value)


@pytest.mark.parametrize(
    "options", [{"target_rel_error": 0.0}, {"target_rel_error": 0.1, "min_count": 5, "max_count": 4}]
)
def test_bad_arguments(options):
    with pytest.raises(UsageError):
        StoppingCriterion(**options)
