"""The experiments of a checkout: each a folder with a README, a ``run.py`` and results; never imported."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from energybench.errors import UsageError


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
