"""Profiles as files: what goes in comes out, what cannot be a profile is refused in one line."""

from __future__ import annotations

import copy
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from energybench.errors import ProfileError
from energybench.fitting import fit_records
from energybench.profiles import (
    DeviceProfile,
    diff_profiles,
    list_profiles,
    show_profile,
    user_profile_directory,
    validate_profile,
)
from energybench.profiles.profile import profile_schema
from energybench.profiles.schema_check import violations


@pytest.fixture(scope="module")
def profile(frame) -> DeviceProfile:
    return DeviceProfile.from_fit(
        fit_records(frame),
        name="bench",
        environment={"device_name": "a device", "facts": {"clock_mhz": 1000}},
        meter_gain_rel=0.05,
        created=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    )


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ENERGYBENCH_HOME", str(tmp_path))
    return tmp_path / "profiles"


def test_saved_and_loaded_is_the_same(profile, tmp_path: Path) -> None:
    profile.save(tmp_path / "deep" / "bench.json")
    again = DeviceProfile.load(tmp_path / "deep" / "bench.json")
    assert again.to_dict() == profile.to_dict()
    assert again.covariance.tolist() == profile.covariance.tolist()
    assert again.equation.names == profile.equation.names
    assert again.created_utc == "2026-01-02T03:04:05Z"
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["bench.json"]  # no temporary left


@pytest.mark.parametrize("equation", ["cnn", "cnn-literal", "cnn-total-flops", "rnn", "transformer", "mean-power"])
def test_every_equation_makes_a_profile(frame, equation: str, tmp_path: Path) -> None:
    made = DeviceProfile.from_fit(fit_records(frame, equation), name=equation)
    made.save(tmp_path / "p.json")
    assert DeviceProfile.load(tmp_path / "p.json").params == made.params


def test_records_are_hashed_not_copied(frame, tmp_path: Path) -> None:
    (tmp_path / "records.jsonl").write_bytes(b"one\n")
    fit = fit_records(frame, validation=False)
    made = DeviceProfile.from_fit(fit, name="x", records=[tmp_path / "records.jsonl"])
    assert made.records[0].name == "records.jsonl"
    assert made.records[0].sha256 == "2c8b08da5ce60398e1f19af0e5dccc744df274b826abe585eaba68c525434806"
    assert str(tmp_path) not in json.dumps(made.to_dict())
    with pytest.raises(ProfileError, match="cannot be read"):
        DeviceProfile.from_fit(fit, name="x", records=[tmp_path / "absent.jsonl"])


@pytest.mark.parametrize("name", ["", "a/b", "../x", "a b", ".hidden"])
def test_names_that_could_leave_the_directory_are_refused(frame, name: str) -> None:
    with pytest.raises(ProfileError, match="name is"):
        DeviceProfile.from_fit(fit_records(frame, validation=False, time_law=False), name=name)


def test_an_environment_that_is_no_json_is_refused(frame) -> None:
    fit = fit_records(frame, validation=False, time_law=False)
    with pytest.raises(ProfileError, match="environment is not JSON"):
        DeviceProfile.from_fit(fit, name="x", environment={"clock": float("nan")})


def broken(data: dict, path: str, value: Any) -> dict:
    """The data with one place changed, or removed for the value ``...``."""
    data = copy.deepcopy(data)
    *steps, last = path.split("/")
    place: Any = data
    for step in steps:
        place = place[int(step) if step.isdigit() else step]
    key = int(last) if last.isdigit() and isinstance(place, list) else last
    if value is ...:
        del place[key]
    else:
        place[key] = value
    return data


BREAKAGES = [
    ("name", ...),
    ("name", 7),
    ("name", "a b"),
    ("name", "ok\n"),
    ("created_utc", "yesterday"),
    ("target", "both"),
    ("kind", "guessed"),
    ("kind", None),
    ("traffic_basis", "psychic"),
    ("device", ""),
    ("meter", []),
    ("meter/gain_rel", -0.1),
    ("meter/gain_rel", "5 %"),
    ("meter/colour", "red"),
    ("level", 1.0),
    ("level", 0),
    ("level", True),
    ("coefficients", {}),
    ("coefficients/byte_j/value", "much"),
    ("coefficients/byte_j/value", None),
    ("coefficients/byte_j/bse", -1.0),
    ("coefficients/byte_j/bse", True),
    ("coefficients/byte_j/dof", 0),
    ("coefficients/byte_j/verdict", "fine"),
    ("coefficients/byte_j/advice", ...),
    ("coefficients/byte_j/extra", 1),
    ("covariance", []),
    ("covariance/0", 3.0),
    ("covariance/0/0", "x"),
    ("diagnostics/nobs", 0),
    ("diagnostics/nobs", 1.5),
    ("diagnostics/nobs", True),
    ("diagnostics/condition_number", 0.5),
    ("diagnostics/vif/byte_j", 0.1),
    ("diagnostics/misfit/p_value", 2),
    ("diagnostics/misfit/present", 1),
    ("domain/ranges/macs_per_byte/max", ...),
    ("domain/families", ["bird"]),
    ("domain/dtypes", "float32"),
    ("time_law/law", "guess"),
    ("time_law/rates/mac_s/float32", -1),
    ("time_law/sharpness", 0.5),
    ("null_models/tdp", "big"),
    ("validation", 3),
    ("environment", []),
    ("records", [{"name": "x", "sha256": "short"}]),
    ("notes", [1]),
    ("unknown", 1),
]


