"""The experiments of a checkout: each a folder with a README, a ``run.py`` and results; never imported."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

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


def run_experiment(directory: Path, name: str) -> int:
    """Run the one experiment whose number or name is `name`, and return its exit code. Raises UsageError."""
    found = [e.name for e in list_experiments(directory) if e.name == name or e.name.split("_")[0] == name]
    if len(found) != 1:
        known = ", ".join(e.name for e in list_experiments(directory)) or "none"
        raise UsageError(f"experiment {name!r} names {len(found)} experiments; known: {known}")
    script = (directory / found[0] / "run.py").resolve()
    return subprocess.run([sys.executable, str(script)], cwd=script.parent, check=False).returncode


def run_all(directory: Path, tell: Callable[[str], None]) -> int:
    """Run every experiment in order, and return the first exit code that is not 0, or 0.

    Resumable: ``.finished.json`` in `directory` keeps what an interrupted call has finished, by the hash of its script,
    until all are done. `tell` gets a line before each. Raises UsageError.
    """
    experiments = list_experiments(directory)
    state = directory / ".finished.json"
    finished: dict[str, str] = json.loads(state.read_text(encoding="utf-8")) if state.is_file() else {}
    for number, experiment in enumerate(experiments, 1):
        digest = hashlib.sha256((directory / experiment.name / "run.py").read_bytes()).hexdigest()
        if finished.get(experiment.name) == digest:
            tell(f"{number}/{len(experiments)} {experiment.name}: finished before")
            continue
        tell(f"{number}/{len(experiments)} {experiment.name}")
        code = run_experiment(directory, experiment.name)
        if code:
            return code
        finished[experiment.name] = digest
        write_text_atomic(state, json.dumps(finished))
    state.unlink(missing_ok=True)
    return 0
