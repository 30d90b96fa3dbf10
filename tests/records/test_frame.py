from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

import energybench as eb
from energybench.errors import RecordError
from energybench.records.environment import Environment
from energybench.records.jsonl import JsonlWriter
from energybench.records.op_counts import DtypeCounts, OpCounts
from energybench.records.run_directory import RunDirectory
from energybench.records.run_record import RunRecord

MakeRecord = Callable[..., RunRecord]


@pytest.fixture
def run(tmp_path: Path, make_record: MakeRecord) -> RunDirectory:
    run = RunDirectory(tmp_path / "run")
    run.create()
    big = OpCounts({"float32": DtypeCounts(macs=2**60 + 1), "bfloat16": DtypeCounts(macs=3)}, launches=2)
    with JsonlWriter(run.records_path) as writer:
        writer.append(make_record().to_dict())
        writer.append(make_record(row_id="w1", counts=big, network="net", components={"feed_forward": 5}).to_dict())
    return run


def test_columns_and_exact_integers(run: RunDirectory) -> None:
    frame = eb.load_records(run.path)
    assert list(frame["macs"]) == [100, 2**60 + 4]
    assert list(frame["macs_bfloat16"]) == [0, 3]
    assert list(frame["flops_feed_forward"]) == [0, 5]
    assert list(frame["network"]) == [None, "net"]
    assert frame["macs"].dtype == "int64"
    assert frame["idle_power_w"].isna().all()
    assert frame["kind"].unique().tolist() == ["simulated"]


def test_several_files_and_directories(run: RunDirectory) -> None:
    assert len(eb.load_records(run.path, run.records_path)) == 4


def test_pandas_reads_the_file_as_it_is(run: RunDirectory) -> None:
    frame = pd.read_json(run.records_path, lines=True)
    assert list(frame["energy_j"]) == [1e-6, 1e-6]
    assert frame["counts"][1]["by_dtype"]["float32"]["macs"] == 2**60 + 1


def test_nothing_to_load(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="no records were given"):
        eb.load_records()
    (tmp_path / "records.jsonl").touch()
    with pytest.raises(RecordError, match="there are no records; calibrate first"):
        eb.load_records(tmp_path)


def test_environment_is_kept_under_its_hash(run: RunDirectory) -> None:
    environment = Environment("cpu", "Xeon", None, "rapl")
    run.write_environment(environment)
    run.write_environment(Environment("cpu", "Epyc", None, "rapl"))
    assert run.read_environments()[environment.sha256] == environment
    text = run.environment_path.read_text(encoding="utf-8")
    run.environment_path.write_text(text.replace("Xeon", "Atom"), encoding="utf-8")
    with pytest.raises(RecordError, match="was changed after the run"):
        run.read_environments()
