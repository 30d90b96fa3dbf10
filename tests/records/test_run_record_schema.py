"""The published JSON Schema of a record says what `RunRecord` says."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from importlib.resources import files
from typing import Any

import jsonschema
import pytest

from energybench.errors import RecordError
from energybench.records import vocabulary
from energybench.records.op_counts import COUNT_FIELDS, DTYPE_BYTES, TRAFFIC_BASES
from energybench.records.run_record import COUNTS_SOURCES, READ_VERSIONS, RECORD_DIRECTIONS, SCHEMA_VERSION, RunRecord

MakeRecord = Callable[..., RunRecord]
SCHEMA: dict[str, Any] = json.loads((files("energybench.records") / "run_record.schema.json").read_text("utf-8"))
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def test_schema_is_one_and_names_every_field() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    fields = dataclasses.fields(RunRecord)
    assert set(SCHEMA["properties"]) == {f.name for f in fields}
    without_default = {
        f.name for f in fields if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    }
    assert set(SCHEMA["required"]) == {"schema_version", *without_default}
    assert SCHEMA["properties"]["schema_version"] == {"enum": list(READ_VERSIONS)}
    assert max(READ_VERSIONS) == SCHEMA_VERSION


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("kind", vocabulary.KINDS),
        ("family", vocabulary.FAMILIES),
        ("split", vocabulary.SPLITS),
        ("kernel_class", vocabulary.KERNEL_CLASSES),
        ("implementation", vocabulary.IMPLEMENTATIONS),
        ("direction", RECORD_DIRECTIONS),
        ("caches", vocabulary.CACHES),
        ("counts_source", COUNTS_SOURCES),
        ("dtype", tuple(DTYPE_BYTES)),
    ],
)
def test_words_are_those_of_the_code(name: str, words: tuple[str, ...]) -> None:
    assert SCHEMA["properties"][name]["enum"] == list(words)


def test_tallies_are_those_of_the_code() -> None:
    counts = SCHEMA["properties"]["counts"]["properties"]
    assert tuple(counts["by_dtype"]["additionalProperties"]["properties"]) == COUNT_FIELDS
    assert counts["traffic_basis"]["enum"] == list(TRAFFIC_BASES)


def test_written_records_fit(make_record: MakeRecord) -> None:
    for record in (
        make_record(),
        make_record(network="n", shape={"N": 1}, components={"feed_forward": 7}, threads=2, tdp_w=9.0, temp_c=-1.0),
        make_record(caches="cold"),
        make_record(valid=False, invalid_reason="other load: 1.0 cores busy, 0.2 allowed", idle_power_w=3.0),
    ):
        VALIDATOR.validate(json.loads(json.dumps(record.to_dict())))


@pytest.mark.parametrize(
    "changes",
    [
        {"energy_j": -1.0},
        {"energy_j": "1"},
        {"kind": "guessed"},
        {"calls": 0},
        {"begin_ns": 0.5},
        {"schema_version": 99},
        {"caches": "tepid"},
        {"surprise": 1},
        {"valid": False},
        {"invalid_reason": "but valid"},
        {"counts": {"launches": 1, "traffic_basis": "compulsory", "by_dtype": {"float33": {}}}},
        {"counts": {"launches": 1, "traffic_basis": "compulsory", "by_dtype": {"float32": {"macs": 0.5}}}},
        {"domains": {"a": {"energy_j": 1.0}}},
    ],
)
def test_schema_and_reader_refuse_the_same(make_record: MakeRecord, changes: dict[str, Any]) -> None:
    row = {**make_record().to_dict(), **changes}
    assert not VALIDATOR.is_valid(row)
    with pytest.raises(RecordError):
        RunRecord.from_dict(row)


def test_a_record_that_lacks_a_number_is_refused(make_record: MakeRecord) -> None:
    for name in SCHEMA["required"]:
        row = make_record().to_dict()
        del row[name]
        assert not VALIDATOR.is_valid(row), name
