"""Operators timed without a meter: a file that reads back, shapes that differ, and a law in the profile."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from energybench.app.calibrate import calibrate
from energybench.app.fit import fit_files
from energybench.app.time_operators import time_operators
from energybench.errors import RecordError, UsageError
from energybench.estimation.conformal import networks_needed
from energybench.fitting import fit_time_law
from energybench.model.features import timed_table
from energybench.records.op_counts import OpCounts
from energybench.records.timed_network import read_timed_networks
from energybench.records.timed_operator import TimedOperator, read_timed_operators
from energybench.workloads.network_rows import conv_net, gru_sequence_model
from energybench.workloads.networks_to_time import networks_to_time
from energybench.workloads.random_operators import random_operators
from energybench.workloads.zoo_rows import SEALED

SCENARIO = Path(__file__).parents[2] / "experiments" / "example_device.toml"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("timed")
    time_operators(out=folder, count=24, threads=1)
    return folder


def test_every_operator_is_there_with_its_counts_and_time(folder: Path) -> None:
    timed = read_timed_operators(folder)
    assert [t.workload for t in timed] == [w.name for w in random_operators(24)]
    assert all(0 < t.time_s < 1 for t in timed)
    assert {t.device for t in timed} == {"cpu"}
    for one, workload in zip(timed, random_operators(24), strict=True):
        assert one.counts == workload.counts()
    law = fit_time_law(timed_table(timed))
    assert law is not None
    assert law.nobs == 24


def test_networks_are_timed_beside_them_and_calibrate_intervals(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "energybench.workloads.networks_to_time.networks_to_time",
        lambda **given: [gru_sequence_model(8, 1), gru_sequence_model(4, 1), conv_net(1, 32)],
    )
    time_operators(out=tmp_path, count=1, threads=1, networks=True)
    timed = read_timed_networks(tmp_path)
    assert [one.workload for one in timed] == [
        w.name for w in (gru_sequence_model(8, 1), gru_sequence_model(4, 1), conv_net(1, 32))
    ]
    assert len({one.network for one in timed}) == 2
    assert timed[2].counts.total == conv_net(1, 32).counts()
    assert all(1e-6 < one.time_s < 10 for one in timed)
    run = calibrate(meter=f"simulated:{SCENARIO}", out=tmp_path / "run")
    (tmp_path / "timed_networks.jsonl").rename(run.path / "timed_networks.jsonl")
    law = fit_files([run.path]).profile.time_law
    assert law is not None
    assert {name: len(scores) for name, scores in law.network_scores.items()} == {
        "gru_sequence_model": 2,
        "conv_net": 1,
    }


def test_what_is_timed_has_enough_networks_and_none_is_sealed() -> None:
    names = {w.network for w in networks_to_time()}
    assert len(names) >= networks_needed(0.9)
    assert not names & set(SEALED)
    assert {w.dtype for w in networks_to_time(gpu=True, dtype="bfloat16")} == {"bfloat16"}


def test_shapes_are_drawn_once_each_from_a_seed() -> None:
    names = [w.name for w in random_operators(300)]
    assert len(set(names)) == 300
    assert names == [w.name for w in random_operators(300)]
    assert names != [w.name for w in random_operators(300, seed=1)]
    assert len({w.kernel_class for w in random_operators(300)}) >= 7
    assert {w.dtype for w in random_operators(5, dtype="bfloat16")} == {"bfloat16"}


def timed(name: str, counts: OpCounts, time_s: float) -> TimedOperator:
    return TimedOperator(workload=name, kernel_class="gemm", device="cpu", counts=counts, time_s=time_s)


def test_a_fit_learns_its_time_law_from_the_timings_beside_its_records(tmp_path: Path) -> None:
    """Planted timings, ten times slower than the device of the records: the profile's law must be theirs."""
    run = calibrate(meter=f"simulated:{SCENARIO}", out=tmp_path / "run")
    own = fit_files([run.path]).profile.time_law
    rows = [
        timed(f"x{i}", OpCounts.single("float32", macs=10**5 * i, load_bytes=10**4, launches=1), 1e-6 * i)
        for i in range(1, 40)
    ]
    path = run.path / "timings.jsonl"
    path.write_text("".join(json.dumps(row.to_dict()) + "\n" for row in rows))
    law = fit_files([run.path]).profile.time_law
    assert own is not None
    assert law is not None
    assert law.rates.mac_s["float32"] == pytest.approx(1e-11, rel=0.05)
    assert own.rates.mac_s["float32"] < 2e-12
    path.write_text(json.dumps({**rows[0].to_dict(), "device": "cuda:0"}) + "\n")
    with pytest.raises(RecordError, match="timings are of cuda:0 and the records of cpu"):
        fit_files([run.path])


def test_a_file_that_is_there_is_not_overwritten(folder: Path) -> None:
    with pytest.raises(RecordError, match="exists already"):
        time_operators(out=folder, count=1)
    with pytest.raises(UsageError, match="asks for no operators"):
        time_operators(out=folder / "other", count=0)


GOOD: dict[str, Any] = timed("w", OpCounts.single("float32", macs=1), 1.0).to_dict()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"schema_version": 9}, "schema version 9"),
        ({"kernel_class": "magic"}, "kernel_class='magic'"),
        ({"time_s": 0}, "is no duration"),
        ({"counts": {"launches": 1}}, "malformed"),
        ({"time_s": "soon"}, "malformed"),
    ],
)
def test_lines_that_are_no_timing_are_refused_by_number(tmp_path: Path, changed: dict[str, Any], message: str) -> None:
    path = tmp_path / "timings.jsonl"
    path.write_text(json.dumps(GOOD) + "\n" + json.dumps({**GOOD, **changed}) + "\n")
    with pytest.raises(RecordError, match=f":2: .*{message}"):
        read_timed_operators(path)
