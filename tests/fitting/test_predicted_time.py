"""Times by shape: operators near by tell how far behind its roofline one stays; networks say how far that misses."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from energybench.errors import RecordError
from energybench.estimation import estimate_counts
from energybench.estimation.time_interval import log_reach, time_method
from energybench.fitting import fit_records, fit_time_law
from energybench.fitting.time_fit import time_scores
from energybench.model.features import FeatureTable, FloatArray, feature_row
from energybench.model.operator_table import operator_table
from energybench.model.time_law import Rates, TimeLaw
from energybench.profiles import DeviceProfile
from energybench.records.model_counts import ModelCounts, OperatorCounts
from energybench.records.op_counts import OpCounts
from energybench.records.timed_network import TIMED_NETWORKS_NAME, TimedNetwork, read_timed_networks


def products(n: int, *, seed: int = 0, uneven: float = 1.0) -> FeatureTable:
    """Matrix products on a device whose library is `uneven` times slower at its worst size than at its best."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(n):
        size = float(10 ** rng.uniform(4, 8))
        macs = size * 10 ** rng.uniform(0.5, 1.5)
        behind = uneven ** (0.5 + 0.5 * math.sin(math.log(macs)))
        rows.append(
            {
                "macs": macs,
                "macs_float32": macs,
                "bytes": 4 * size,
                "load_bytes": 3 * size,
                "store_bytes": size,
                "launches": 1,
                "time_s": (behind * macs / 1e11 + 5e-6) * float(np.exp(0.05 * rng.standard_normal())),
                "kernel_class": ("gemm", "conv")[i % 2],
            }
        )
    return FeatureTable.from_rows(rows)


def missed(law: TimeLaw, table: FeatureTable) -> float:
    return float(np.median(np.abs(np.log(law.predict_s(table) / table.column("time_s")))))


def law_of(table: FeatureTable) -> TimeLaw:
    law = fit_time_law(table)
    assert law is not None
    return law


def test_a_library_that_is_uneven_is_predicted_at_sizes_between_those_timed() -> None:
    law, new = law_of(products(400, uneven=4.0)), products(200, seed=1, uneven=4.0)
    assert law.efficiency is not None
    assert missed(law, new) < 0.5 * missed(replace(law, efficiency=None), new)
    assert law.rel_stdev == pytest.approx(
        1.4826 * missed(law, new), rel=0.4
    )  # of operators left out, not of those fitted


def test_a_library_that_is_even_needs_no_shapes() -> None:
    assert law_of(products(400)).efficiency is None
    assert law_of(products(30, uneven=4.0)).efficiency is None  # fifteen of a class are too few


def test_far_from_all_that_was_timed_only_the_class_is_known() -> None:
    law = law_of(products(400, uneven=4.0))
    assert law.efficiency is not None
    far = products(2).with_column("macs", np.full(2, 1e30)).with_column("load_bytes", np.full(2, 1e30))
    levels = [law.efficiency.by_class[k].level for k in ("gemm", "conv")]
    assert np.log(law.efficiency.factor(far)) == pytest.approx(levels, abs=0.1)
    other = FeatureTable(far.numbers, np.array(["norm", "pool"], dtype=object))
    assert law.efficiency.factor(other).tolist() == [1.0, 1.0]


def test_a_row_of_many_calls_lies_where_one_of_them_does() -> None:
    law = law_of(products(400, uneven=4.0))
    assert law.efficiency is not None
    one = products(1, seed=5)
    many = FeatureTable({k: v * 7 for k, v in one.numbers.items()}, one.kernel_class).with_column(
        "calls", np.full(1, 7.0)
    )
    assert law.efficiency.factor(many) == pytest.approx(law.efficiency.factor(one), rel=1e-9)


def test_a_law_by_shape_survives_a_profile(frame) -> None:
    fit = fit_records(frame, timings=products(400, uneven=4.0), timed_networks=networks(3))
    profile = DeviceProfile.from_dict(json.loads(json.dumps(DeviceProfile.from_fit(fit, name="x").to_dict())))
    assert fit.time_law is not None
    assert profile.time_law is not None
    table = products(50, seed=2)
    assert profile.time_law.predict_s(table).tolist() == fit.time_law.predict_s(table).tolist()
    assert profile.time_law.network_scores == fit.time_law.network_scores
    assert len(fit.time_law.network_scores) == 3


