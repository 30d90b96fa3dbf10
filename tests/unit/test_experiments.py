"""Experiments: verdicts need figures that carry them, results are reproduced exactly, the page shows what is there."""

from __future__ import annotations

import hashlib
import json
import re
import runpy
import shutil
import tomllib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import pytest

from energybench.app.document_page import document_page
from energybench.app.experiment_energy import energy_figures, energy_verdict
from energybench.app.experiment_result import ANSWERS, FIGURE_KINDS, Answer, ExperimentResult, Figure, Verdict
from energybench.app.experiments import list_experiments, run_all, run_experiment
from energybench.app.findings_page import findings_page
from energybench.errors import MeterUnavailable, UsageError

ROOT = Path(__file__).parents[2]
EXPERIMENTS = ROOT / "experiments"
NAMES = [e.name for e in list_experiments(EXPERIMENTS)]
SECTIONS = ("The document's claim", "Prediction", "Command", "Outcome", "Limits")


@pytest.mark.parametrize("kind", FIGURE_KINDS)
def test_only_measured_joules_decide_a_claim_about_energy(kind: str) -> None:
    figure = Figure("x", 1.0, "J", kind)  # type: ignore[arg-type]
    for answer in ANSWERS:
        verdict = Verdict("D6", "energy", answer, ("x",), "because")  # type: ignore[arg-type]
        if answer == "not decidable here" or kind in ("measured", "replayed"):
            ExperimentResult((figure,), (verdict,))
        else:
            with pytest.raises(UsageError, match="no measured joule"):
                ExperimentResult((figure,), (verdict,))


def test_a_verdict_names_figures_of_its_result() -> None:
    figure = Figure("x", 1.0, "1")
    for names in ((), ("y",)):
        with pytest.raises(UsageError, match="deciding figures"):
            ExperimentResult((figure,), (Verdict("D9", "counts", "holds", names, "because"),))


@pytest.mark.parametrize("name", NAMES)
def test_an_experiment_is_whole_and_its_committed_verdicts_can_stand(name: str) -> None:
    readme = (EXPERIMENTS / name / "README.md").read_text(encoding="utf-8")
    assert [s for s in SECTIONS if f"\n## {s}\n" not in readme] == []
    result = ExperimentResult.load(EXPERIMENTS / name / "results")
    items = tomllib.loads((EXPERIMENTS / "document_items.toml").read_text(encoding="utf-8"))
    assert result.verdicts
    assert {v.item for v in result.verdicts} <= set(items)


@pytest.mark.parametrize("name", NAMES)
def test_a_prediction_is_the_one_written_before_the_data(name: str) -> None:
    """`predictions.sha256` was made from each README as first committed; a new experiment adds its line with it."""
    readme = (EXPERIMENTS / name / "README.md").read_text(encoding="utf-8")
    prediction = readme.partition("\n## Prediction\n")[2].partition("\n## ")[0]
    lines = (EXPERIMENTS / "predictions.sha256").read_text(encoding="utf-8").splitlines()
    assert f"{hashlib.sha256(prediction.encode()).hexdigest()}  {name}" in lines


@pytest.mark.parametrize("name", NAMES)
def test_a_small_part_gives_the_committed_figures(name: str) -> None:
    """Every experiment has a cheap part without times, which gives what is committed."""
    committed = {f.name: f for f in ExperimentResult.load(EXPERIMENTS / name / "results").figures}
    figures = runpy.run_path(str(EXPERIMENTS / name / "run.py"), run_name="experiment")["small"]()
    assert figures
    assert {f.kind for f in figures} <= {"counted", "simulated"}
    assert [f.name for f in figures if not f.reproduces(committed[f.name])] == []


@pytest.mark.parametrize("name", NAMES)
def test_the_readme_shows_the_pictures_that_are_there(name: str) -> None:
    readme = (EXPERIMENTS / name / "README.md").read_text(encoding="utf-8")
    shown = re.findall(r"]\(results/([^)]+)\)", readme)
    assert sorted(shown) == sorted(p.name for p in (EXPERIMENTS / name / "results").glob("*.svg"))
    assert "Not run yet" not in readme


