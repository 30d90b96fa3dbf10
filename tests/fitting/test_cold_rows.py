"""Rows with cold caches, and on threads of their own: which fits they enter."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from energybench.fitting import fit_records, fit_time_law
from energybench.model.features import FeatureTable
from energybench.model.observations import Observations

MakeFrame = Callable[..., pd.DataFrame]


def with_cold_twins(frame: pd.DataFrame, saving_j: float) -> pd.DataFrame:
    """Hot rows find at most 4 MB in the cache and save by it; every third row comes again with cold caches."""
    frame = frame.assign(caches="hot", last_cache_bytes=4e6)
    work = frame[(frame["split"] == "fit") & (frame["bytes"] > 0)]
    cold = work.iloc[::3].assign(caches="cold")
    cold = cold.assign(workload=cold["workload"] + "/cold", row_id=cold["row_id"] + "/cold")
    hot = frame["split"] != "idle"
    frame.loc[hot, "energy_j"] -= saving_j * frame.loc[hot, "bytes"].clip(upper=4e6)
    return pd.concat([frame, cold], ignore_index=True)


def test_cold_rows_tell_what_the_cache_saves_and_are_left_out_where_nothing_prices_it(make_frame: MakeFrame) -> None:
    frame = make_frame(noise_rel=0.003)
    both = with_cold_twins(frame, 6e-11)
    fit = fit_records(both)
    assert fit.params["cache_saving_j"] == pytest.approx(6e-11, rel=0.1)
    assert fit.params["byte_j"] == pytest.approx(9.0e-11, rel=0.05)
    n_cold = len(both) - len(frame)
    assert not fit.rows.left_out
    for equation, optional in (("physical", ()), ("cnn", "auto")):
        without = fit_records(both, equation, optional=optional, validation=False)
        assert without.rows.left_out["cold caches"] == n_cold
        assert not (without.rows.table.column("is_cold") > 0).any()
    alone = fit_records(both[both["caches"] == "hot"], optional=())
    assert fit_records(both, optional=()).params == alone.params


def test_a_time_law_is_learnt_from_hot_rows(make_frame: MakeFrame) -> None:
    frame = with_cold_twins(make_frame(noise_rel=0.003), 6e-11)
    slow = frame.assign(time_s=frame["time_s"].where(frame["caches"] == "hot", 3 * frame["time_s"]))
    laws = [fit_time_law(FeatureTable.from_frame(f)) for f in (frame[frame["caches"] == "hot"], slow)]
    assert laws[0] is not None
    assert laws[0] == laws[1]


def test_rows_on_other_threads_are_left_out_and_said(make_frame: MakeFrame) -> None:
    frame = make_frame().assign(threads=2.0)
    frame.loc[frame.index[::5], "threads"] = 1.0
    rows = Observations.from_frame(frame)
    n = int((frame["threads"] == 1).sum())
    assert rows.left_out["on other CPU threads than most rows"] == n
    assert len(rows) == len(frame) - n
    assert Observations.from_frame(frame[frame["threads"] == 1]).left_out == {}
    assert Observations.from_frame(frame.assign(threads=np.nan)).left_out == {}