@pytest.mark.parametrize(("path", "value"), BREAKAGES, ids=[f"{p}={v}" for p, v in BREAKAGES])
def test_our_check_and_the_published_schema_agree_and_refuse(profile, path: str, value: Any) -> None:
    data = broken(profile.to_dict(), path, value)
    assert list(violations(data, profile_schema()))
    if value != "ok\n":  # Python's `$` lets a final newline through, ours does not
        assert not jsonschema.Draft202012Validator(profile_schema()).is_valid(data)
    with pytest.raises(ProfileError) as error:
        DeviceProfile.from_dict(data, origin="p.json")
    message = str(error.value)
    assert message.startswith("p.json: ")
    assert "\n" not in message
    assert message.endswith("restore the file or calibrate again")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("time_law", None),
        ("validation", None),
        ("meter/gain_rel", None),
        ("diagnostics/misfit", None),
        ("diagnostics/nobs", 3.0),
        ("coefficients/byte_j/bse", None),
        ("environment", {"anything": [1, {"deep": None}]}),
        ("records", [{"name": "records.jsonl", "sha256": "0" * 64}]),
        ("notes", []),
    ],
)
def test_our_check_and_the_published_schema_agree_and_accept(profile, path: str, value: Any) -> None:
    data = broken(profile.to_dict(), path, value)
    assert jsonschema.Draft202012Validator(profile_schema()).is_valid(data)
    DeviceProfile.from_dict(data)


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(profile_schema())


def test_a_schema_keyword_that_we_do_not_know_is_refused() -> None:
    with pytest.raises(ValueError, match="not understood"):
        list(violations({}, {"oneOf": []}))


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("covariance", [[1.0]], "not 5 × 5"),
        ("coefficients/byte_j/value", 1.0, "outside its interval"),
        ("coefficients/byte_j/unit", "J/byte", "unit is not J/B"),
        ("domain/ranges/macs_per_byte/min", 1e30, "min above max"),
        ("equation", "cnn", "has the coefficients alpha, beta, gamma"),
        ("equation", "astrology", "no equation is called"),
    ],
)
def test_what_a_schema_cannot_say_is_checked_too(profile, path: str, value: Any, message: str) -> None:
    with pytest.raises(ProfileError, match=message):
        DeviceProfile.from_dict(broken(profile.to_dict(), path, value))


def test_a_covariance_that_is_none_is_refused(profile) -> None:
    data = profile.to_dict()
    data["covariance"][0][1] += 1.0
    with pytest.raises(ProfileError, match="not symmetric"):
        DeviceProfile.from_dict(data)
    data = profile.to_dict()
    data["covariance"][0][0] = -1.0
    with pytest.raises(ProfileError, match="diagonal"):
        DeviceProfile.from_dict(data)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is damaged"),
        ("{", "is damaged"),
        ('{"schema_version": 1, "level": NaN}', "it holds NaN"),
        ("[]", "is no device profile"),
        ("{}", "is no device profile"),
        ('{"schema_version": "1"}', "is no device profile"),
        ('{"schema_version": 99}', "has schema version 99, this energybench reads 3; update energybench"),
        ('{"schema_version": 0}', "schema version 0, which never existed"),
        ("[" * 100_000, "nested too deeply|is damaged"),
    ],
)
def test_damaged_files_are_refused_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "p.json"
    path.write_text(text)
    with pytest.raises(ProfileError, match=message) as error:
        DeviceProfile.load(path)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)


def test_a_profile_of_the_first_version_still_loads(profile) -> None:
    data = profile.to_dict()
    del data["network_scores"], data["domain"]["input_distributions"], data["held_power_w"], data["residual"]
    law = data["time_law"]
    first_law = {"law": "roofline", **law["rates"], "rel_stdev": law["rel_stdev"], "nobs": law["nobs"]}
    old = DeviceProfile.from_dict({**data, "schema_version": 1, "time_law": first_law})
    assert old.params == profile.params
    assert old.time_law == profile.time_law
    assert old.network_scores == {}
    assert old.held_power_w is None
    assert old.to_dict()["schema_version"] == 3
    with pytest.raises(ProfileError, match="lacks network_scores"):
        DeviceProfile.from_dict({**data, "schema_version": 2})