def test_a_whole_experiment_reproduces_the_committed_result(tmp_path: Path) -> None:
    name = "007_padding_modes"
    shutil.copytree(EXPERIMENTS / name, tmp_path / name)
    outcome = run_experiment(tmp_path, "007")
    assert (outcome.code, outcome.compared, outcome.differences) == (0, True, ())
    committed = ExperimentResult.load(EXPERIMENTS / name / "results")
    assert ExperimentResult.load(tmp_path / name / "results").exact() == committed.exact() != {}


def test_the_committed_page_is_what_the_committed_results_say() -> None:
    assert (ROOT / "docs" / "document.md").read_text(encoding="utf-8") == document_page(EXPERIMENTS)


def test_the_committed_summary_says_the_numbers_of_the_committed_results() -> None:
    assert (ROOT / "docs" / "findings.md").read_text(encoding="utf-8") == findings_page(EXPERIMENTS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{{ figure("001", "nothing") }}', "experiment 001 has no figure 'nothing'"),
        ('{{ figure("999", "shapes") }}', "'999', which is not there"),
        ('{{ figure("001", "*") }}', "name one in findings.md.j2"),
    ],
)
def test_a_summary_with_a_number_of_no_result_is_refused(tmp_path: Path, text: str, message: str) -> None:
    shutil.copytree(EXPERIMENTS / "001_output_size", tmp_path / "001_output_size")
    (tmp_path / "findings.md.j2").write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=re.escape(message)):
        findings_page(tmp_path)


def test_every_item_has_code_that_exists() -> None:
    items = tomllib.loads((EXPERIMENTS / "document_items.toml").read_text(encoding="utf-8"))
    assert list(items) == [f"D{n}" for n in range(1, 35) if n != 26]
    assert [path for row in items.values() for path in row["code"] if not (ROOT / path).is_file()] == []


def test_running_all_goes_on_after_what_was_finished(tmp_path: Path) -> None:
    for name in ("001_first", "002_second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "README.md").write_text("# Why?\n", encoding="utf-8")
        (tmp_path / name / "run.py").write_text("open('runs', 'a').write('x')\n", encoding="utf-8")
    second = tmp_path / "002_second" / "run.py"
    works = second.read_text(encoding="utf-8")
    second.write_text("raise SystemExit(3)\n", encoding="utf-8")
    assert run_all(tmp_path, lambda line: None).code == 3
    second.write_text(works, encoding="utf-8")
    told: list[str] = []
    assert run_all(tmp_path, told.append).code == 0
    assert [told[0], told[1]] == ["1/2 001_first: finished before", "2/2 002_second …"]
    assert (tmp_path / "001_first" / "runs").read_text(encoding="utf-8") == "x"
    assert run_all(tmp_path, lambda line: None).code == 0  # nothing is remembered once all are done
    assert (tmp_path / "001_first" / "runs").read_text(encoding="utf-8") == "xx"


def test_a_result_survives_being_written_and_read(tmp_path: Path) -> None:
    result = ExperimentResult((Figure("x", 0.1, "1"),), (Verdict("D9", "counts", "holds", ("x",), "because"),))
    result.save(tmp_path)
    assert ExperimentResult.load(tmp_path) == result
    written = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))
    assert written["figures"] == [{"name": "x", "value": 0.1, "unit": "1", "kind": "counted"}]
    assert written["verdicts"] == json.loads(json.dumps([asdict(v) for v in result.verdicts]))


