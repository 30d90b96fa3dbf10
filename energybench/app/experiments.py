"""The experiments of a checkout: each a folder with a README, a ``run.py`` and results; never imported."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from energybench.app.experiment_result import ExperimentResult
from energybench.errors import UsageError
from energybench.records.atomic_file import write_text_atomic


@dataclass(frozen=True, slots=True)
class Experiment:
    """One folder ``NNN_question``; `question` is the first heading of its README."""

    name: str
    question: str
    has_results: bool

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready mapping."""
        return asdict(self)


def _question(readme: Path) -> str:
    for line in readme.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            return line.lstrip("# ").strip()
    return "(its README has no heading)"


def list_experiments(directory: Path) -> list[Experiment]:
    """The experiments in `directory`, by number. Raises UsageError when there is no such directory."""
    if not directory.is_dir():
        raise UsageError(f"{directory} is no directory; run this in a checkout, or give --directory")
    return [
        Experiment(folder.name, _question(folder / "README.md"), any((folder / "results").glob("*")))
        for folder in sorted(directory.iterdir())
        if (folder / "run.py").is_file() and (folder / "README.md").is_file()
    ]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run gave.

    `code`         exit code
    `differences`  figures and verdicts that are not as in the results that were there before
    `compared`     whether there were such results
    """

    code: int
    differences: tuple[str, ...] = ()
    compared: bool = False

    def __str__(self) -> str:
        if self.code:
            return f"failed with exit code {self.code}"
        if not self.compared:
            return "no earlier result to compare with"
        return "as before" if not self.differences else f"{len(self.differences)} differ from the result before"


def run_experiment(directory: Path, name: str) -> Outcome:
    """Run the one experiment whose number or name is `name`, and compare what it wrote with what was there.

    Raises UsageError, and RecordError where it left no result that can be read.
    """
    found = [e.name for e in list_experiments(directory) if e.name == name or e.name.split("_")[0] == name]
    if len(found) != 1:
        known = ", ".join(e.name for e in list_experiments(directory)) or "none"
        raise UsageError(f"experiment {name!r} names {len(found)} experiments; known: {known}")
    script = (directory / found[0] / "run.py").resolve()
    results = script.parent / "results"
    earlier = ExperimentResult.load(results) if (results / "result.json").is_file() else None
    code = subprocess.run([sys.executable, str(script)], cwd=script.parent, check=False).returncode
    if code or earlier is None:
        return Outcome(code)
    return Outcome(0, tuple(ExperimentResult.load(results).differences(earlier)), compared=True)


def run_all(directory: Path, tell: Callable[[str], None]) -> Outcome:
    """Run every experiment in order; stops at the first that fails. The differences of all are named by experiment.

    Resumable: ``.finished.json`` in `directory` keeps what an interrupted call has finished, and what differed, by the
    hash of its script, until all are done. `tell` gets lines on the way. Raises UsageError and RecordError as
    `run_experiment`.
    """
    experiments = list_experiments(directory)
    state = directory / ".finished.json"
    finished: dict[str, dict[str, Any]] = json.loads(state.read_text(encoding="utf-8")) if state.is_file() else {}
    for number, experiment in enumerate(experiments, 1):
        where = f"{number}/{len(experiments)} {experiment.name}"
        digest = hashlib.sha256((directory / experiment.name / "run.py").read_bytes()).hexdigest()
        if finished.get(experiment.name, {}).get("sha256") == digest:
            tell(f"{where}: finished before")
            continue
        tell(f"{where} …")
        begin_s = time.monotonic()
        outcome = run_experiment(directory, experiment.name)
        tell(f"{where}: {time.monotonic() - begin_s:.0f} s, {outcome}")
        if outcome.code:
            return outcome
        for line in outcome.differences:
            tell(f"    {line}")
        finished[experiment.name] = {"sha256": digest, "differences": outcome.differences}
        write_text_atomic(state, json.dumps(finished))
    state.unlink(missing_ok=True)
    return Outcome(0, tuple(f"{name}: {line}" for name, done in finished.items() for line in done["differences"]))