def call(macs: int) -> ModelCounts:
    counts = OpCounts.single("float32", macs=macs, nominal_macs=macs, launches=2, loads=10**4, load_bytes=4 * 10**4)
    return ModelCounts((OperatorCounts("mm", "a", "forward", "gemm", 2, counts),), 10, 40)


def networks(n: int, *, seed: int = 0, spread: float = 0.2) -> list[TimedNetwork]:
    """Networks that take 2 ms by the plain law, each two sizes off by one factor of its own."""
    rng = np.random.default_rng(seed)
    factors: FloatArray = np.exp(spread * rng.standard_normal(n))
    return [
        TimedNetwork(
            network=f"net{i}",
            workload=f"net{i}/{s}",
            device="cpu",
            counts=call(10**9 * s),
            time_s=2e-3 * s * float(factors[i]),
        )
        for i in range(n)
        for s in (1, 2)
    ]


LAW = TimeLaw(Rates({"float32": 2e-12}, 0.0, 0.0, 0.0, None), 0.01, 500)


def test_networks_are_scored_by_the_law_that_never_saw_them() -> None:
    scores = time_scores(LAW, networks(4))
    for one in networks(4):
        whole = FeatureTable.from_rows([feature_row(one.counts, time_s=np.nan)])
        off = abs(math.log(one.time_s / LAW.call_s(operator_table(one.counts, whole))))
        assert scores[one.network] == pytest.approx((off, off))


def test_intervals_of_predicted_times_cover_networks_that_err_as_a_whole() -> None:
    hits = []
    for seed in range(300):
        *known, new = networks(13, seed=seed)[::2]
        law = replace(LAW, network_scores=time_scores(LAW, known))
        hits.append(abs(math.log(new.time_s / (2e-3))) <= log_reach(law, 0.9))
    assert 0.87 <= np.mean(hits) <= 0.98
    assert (
        np.mean([abs(math.log(networks(1, seed=s)[0].time_s / 2e-3)) <= log_reach(LAW, 0.9) for s in range(300)]) < 0.2
    )


def test_below_nine_networks_the_interval_says_that_it_is_parametric() -> None:
    few, enough = (replace(LAW, network_scores=time_scores(LAW, networks(n))) for n in (8, 9))
    assert log_reach(few, 0.9) == pytest.approx(1.648 * 0.01, rel=1e-3)
    assert "only 8 timed networks are known and 90% needs 9" in time_method(few, 0.9)
    assert time_method(enough, 0.9) == "conformal over 9 networks that the time law never saw"
    assert log_reach(enough, 0.9) == max(max(s) for s in enough.network_scores.values())
    assert log_reach(enough, 0.9, without="net0") == pytest.approx(1.648 * 0.01, rel=1e-3)  # none calibrates its own


def test_an_estimate_prints_the_interval_of_its_time(frame) -> None:
    profile = DeviceProfile.from_fit(fit_records(frame, timed_networks=networks(9)), name="x")
    estimate = estimate_counts(call(10**9), profile)
    times = estimate.time_interval()
    assert times is not None
    assert profile.time_law is not None
    assert math.log(times.high_s / times.low_s) == pytest.approx(2 * log_reach(profile.time_law, 0.9))
    assert "predicted time conformal over 9 networks" in estimate.interval_method()


def test_timed_networks_read_back_and_bad_lines_are_named(tmp_path: Path) -> None:
    path = tmp_path / TIMED_NETWORKS_NAME
    path.write_text("".join(json.dumps(one.to_dict()) + "\n" for one in networks(2)))
    assert read_timed_networks(tmp_path) == networks(2)
    good = networks(1)[0].to_dict()
    for changed, message in (
        ({"schema_version": 9}, "schema version 9"),
        ({"time_s": 0}, "is no duration"),
        ({"counts": {}}, "malformed"),
    ):
        path.write_text(json.dumps(good) + "\n" + json.dumps({**good, **changed}) + "\n")
        with pytest.raises(RecordError, match=f":2: .*{message}"):
            read_timed_networks(path)
