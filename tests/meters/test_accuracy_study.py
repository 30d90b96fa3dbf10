"""A slice of `make study-meters`: intervals that hold the truth and are hardly wider than an oracle's, fixed seeds."""

from __future__ import annotations

import statistics
import sys
from pathlib import Path

import numpy as np
import pytest

from energybench.meters.characterise import characterise
from energybench.meters.hidden_noise import find_hidden_noise_rel, strip_width
from energybench.meters.repeats import repeated
from energybench.meters.rise_time import averaging_s, find_rise_time_s
from energybench.meters.window import Window
from energybench.records.reading import Domain, Reading

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks import sensor_oracle as oracle
from benchmarks import study_meters as study

CASES = {case.name: case for case in study.CASES}


@pytest.mark.parametrize(
    ("name", "load"),
    [
        ("100 ms, whole period", "from idle"),
        ("100 ms, whole period", "from load"),
        ("100 ms, 25 ms seen (GA100, GH100)", "from idle"),
        ("100 ms, average of 1 s", "any"),
        ("100 ms, windows of 2 to 5 periods", "from load"),
        ("100 ms, edges aligned", "any"),
    ],
)
def test_intervals_hold_the_truth_and_are_hardly_wider_than_the_oracles(name, load):
    outcome = study.run_case(CASES[name], load, windows=200, seed=4)
    assert outcome.coverage >= study.COVERAGE_GOAL
    assert outcome.width_ratio <= study.WIDTH_GOAL


def test_the_oracle_is_one():
    """It holds the truth as often as it says; one that held it always would prove nothing about widths."""
    outcomes = [
        study.run_case(CASES["100 ms, whole period, no noise"], load, windows=150, seed=5)
        for load in ("from idle", "from load")
    ]
    assert all(0.9 <= o.oracle_coverage <= 0.995 for o in outcomes)


@pytest.mark.parametrize("poll_s", [None, 1e-3])
@pytest.mark.parametrize(("averaging_s", "window_s"), [(0.1, 3.33), (0.025, 1.08), (1.0, 4.2), (0.1, 0.23)])
def test_the_oracle_may_take_ticks_that_see_no_edge_together(averaging_s, window_s, poll_s, monkeypatch):
    """The same errors without noise, the same spread of them with it, as when every tick is worked out."""

    def errors(noise_rel: float):
        sensor = oracle.Sensor(period_s=0.1, averaging_s=averaging_s, noise_rel=noise_rel, resolution_j=1e-3)
        rng = np.random.default_rng(11)
        return oracle.errors_j(sensor, window_s=window_s, power_w=200.0, rng=rng, poll_s=poll_s)

    short, short_noisy = errors(0.0), errors(0.5)
    monkeypatch.setattr(oracle, "explicit_ticks", lambda sensor, window: (np.arange(int(window / 0.1) + 3), 0))
    np.testing.assert_allclose(short, errors(0.0), atol=1.001e-3, rtol=0.0)  # a value at a step may round either way
    np.testing.assert_allclose(short_noisy.std(axis=1), errors(0.5).std(axis=1), rtol=1e-9)


def test_uncalibrated_gain_is_held_by_the_class_alone():
    case = CASES["100 ms, gain 0.95, drift 0.05 %/min"]
    assert study.run_case(case, "any", windows=60, seed=1).coverage >= study.COVERAGE_GOAL


@pytest.mark.parametrize(
    ("averaging_window_s", "expected_s"), [(0.1, 0.1), (0.025, 0.0125), (0.05, 0.0375), (1.0, 1.0), (0.5, 0.5)]
)
def test_characterising_finds_how_long_the_sensor_averages(averaging_window_s, expected_s):
    """Less the eighth of a period to which a part is resolved: never more than the truth by more than a tenth."""
    case = study.Case("one", {"averaging_window_s": averaging_window_s})
    meter = study.make_device(case, seed=3)
    found = characterise(meter, load=lambda duration_s: study.work(meter, duration_s, 8 * study.STATIC_W))
    assert averaging_s(found) == pytest.approx(expected_s, abs=0.015, rel=0.1)
    assert found.update_noise_rel == pytest.approx(0.01, rel=0.4)