def _result(value: float, kind: str, within: float | None = None, answer: str = "holds in part") -> ExperimentResult:
    figure = Figure("x", value, "1", kind, within)  # type: ignore[arg-type]
    return ExperimentResult((figure,), (Verdict("D9", "counts", answer, ("x",), "because"),))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "within", "now", "same"),
    [
        ("counted", None, 1.0, True),
        ("counted", None, 1.0000001, False),
        ("simulated", None, 1.009, True),
        ("simulated", None, 1.02, False),
        ("timed", 1.5, 1.4, True),
        ("timed", 1.5, 1.6, False),
        ("timed", 1.5, 0.6, False),
        ("timed", None, 9.0, True),
    ],
)
def test_a_repeat_reproduces_as_its_kind_promises(kind: str, within: float | None, now: float, same: bool) -> None:
    differences = _result(now, kind, within).differences(_result(1.0, kind, within))
    assert (differences == []) is same
    assert same or "1 before" in differences[0]


def test_differences_name_verdicts_and_figures_that_come_and_go() -> None:
    before = _result(1.0, "counted")
    assert _result(1.0, "counted", answer="holds").differences(before) == [
        "D9 about counts: 'holds in part' before, 'holds' now"
    ]
    other = ExperimentResult((Figure("y", 1.0, "1"),), (Verdict("D10", "counts", "holds", ("y",), "because"),))
    assert other.differences(before) == [
        "x: gone",
        "y: new",
        "D9 about counts: 'holds in part' before, 'no verdict' now",
        "D10 about counts: 'no verdict' before, 'holds' now",
    ]


@pytest.mark.parametrize(("kind", "within"), [("counted", 1.5), ("simulated", 1.5), ("timed", 1.0), ("timed", 0.5)])
def test_a_factor_is_above_one_and_of_a_figure_that_varies(kind: str, within: float) -> None:
    with pytest.raises(UsageError, match="factor above 1"):
        _result(1.0, kind, within)


def test_a_verdict_about_time_rests_on_a_bounded_time() -> None:
    verdict = Verdict("D19", "time", "holds", ("x",), "because")
    for figure in (Figure("x", 1.0, "s"), Figure("x", 1.0, "s", "timed")):
        with pytest.raises(UsageError, match="about time"):
            ExperimentResult((figure,), (verdict,))
    ExperimentResult((Figure("x", 1.0, "s", "timed", 1.5),), (verdict,))


def test_a_verdict_on_an_unknown_item_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "001_question"
    ExperimentResult((Figure("x", 1.0, "1"),), (Verdict("D99", "counts", "holds", ("x",), "because"),)).save(
        folder / "results"
    )
    (folder / "README.md").write_text("# Why?\n", encoding="utf-8")
    (folder / "run.py").write_text("", encoding="utf-8")
    shutil.copy(EXPERIMENTS / "document_items.toml", tmp_path)
    with pytest.raises(UsageError, match=r"001_question has a verdict on 'D99'.*; add the item"):
        document_page(tmp_path)


def test_joules_decide_where_they_are_measured_and_are_absent_without_a_meter() -> None:
    calls = {"a": lambda: sum(range(1000)), "b": lambda: sum(range(2000))}
    modelled = energy_figures(calls, window_s=0.05, meter="modelled", tdp_w=65)
    assert [(f.name, f.kind) for f in modelled] == [("a.energy", "modelled"), ("b.energy", "modelled")]
    assert all(f.value > 0 for f in modelled)
    otherwise = Verdict("D23", "energy", "not decidable here", ("x",), "needs a meter")

    def decide(energy: Mapping[str, float]) -> tuple[Answer, str]:
        return "holds", f"{energy['a.energy']:g} J"

    for figures in ([], modelled):
        assert energy_verdict("D23", figures, decide, otherwise) is otherwise
    measured = [Figure("a.energy", 2.0, "J", "measured")]
    decided = energy_verdict("D23", measured, decide, otherwise)
    assert decided == Verdict("D23", "energy", "holds", ("a.energy",), "2 J")
    ExperimentResult(tuple(measured), (decided,))


def test_without_a_meter_there_are_no_joules(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_meter(*_: object, **__: object) -> None:
        raise MeterUnavailable("no meter; plug one in")

    monkeypatch.setattr("energybench.app.experiment_energy.measure", no_meter)
    assert energy_figures({"a": lambda: None}) == []
