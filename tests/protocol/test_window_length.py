from __future__ import annotations

import math

import pytest

from energybench.errors import UsageError
from energybench.protocol.window_length import MAX_WINDOW_S, calls_for, window_length_s
from energybench.records.reading import MeterCharacteristics


def characteristics(update_period_s: float | None) -> MeterCharacteristics:
    return MeterCharacteristics(update_period_s, 0.001, 1e-5, 2e-5, 40.0, 0.1)


def test_a_slow_counter_asks_for_fifty_updates():
    length_s = window_length_s(characteristics(0.1), target_rel_error=0.05, floor_s=0.4, metered=True)
    assert length_s == pytest.approx(5.0, rel=1e-12)


def test_a_tight_target_asks_for_more():
    length_s = window_length_s(characteristics(0.1), target_rel_error=0.005, floor_s=0.4, metered=True)
    assert length_s == pytest.approx(math.sqrt(7 / 36) * 0.1 / 0.005, rel=1e-12)
    assert length_s > 5.0


def test_a_fast_counter_leaves_the_design_its_length():
    assert window_length_s(characteristics(0.001), target_rel_error=0.05, floor_s=0.4, metered=True) == 0.4


def test_a_modelled_meter_asks_for_nothing():
    assert window_length_s(characteristics(0.1), target_rel_error=0.001, floor_s=0.4, metered=False) == 0.4
    assert window_length_s(characteristics(None), target_rel_error=0.001, floor_s=0.4, metered=True) == 0.4


def test_windows_are_capped():
    assert window_length_s(characteristics(10.0), target_rel_error=0.01, floor_s=0.4, metered=True) == MAX_WINDOW_S


def test_calls_fill_the_window():
    assert calls_for(1.0, 0.3) == 4
    assert calls_for(0.1, 5.0) == 1
    with pytest.raises(UsageError):
        calls_for(1.0, 0.0)