@pytest.mark.parametrize(
    ("noise_rel", "least", "most"), [(0.0, 0.0, 0.001), (0.01, 0.004, 0.025), (0.03, 0.012, 0.075)]
)
def test_noise_that_the_steps_hide_in_idle_is_found_under_load(noise_rel, least, most):
    """0.8 J an update in steps of 1 J: differences of updates show no noise at all."""
    sensor = {"update_period_s": 0.02, "averaging_window_s": 0.02, "resolution_j": 1.0, "noise_rel": noise_rel}
    meter = study.make_device(study.Case("coarse", sensor), seed=5)
    assert characterise(meter).update_noise_rel == 0
    found = characterise(meter, load=lambda duration_s: study.work(meter, duration_s, 8 * study.STATIC_W))
    assert least <= found.update_noise_rel <= most


def test_where_updates_are_not_found_no_noise_is_claimed():
    """0.8 J an update in steps of 4 J: in idle only each fifth update moves the counter, under load each does."""
    sensor = {"update_period_s": 0.02, "averaging_window_s": 0.02, "resolution_j": 4.0}
    meter = study.make_device(study.Case("coarse", sensor), seed=5)
    load = lambda duration_s: study.work(meter, duration_s, 8 * study.STATIC_W)  # noqa: E731
    assert find_hidden_noise_rel(meter, load, update_period_s=0.1) is None


def test_the_narrowest_strip():
    assert strip_width([0, 1, 2, 3], [0.0, 2.0, 4.0, 6.0]) == pytest.approx(0.0, abs=1e-9)
    # A triangle: the strip lies along its base.
    assert strip_width([0, 1, 2, 4], [0.0, 3.0, 2.0, 4.0]) == pytest.approx(2.0)


@pytest.mark.parametrize(("averaging_window_s", "steps"), [(0.1, 1), (1.0, 3)])
def test_a_step_that_is_shown_at_once_needs_no_second_one(averaging_window_s, steps):
    """Three steps for a sensor that lags, whose crossings the noise moves."""
    meter = study.make_device(study.Case("one", {"averaging_window_s": averaging_window_s}), seed=3)
    begin_s = meter.clock.now_ns() / 1e9
    rise_s = find_rise_time_s(
        meter,
        lambda duration_s: study.work(meter, duration_s, 8 * study.STATIC_W),
        update_period_s=0.1,
        idle_power_w=study.STATIC_W,
    )
    assert rise_s is not None
    # Each step is watched for 2.5 s, and before all but the first the device idles for as long.
    assert meter.clock.now_ns() / 1e9 - begin_s == pytest.approx(2.5 * (2 * steps - 1), abs=0.2)


def test_a_load_that_makes_no_step_finds_no_rise():
    meter = study.make_device(study.Case("none"), seed=3)
    found = characterise(meter, load=meter.clock.sleep)
    assert (found.rise_time_s, found.seen_share, averaging_s(found)) == (None, None, None)


def test_one_phase_misleads_by_a_third_and_stratified_phases_find_the_truth():
    """25 of every 100 ms, a load in step with it."""
    errors = [study.part_time_errors(seed) for seed in range(8)]
    assert statistics.fmean(abs(one) for one, _ in errors) > 0.3
    assert statistics.fmean(abs(spread) for _, spread in errors) < 0.01
    assert max(abs(spread) for _, spread in errors) < 0.02


def test_repeating_shows_what_one_window_cannot():
    coverage, _ = study.run_repeated(CASES["100 ms, 25 ms seen (GA100, GH100)"], values=40, seed=2)
    assert coverage >= study.COVERAGE_GOAL


def test_ten_thousand_wraps_without_one_wrong_window():
    """300 to 1,000 W on an Intel counter: the correction is visible each time."""
    windows, wrong, hidden = study.wrong_windows(10_000, seed=3)
    assert (windows > 20_000, wrong, hidden) == (True, 0, 0)


def test_repeated_windows_take_the_larger_of_spread_and_own_word():
    def window(energy_nj: int) -> Window:
        ends = Reading(0, {"gpu-0": 0}), Reading(10**10, {"gpu-0": energy_nj})
        return Window.from_readings(*ends, [Domain("gpu-0")], kind="simulated", update_period_s=0.1)

    spread = repeated([window(90 * 10**9), window(110 * 10**9)])
    assert spread.energy_j == pytest.approx(100)
    assert spread.repeat_j == pytest.approx(10)
    assert spread.interval_j[0] == 0
    assert spread.interval_j[1] == pytest.approx(100 + 12.706 * 10)
    equal = repeated([window(100 * 10**9), window(100 * 10**9)])
    assert equal.repeat_j == 0
    assert equal.uncertainty_j == pytest.approx((7 / 36) ** 0.5 / 2**0.5)
    assert equal.interval_j[1] - 100 == pytest.approx(1.96 * (equal.uncertainty_j or 0.0))
