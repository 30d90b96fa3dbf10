"""The main job through the command line: calibrate a virtual device, fit, estimate, compare, report."""

from __future__ import annotations

import json
import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest

from energybench.cli.main import run


def test_planted_coefficients_lie_in_their_intervals(cli: Any, scenario_path: Path, tmp_path: Path) -> None:
    """95 % intervals of five coefficients over four seeds: 19 hits of 20 are expected, 16 or fewer come once in 400."""
    planted = tomllib.loads(scenario_path.read_text(encoding="utf-8"))["planted"]
    hits = 0
    for seed in range(4):
        run_path = tmp_path / str(seed)
        assert cli("calibrate", "--meter", f"simulated:{scenario_path}", "--out", run_path, "--seed", seed).code == 0
        outcome = cli("fit", run_path, "--json")
        assert outcome.code == 0, outcome.err
        data = outcome.json
        assert data["equation"] == "physical"
        assert data["kind"] == "simulated"
        assert data["validation"]
        assert set(planted) == set(data["params"])
        for name, truth in planted.items():
            parameter = data["params"][name]
            hits += parameter["low"] <= truth <= parameter["high"]
            assert parameter["verdict"] in ("identified", "weak"), (name, parameter)
            assert abs(parameter["value"] / truth - 1) < 0.25
            assert parameter["unit"]
            assert parameter["bse"] > 0
    assert hits >= 17


def test_no_dry_run_is_measured(cli: Any, simulated_run: Path) -> None:
    for line in (simulated_run / "records.jsonl").read_text(encoding="utf-8").splitlines():
        assert json.loads(line)["kind"] == "simulated"
    profile = cli("profile", "show", simulated_run / "profile.json", "--json").json
    assert profile["kind"] == "simulated"
    shown = cli("profile", "show", simulated_run / "profile.json")
    assert "SIMULATED" in shown.out


def test_estimate_has_its_fixed_keys_and_kind(cli: Any, simulated_run: Path, model_module: str) -> None:
    outcome = cli(
        "estimate", f"{model_module}:cnn", "--input", "1x3x32x32", "--profile", simulated_run / "profile.json", "--json"
    )
    assert outcome.code == 0, outcome.err
    data = outcome.json
    assert data["energy_j"] > 0
    assert data["interval"]["low_j"] <= data["energy_j"] <= data["interval"]["high_j"]
    assert data["interval"]["level"] == 0.9
    assert data["time_kind"] == "predicted"
    assert data["kind"] == "simulated"
    assert isinstance(data["extrapolated"], bool)
    timed = cli(
        "estimate",
        f"{model_module}:cnn",
        "--input",
        "1x3x32x32",
        "--profile",
        simulated_run / "profile.json",
        "--time-s",
        "0.01",
        "--json",
    ).json
    assert timed["time_kind"] == "measured"
    assert timed["time_s"] == 0.01
    text = cli("estimate", f"{model_module}:cnn", "--input", "1x3x32x32", "--profile", simulated_run / "profile.json")
    assert "SIMULATED" in text.out


def test_compare_has_its_fixed_keys_and_limit(cli: Any, simulated_run: Path) -> None:
    profile = simulated_run / "profile.json"
    data = cli("compare", simulated_run, "--profile", profile, "--json").json
    assert {"rows", "median_ape", "null_models"} <= set(data)
    assert data["kind"] == "simulated"
    assert 0 <= data["median_ape"] < 0.1
    nulls = [score["median_ape"] for score in data["null_models"].values() if score["median_ape"] is not None]
    assert len(nulls) >= 3
    assert data["median_ape"] < min(nulls)
    assert cli("compare", simulated_run, "--profile", profile, "--fail-above", "50%").code == 0
    assert cli("compare", simulated_run, "--profile", profile, "--fail-above", "0.0001%").code == 1


