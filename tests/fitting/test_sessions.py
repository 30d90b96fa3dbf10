"""Runs that were pooled: an offset of one of them is named, a shared state is not, and one run alone shows nothing."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import pytest

from energybench.fitting.sessions import session_offsets
from energybench.model.observations import Observations

MakeFrame = Callable[..., pd.DataFrame]


def two_runs(make_frame: MakeFrame, offset: float, seed: int = 0) -> pd.DataFrame:
    a, b = make_frame(seed=5), make_frame(seed=5)
    b["energy_j"] *= 1 + offset
    noise = pd.Series(range(len(b))).sample(frac=1, random_state=seed).to_numpy() / len(b) - 0.5
    b["energy_j"] *= 1 + 0.02 * noise
    return pd.concat([a, b.assign(run_id="later")], ignore_index=True)


def test_an_offset_between_runs_is_named(make_frame: MakeFrame) -> None:
    found = session_offsets(Observations.from_frame(two_runs(make_frame, 0.1)))
    assert found == {"later": pytest.approx(0.1, abs=0.01)}
    assert session_offsets(Observations.from_frame(two_runs(make_frame, -0.05))) == {
        "later": pytest.approx(-0.05, abs=0.01)
    }


def test_runs_of_one_state_do_not_differ(make_frame: MakeFrame) -> None:
    named = [session_offsets(Observations.from_frame(two_runs(make_frame, 0.0, seed))) for seed in range(20)]
    assert sum(bool(found) for found in named) <= 1


def test_one_run_has_nothing_to_differ_from(make_frame: MakeFrame) -> None:
    assert session_offsets(Observations.from_frame(make_frame())) == {}


def test_runs_without_common_workloads_are_not_compared(make_frame: MakeFrame) -> None:
    frame = two_runs(make_frame, 0.1)
    later = frame["run_id"] == "later"
    frame = frame[~(later & (frame["split"] == "idle"))]
    frame.loc[frame["run_id"] == "later", "workload"] += "/other"
    assert session_offsets(Observations.from_frame(frame)) == {}