def test_a_profile_of_the_second_version_still_loads(profile) -> None:
    data = profile.to_dict()
    del data["held_power_w"], data["residual"]
    old = DeviceProfile.from_dict({**data, "schema_version": 2})
    assert old.to_dict() == profile.to_dict()
    with pytest.raises(ProfileError, match="lacks held_power_w"):
        DeviceProfile.from_dict(data)


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "p.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ProfileError, match="not UTF-8"):
        DeviceProfile.load(tmp_path / "p.json")


def test_names_are_searched_and_absent_ones_name_what_there_is(profile, home: Path, tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match="no profile 'bench'"):
        DeviceProfile.load("bench")
    profile.save(home / "bench.json")
    assert user_profile_directory() == home
    assert DeviceProfile.load("bench").to_dict() == profile.to_dict()
    with pytest.raises(ProfileError, match=r"known names: bench\); make one with"):
        DeviceProfile.load("other")
    with pytest.raises(ProfileError, match="is a directory"):
        DeviceProfile.load(tmp_path)
    with pytest.raises(ProfileError, match="there is no profile"):
        DeviceProfile.load(tmp_path / "absent.json")


def test_without_a_home_of_its_own_the_users_data_directory_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ENERGYBENCH_HOME", raising=False)
    assert user_profile_directory() == Path.home() / ".local" / "share" / "energybench" / "profiles"


def test_listing_shows_broken_profiles_with_the_reason(profile, home: Path) -> None:
    profile.save(home / "bench.json")
    (home / "torn.json").write_text("{")
    listed = {p.name: p for p in list_profiles()}
    assert listed["bench"].device == "cpu"
    assert listed["bench"].problem == ""
    assert "is damaged" in listed["torn"].problem


def test_a_failed_save_leaves_the_old_profile(profile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "p.json"
    profile.save(path)
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ProfileError, match="No space left"):
        profile.save(path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["p.json"]


def test_showing_says_what_a_person_needs(profile) -> None:
    shown = show_profile(profile)
    facts = dict(shown["facts"])
    assert facts["energy"] == "simulated, gross"
    assert facts["meter"] == "simulated, gain ±5.0%"
    assert "leave-one-workload-out" in facts["error"]
    assert shown["coefficients"][0]["name"] == "mac_fp32_j"
    assert "pJ/MAC" in shown["coefficients"][0]["value"]
    assert "its energy is simulated, not measured" in shown["doubts"]


def test_validating_names_what_physics_doubts(profile, tmp_path: Path) -> None:
    data = profile.to_dict()
    wide = data["coefficients"]["mac_fp32_j"]
    half = {**wide, **{k: wide[k] * 3 for k in ("value", "low", "high")}}
    data["coefficients"] = {"mac_bf16_j": half, **data["coefficients"]}
    data["covariance"] = np.diag([1e-26] + [1e-26] * 5).tolist()
    (tmp_path / "p.json").write_text(json.dumps(data))
    assert "mac_bf16_j is above mac_fp32_j, though the narrower type should cost less" in validate_profile(
        tmp_path / "p.json"
    )
    assert not any("narrower" in text for text in show_profile(profile)["doubts"])


def test_differences_are_weighed_by_their_errors(make_frame, truth) -> None:
    def made(seed: int, **changes: float) -> DeviceProfile:
        fit = fit_records(make_frame(seed=seed, truth={**truth, **changes}), validation=False, time_law=False)
        return DeviceProfile.from_fit(fit, name="x", environment={"clock_mhz": seed})

    facts, same = diff_profiles(made(1), made(2))
    assert facts == ["environment clock_mhz: 1 against 2"]
    assert not any(row.significant for row in same)
    _, changed = diff_profiles(made(1), made(2, byte_j=1.8e-10))
    significant = {row.name: row for row in changed if row.significant}
    assert set(significant) == {"byte_j"}
    assert significant["byte_j"].ratio == pytest.approx(2.0, rel=0.2)


def test_a_coefficient_that_one_profile_lacks_is_not_compared(profile, frame) -> None:
    other = DeviceProfile.from_fit(fit_records(frame, "cnn", validation=False), name="y")
    facts, rows = diff_profiles(profile, other)
    assert "equation: physical against cnn" in facts
    by_name = {row.name: row for row in rows}
    assert by_name["byte_j"].b_value is None
    assert by_name["alpha"].z is None
    assert by_name["alpha"].significant is None
