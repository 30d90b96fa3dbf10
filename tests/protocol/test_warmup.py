from __future__ import annotations

import pytest

from energybench.errors import UsageError
from energybench.protocol.warmup import WarmUp, slope


def test_slope_of_a_line():
    assert slope([0.0, 1.0, 3.0], [5.0, 7.0, 11.0]) == pytest.approx(2.0, rel=1e-12)
    assert slope([1.0], [1.0]) is None
    assert slope([1.0, 1.0], [1.0, 2.0]) is None
    with pytest.raises(UsageError):
        slope([1.0], [1.0, 2.0])


def test_rising_power_is_not_steady_until_it_flattens():
    warm_up = WarmUp(window=4)
    for t, power_w in enumerate([50, 60, 68, 74]):
        warm_up.add(float(t), float(power_w))
        assert not warm_up.is_steady()
    for t in range(4, 8):
        warm_up.add(float(t), 75.0)
    assert warm_up.is_steady()
    assert warm_up.result().time_s == 7.0


def test_rising_temperature_keeps_it_waiting():
    """Power is flat while the part still heats: leakage has yet to come."""
    warm_up = WarmUp(window=4)
    for t in range(6):
        warm_up.add(float(t), 75.0, 40.0 + t)
    assert warm_up.temperature_slope_c_per_s == pytest.approx(1.0, rel=1e-12)
    assert not warm_up.is_steady()
    for t in range(6, 10):
        warm_up.add(float(t), 75.0, 46.0)
    assert warm_up.is_steady()


def test_slope_is_relative_to_the_mean_power():
    warm_up = WarmUp(window=3, power_slope_rel_per_s=0.005)
    for t, power_w in enumerate([1000.0, 1004.0, 1008.0]):
        warm_up.add(float(t), power_w)
    assert warm_up.power_slope_rel_per_s == pytest.approx(4 / 1004, rel=1e-12)
    assert warm_up.is_steady()
    cold = WarmUp(window=3, power_slope_rel_per_s=0.005)
    for t, power_w in enumerate([100.0, 104.0, 108.0]):
        cold.add(float(t), power_w)
    assert not cold.is_steady()


def test_nothing_is_steady_before_the_window_is_full():
    warm_up = WarmUp(window=5)
    assert warm_up.power_slope_rel_per_s is None
    for t in range(4):
        warm_up.add(float(t), 75.0)
        assert not warm_up.is_steady()
    assert warm_up.result().temperature_slope_c_per_s is None