def test_replay_agrees_and_finds_a_changed_record(cli: Any, simulated_run: Path, tmp_path: Path) -> None:
    assert cli("replay", simulated_run).code == 0
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in simulated_run.iterdir():
        if path.is_file():
            (copy / path.name).write_bytes(path.read_bytes())
    lines = (copy / "records.jsonl").read_text(encoding="utf-8").splitlines()
    row = json.loads(lines[4])
    row["energy_j"] *= 1.001
    lines[4] = json.dumps(row)
    (copy / "records.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    outcome = cli("replay", copy, "--json")
    assert outcome.code == 4
    assert len(outcome.json["differences"]) == 1


def test_report_is_written_and_says_simulated(cli: Any, simulated_run: Path, tmp_path: Path) -> None:
    outcome = cli("report", simulated_run, "--out", tmp_path / "report.html")
    assert outcome.code == 0, outcome.err
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "simulated" in page.lower()


def test_compare_runs_of_two_seeds_shows_no_difference(
    cli: Any, simulated_run: Path, scenario_path: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    assert run(["calibrate", "--meter", f"simulated:{scenario_path}", "--out", str(other), "--seed", "4"]) == 0
    data = cli("compare-runs", simulated_run, other, "--json").json
    assert data["kind"] == "simulated"
    assert abs(data["change"]) < 0.02
    assert "%" in data["verdict"]


def test_a_domain_is_compared_by_the_share_of_the_calls(cli: Any, simulated_run: Path, tmp_path: Path) -> None:
    """More waiting at the edges of a window, an idle window or a discarded one is no difference of a domain."""
    other = tmp_path / "other"
    shutil.copytree(simulated_run, other)
    records = [json.loads(line) for line in (other / "records.jsonl").read_text(encoding="utf-8").splitlines()]
    discarded = next(record for record in records if record["split"] == "fit" and record.get("valid", True))
    discarded |= {"valid": False, "invalid_reason": "planted"}
    for number, record in enumerate(records):
        unlike = record["split"] == "idle" or not record.get("valid", True)
        record["energy_j"] *= 9.0 if unlike else 1.0
        for domain in record["domains"].values():
            domain["energy_j"] *= 1.0 + 0.1 * (number % 3)
    (other / "records.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    changes = cli("compare-runs", simulated_run, other, "--json").json["by_domain"]
    assert changes
    for name, change in changes.items():
        assert change["change"] == pytest.approx(0, abs=1e-9), name


def test_profile_commands(cli: Any, simulated_run: Path) -> None:
    profile = simulated_run / "profile.json"
    assert cli("profile", "validate", profile).code == 0
    rows = cli("profile", "diff", profile, profile, "--json").json["rows"]
    assert {row["name"] for row in rows} >= {"mac_fp32_j", "static_power_w"}
    assert cli("profile", "list").code == 0


@pytest.mark.parametrize("equation", ["cnn", "cnn-literal", "cnn-total-flops", "rnn", "transformer", "mean-power"])
def test_every_equation_can_be_fitted_from_the_command_line(cli: Any, simulated_run: Path, equation: str) -> None:
    outcome = cli("fit", simulated_run, "--equation", equation, "--json")
    assert outcome.code == 0, outcome.err
    assert outcome.json["equation"] == equation


def test_measure_a_target_on_the_virtual_device(cli: Any, scenario_path: Path, model_module: str) -> None:
    outcome = cli(
        "measure", f"{model_module}:cnn", "--input", "1x3x32x32", "--meter", f"simulated:{scenario_path}", "--json"
    )
    assert outcome.code == 0, outcome.err
    data = outcome.json
    counts = cli("count", f"{model_module}:cnn", "--input", "1x3x32x32", "--json").json["total"]
    truth_j = (
        1.1e-11 * counts["macs"]
        + 6.0e-12 * counts["other_flops"]
        + 9.0e-11 * counts["bytes"]
        + 2.0e-6 * counts["launches"]
        + 41.0 * (max(counts["macs"] / 2.0e12, counts["bytes"] / 1.0e11) + 5.0e-6 * counts["launches"])
    )
    assert data["kind"] == "simulated"
    assert data["energy_j"] == pytest.approx(truth_j, rel=0.03)
    assert abs(data["energy_j"] - truth_j) < 4 * data["energy_uncertainty_j"]


def test_measure_a_target_for_real_is_modelled_only_when_asked(cli: Any, model_module: str) -> None:
    data = cli(
        "measure",
        f"{model_module}:cnn",
        "--input",
        "1x3x32x32",
        *("--meter", "modelled", "--tdp-w", "65", "--calls", "20", "--json"),
    ).json
    assert data["kind"] == "modelled"
    assert data["calls"] == 20
    assert data["energy_j"] > 0


def test_measure_passes_on_exit_code_and_output(cli: Any) -> None:
    outcome = cli("measure", "--meter", "modelled", "--tdp-w", "65", "--", "sh", "-c", "echo hello; exit 9")
    assert outcome.code == 9
    assert outcome.out == "hello\n"
    assert "modelled" in outcome.err


def test_watch_says_no_running_energy_where_the_meter_knows_none(cli: Any) -> None:
    """CPU time of a program is known when it has ended: until then there is no figure, rather than a tiny one."""
    argv = ("watch", "--meter", "modelled", "--tdp-w", "65", "--every-s", "0.1", "--", "sh", "-c", "sleep 0.45; exit 3")
    outcome = cli(*argv)
    assert outcome.code == 3
    lines = outcome.err.strip().splitlines()
    assert lines[0] == "energybench: the meter modelled knows a program's energy when it has ended"
    assert not [line for line in lines if "so far" in line]
    assert all("modelled" in line for line in lines if " J " in line)


def test_experiments_are_listed_and_run(cli: Any, tmp_path: Path) -> None:
    folder = tmp_path / "experiments" / "007_question"
    folder.mkdir(parents=True)
    (folder / "README.md").write_text("# Does it run?\n", encoding="utf-8")
    (folder / "run.py").write_text("import sys; print('ran'); sys.exit(5)\n", encoding="utf-8")
    listed = cli("experiments", "list", "--json").json["experiments"]
    assert listed == [{"name": "007_question", "question": "Does it run?", "has_results": False}]
    outcome = cli("experiments", "run", "007")
    assert (outcome.code, outcome.out) == (5, "ran\n")


def test_compare_names_the_term_that_is_off(cli: Any, simulated_run: Path, scenario_path: Path, tmp_path: Path) -> None:
    """A device whose bytes cost a tenth less than the profile says: that term is named, with its factor."""
    text = scenario_path.read_text(encoding="utf-8")
    assert "byte_j = 9.0e-11" in text
    other = tmp_path / "other.toml"
    other.write_text(text.replace("byte_j = 9.0e-11", "byte_j = 8.1e-11"), encoding="utf-8")
    assert cli("calibrate", "--meter", f"simulated:{other}", "--out", "other").code == 0
    profile = simulated_run / "profile.json"
    data = cli("compare", "other", "--profile", profile, "--json", "--worst", 3).json
    assert data["term_off"]["term"] == "byte_j"
    assert data["term_off"]["factor"] == pytest.approx(0.9, abs=0.02)
    assert [e["error_rel"] for e in data["explanations"]] == [w["error_rel"] for w in data["worst"][:3]]
    assert all(abs(e["left_error_rel"]) < abs(e["error_rel"]) / 2 for e in data["explanations"])
    shown = cli("compare", "other", "--profile", profile)
    assert "byte_j is off: 0." in shown.out
    assert "too high; byte_j at 0." in shown.out
