"""Bad input: one line that names the fix, and the documented exit code; never a traceback."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from energybench import meters
from energybench.errors import MeterPermissionError
from energybench.meters import rapl


def assert_refused(outcome: Any, code: int, *words: str) -> None:
    assert outcome.code == code, (outcome.out, outcome.err)
    assert outcome.out == ""
    assert len(outcome.err.strip().splitlines()) == 1, outcome.err
    assert "Traceback" not in outcome.err
    for word in words:
        assert word in outcome.err, outcome.err


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("no_such_package_xyz:factory", ["no_such_package_xyz"]),
        ("json:no_such_name", ["no_such_name"]),
        ("not-a-target", ["not-a-target"]),
        ("missing.pt2", ["missing.pt2"]),
    ],
)
def test_unknown_target(cli: Any, target: str, words: list[str]) -> None:
    assert_refused(cli("count", target, "--input", "1x3x8x8"), 2, *words)


@pytest.mark.parametrize("shape", ["1x3x-8x8", "1x3xx8", "abc", "1x3x8x8:float12", ""])
def test_bad_input_shape(cli: Any, model_module: str, shape: str) -> None:
    assert_refused(cli("count", f"{model_module}:cnn", "--input", shape), 2)


def test_shape_that_the_model_refuses(cli: Any, model_module: str) -> None:
    assert_refused(cli("count", f"{model_module}:cnn", "--input", "1x5x8x8"), 2)


def test_no_meter_is_its_own_exit_code(cli: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    real = rapl.open_rapl
    monkeypatch.setattr(rapl, "open_rapl", lambda: real(tmp_path))
    assert_refused(cli("calibrate", "--meter", "rapl"), 3, "powercap")
    assert_refused(cli("calibrate"), 3)
    assert_refused(cli("measure", "--meter", "rapl", "--", "true"), 3)
    assert not (tmp_path / "runs").exists()


def test_permission_is_the_same_exit_code(cli: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise MeterPermissionError("energy_uj may not be read; sudo chmod -R a+r /sys/class/powercap/intel-rapl")

    monkeypatch.setattr(meters, "open_meter", refuse)
    assert_refused(cli("doctor", "--meter", "rapl"), 3, "chmod")


def test_records_absent_or_corrupt(cli: Any, tmp_path: Path, simulated_run: Path) -> None:
    assert_refused(cli("fit", tmp_path / "nothing"), 4, "nothing")
    lines = (simulated_run / "records.jsonl").read_text(encoding="utf-8").splitlines()
    damaged = tmp_path / "records.jsonl"
    damaged.write_text("\n".join([lines[0], lines[1][:50], *lines[2:]]) + "\n", encoding="utf-8")
    assert_refused(cli("fit", damaged), 4, "records.jsonl:2")
    row = json.loads(lines[1])
    nan = json.dumps({**row, "energy_j": float("nan")})
    damaged.write_text("\n".join([lines[0], nan, *lines[2:]]) + "\n", encoding="utf-8")
    assert_refused(cli("fit", damaged), 4, "records.jsonl:2", "NaN")


def test_profile_absent_corrupt_or_of_another_version(cli: Any, tmp_path: Path, simulated_run: Path) -> None:
    assert_refused(cli("profile", "show", "no-such-profile"), 4, "no-such-profile")
    path = tmp_path / "profile.json"
    path.write_text("{", encoding="utf-8")
    assert_refused(cli("profile", "validate", path), 4, "profile.json")
    data = json.loads((simulated_run / "profile.json").read_text(encoding="utf-8"))
    path.write_text(json.dumps({**data, "schema_version": 999}), encoding="utf-8")
    assert_refused(cli("profile", "validate", path), 4, "999")


@pytest.mark.parametrize(
    "argv",
    [
        ["no-such-command"],
        ["calibrate", "--design", "enormous"],
        ["calibrate", "--budget", "soon"],
        ["calibrate", "--meter", "wishful"],
        ["calibrate", "--meter", "simulated:no-such-file.toml"],
        ["calibrate", "--device", "tpu"],
        ["count"],
        ["measure"],
        ["measure", "--"],
        ["watch"],
        ["fit", "x", "--target", "both"],
        ["experiments", "run", "999", "--directory", "."],
    ],
)
def test_usage_errors(cli: Any, argv: list[str]) -> None:
    outcome = cli(*argv)
    assert outcome.code == 2, (outcome.out, outcome.err)
    assert outcome.err.startswith("energybench: ")
    assert len(outcome.err.strip().splitlines()) == 1


def test_unknown_equation(cli: Any, simulated_run: Path) -> None:
    assert_refused(cli("fit", simulated_run, "--equation", "e=mc2"), 2, "physical")


def test_unexpected_error_is_one_line(cli: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import energybench.app.doctor as doctor

    def explode() -> None:
        raise RuntimeError("first line\nsecond line")

    monkeypatch.setattr(doctor, "examine", explode)
    assert_refused(cli("doctor"), 1, "RuntimeError", "ENERGYBENCH_DEBUG=1")
