"""Did a change save energy: planted differences, none, and what cannot be compared."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from energybench.errors import RecordError
from energybench.estimation.run_difference import domain_change, holm, run_difference, welch_change

MakeFrame = Callable[..., pd.DataFrame]


def scaled(frame: pd.DataFrame, factor: float) -> pd.DataFrame:
    return frame.assign(energy_j=frame["energy_j"] * factor)


@pytest.mark.parametrize(("factor", "words"), [(0.95, "saves energy"), (1.04, "costs energy")])
def test_planted_change_is_found(make_frame: MakeFrame, factor: float, words: str) -> None:
    difference = run_difference(make_frame(seed=1), scaled(make_frame(seed=1), factor))
    assert difference.change == pytest.approx(factor - 1, abs=1e-9)
    assert words in difference.verdict
    assert "simulated energy" in difference.verdict


def test_interval_holds_the_truth_as_often_as_it_says(make_frame: MakeFrame) -> None:
    rng = np.random.default_rng(5)
    base = make_frame(seed=3, noise_rel=0.0)
    hits = 0
    for _ in range(200):
        before = base.assign(energy_j=base["energy_j"] * (1 + 0.02 * rng.standard_normal(len(base))))
        after = base.assign(energy_j=0.97 * base["energy_j"] * (1 + 0.02 * rng.standard_normal(len(base))))
        difference = run_difference(before, after)
        assert difference.low is not None
        assert difference.high is not None
        hits += difference.low <= -0.03 <= difference.high
    assert 180 <= hits <= 198  # 95 % of 200 is 190; four standard deviations


def test_the_same_run_shows_no_difference(make_frame: MakeFrame) -> None:
    difference = run_difference(make_frame(seed=1), make_frame(seed=1))
    assert difference.change == 0
    assert difference.p_value == 1.0
    assert "No difference" in difference.verdict


def test_invalid_windows_and_foreign_workloads_stay_out(make_frame: MakeFrame) -> None:
    before, after = make_frame(seed=1), make_frame(seed=1)
    bad = after.index == 0
    after["energy_j"] = after["energy_j"].where(~bad, 100 * after["energy_j"])
    after["valid"] = ~bad
    after.loc[after["workload"] == "tiny-3", "workload"] = "tiny-new"
    difference = run_difference(before, after)
    assert difference.change == pytest.approx(0, abs=0.01)
    assert difference.only_before == ("tiny-3",)
    assert difference.only_after == ("tiny-new",)


def test_one_pair_has_no_spread(make_frame: MakeFrame) -> None:
    frame = make_frame(seed=1)
    one = frame[frame["workload"] == "tiny-1"]
    difference = run_difference(one, scaled(one, 0.5))
    assert difference.change is None
    assert difference.low is None
    assert difference.rows[0].change == pytest.approx(-0.5)
    assert "no interval" in difference.verdict


@pytest.mark.parametrize("column", ["kind", "device"])
def test_unlike_runs_are_refused(make_frame: MakeFrame, column: str) -> None:
    with pytest.raises(RecordError, match=f"differ in {column}"):
        run_difference(make_frame(), make_frame().assign(**{column: "other"}))


def test_nothing_in_common_is_refused(make_frame: MakeFrame) -> None:
    with pytest.raises(RecordError, match="no valid workload in common"):
        run_difference(make_frame(), make_frame().assign(workload="other"))


def test_each_workload_has_its_own_interval_and_verdict(make_frame: MakeFrame) -> None:
    """One workload of many changes: it is named, and those that do not are not."""
    rng = np.random.default_rng(8)
    base = make_frame(seed=1, noise_rel=0.0)
    before, after = (
        base.assign(energy_j=base["energy_j"] * (1 + 0.003 * rng.standard_normal(len(base)))) for _ in "ab"
    )
    changed = after["workload"] == "tiny-3"
    after["energy_j"] = after["energy_j"].where(~changed, 0.8 * after["energy_j"])
    difference = run_difference(before, after)
    rows = {row.workload: row for row in difference.rows}
    assert rows["tiny-3"].verdict == "saves"
    assert rows["tiny-3"].low is not None
    assert rows["tiny-3"].high is not None
    assert rows["tiny-3"].low < -0.2 < rows["tiny-3"].high
    assert [name for name, row in rows.items() if row.verdict == "costs"] == []
    assert "1 save, 0 cost" in difference.details[0]
    assert rows["tiny-1"].time_change == pytest.approx(0, abs=1e-12)


def test_adjusting_for_many_is_holm() -> None:
    assert holm([0.01, None, 0.04, 0.03]) == [pytest.approx(0.03), None, pytest.approx(0.06), pytest.approx(0.06)]
    assert holm([0.6, 0.9]) == [1.0, 1.0]


def test_welch_by_hand() -> None:
    change = welch_change([0.0, 0.2], [1.0, 1.4])
    assert change.change == pytest.approx(np.expm1(1.1))
    # variances 0.02 and 0.08 over 2 each: se² = 0.05, dof = 0.05² / (0.01² + 0.04²) = 1.4706
    assert change.p_value == pytest.approx(2 * stats.t.sf(1.1 / 0.05**0.5, 0.0025 / 0.0017), rel=1e-9)
    assert welch_change([0.0], [1.0, 1.1]).verdict == "unknown"


def test_a_domain_is_compared_in_pairs() -> None:
    before = {"a": [1.0, 1.0], "b": [2.0], "c": [3.0], "zero": [0.0]}
    change = domain_change(before, {"a": [0.9], "b": [1.8], "c": [2.7 * 1.001], "zero": [1.0], "new": [1.0]})
    assert change.change == pytest.approx(-0.1, abs=1e-3)
    assert change.verdict == "saves"
    assert domain_change({"a": [1.0]}, {"a": [2.0]}).verdict == "unknown"


def test_idle_windows_are_no_workloads(make_frame: MakeFrame) -> None:
    before = make_frame(seed=1)
    after = before.assign(energy_j=before["energy_j"].where(before["split"] != "idle", 7 * before["energy_j"]))
    assert (before["split"] == "idle").any()
    difference = run_difference(before, after)
    assert difference.change == 0
    assert not [row for row in difference.rows if "idle" in row.workload]


def test_the_interval_is_students(make_frame: MakeFrame) -> None:
    factors = {"tiny-1": 1.01, "tiny-2": 1.05, "tiny-3": 1.0}
    before = make_frame(seed=1)
    before = before[before["workload"].isin(list(factors))]
    difference = run_difference(
        before, before.assign(energy_j=before["energy_j"] * before["workload"].map(factors).astype(float))
    )
    known = stats.ttest_1samp(np.log(list(factors.values())), 0.0)
    low, high = known.confidence_interval(0.95)
    assert difference.low == pytest.approx(np.expm1(low), rel=1e-9)
    assert difference.high == pytest.approx(np.expm1(high), rel=1e-9)
    assert difference.p_value == pytest.approx(known.pvalue, rel=1e-9)
    assert difference.change is not None
    assert difference.change > 0  # and yet
    assert difference.verdict.startswith("No difference is shown: +2.0 %")
