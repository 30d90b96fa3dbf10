"""Did a change save energy: planted differences, none, and what cannot be compared."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from energybench.errors import RecordError
from energybench.estimation.run_difference import run_difference

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
