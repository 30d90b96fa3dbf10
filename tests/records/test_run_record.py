from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from energybench.errors import RecordError
from energybench.records.environment import Environment
from energybench.records.reading import Domain, MeterCharacteristics, Reading
from energybench.records.run_record import SCHEMA_VERSION, DomainValue, RunRecord
from energybench.records.window_readings import WindowReadings

MakeRecord = Callable[..., RunRecord]


def test_round_trip_and_slim_row(make_record: MakeRecord) -> None:
    record = make_record(
        network="resnet", shape={"N": 1}, idle_power_w=40.0, domains={"a": DomainValue(1.0, 0.1, True)}
    )
    text = json.dumps(record.to_dict())
    assert RunRecord.from_dict(json.loads(text)) == record
    assert len(text) <= 2_000
    assert next(iter(record.to_dict())) == "schema_version"


@pytest.mark.parametrize("name", ["energy_j", "energy_uncertainty_j", "time_s", "idle_power_w", "tdp_w"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0, "3", True])
def test_impossible_measurements_are_refused(make_record: MakeRecord, name: str, value: object) -> None:
    with pytest.raises(RecordError, match=name):
        make_record(**{name: value})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "guessed"}, "kind"),
        ({"family": "mlp"}, "family"),
        ({"calls": 0}, "at least one call"),
        ({"calls": 1.5}, "calls"),
        ({"end_ns": 10}, "positive duration"),
        ({"valid": False}, "gives its reason"),
        ({"invalid_reason": "hot"}, "gives its reason"),
        ({"energy_j": None}, "energy_j"),
    ],
)
def test_contradictions_are_refused(make_record: MakeRecord, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(RecordError, match=message):
        make_record(**changes)


def test_unknown_version_names_both(make_record: MakeRecord) -> None:
    row = make_record().to_dict()
    with pytest.raises(RecordError, match=f"99, this energybench reads {SCHEMA_VERSION}"):
        RunRecord.from_dict({**row, "schema_version": 99})
    with pytest.raises(RecordError, match="malformed"):
        RunRecord.from_dict({**row, "surprise": 1})
    with pytest.raises(RecordError, match="malformed"):
        RunRecord.from_dict({k: v for k, v in row.items() if k != "energy_j"})


def test_environment_hash_follows_content() -> None:
    characteristics = MeterCharacteristics(0.1, 1e-3, 1e-5, 2e-5, 40.0, 0.5)
    one = Environment(
        "cpu", "Xeon", None, "rapl", {"governor": "performance"}, {"torch": "2.13"}, None, characteristics
    )
    same = Environment.from_dict(json.loads(json.dumps(one.to_dict())))
    assert same == one
    assert same.sha256 == one.sha256
    other = Environment.from_dict({**one.to_dict(), "device_name": "Epyc"})
    assert other.sha256 != one.sha256


def test_readings_round_trip_and_refuse_floats() -> None:
    domain = Domain("package-0", resolution_nj=61_035, wrap_nj=2**60, max_power_w=500.0)
    pair = WindowReadings("w0", (domain,), Reading(1, {"package-0": 2**61}), Reading(2, {"package-0": 5}), 0.1, True)
    assert WindowReadings.from_dict(json.loads(json.dumps(pair.to_dict()))) == pair
    with pytest.raises(RecordError, match="no integer"):
        Reading.from_dict({"time_ns": 1.5, "energy_nj": {}})
    with pytest.raises(RecordError, match="malformed"):
        WindowReadings.from_dict({})


def test_readings_of_the_first_format_stay_readable() -> None:
    first = {
        "row_id": "w#0",
        "domains": [Domain("a").to_dict()],
        "begin": {"time_ns": 1, "energy_nj": {"a": 5}},
        "end": {"time_ns": 9, "energy_nj": {"a": 7}},
        "update_period_s": 0.1,
        "aligned": True,
    }
    readings = WindowReadings.from_dict(first)
    assert (readings.poll_interval_s, readings.update_noise_rel) == (None, None)
    assert readings.to_dict() == first
    second = {**first, "poll_interval_s": 0.001, "update_noise_rel": 0.02}
    assert WindowReadings.from_dict(second).to_dict() == second


def test_records_of_the_first_version_are_read_with_hot_caches(make_record: MakeRecord) -> None:
    record = make_record()
    row = record.to_dict()
    assert row["schema_version"] == SCHEMA_VERSION == 2
    assert "caches" not in row
    assert RunRecord.from_dict({**row, "schema_version": 1}) == record
    assert record.caches == "hot"
    cold = make_record(caches="cold")
    assert cold.to_dict()["caches"] == "cold"
    assert RunRecord.from_dict(cold.to_dict()) == cold
