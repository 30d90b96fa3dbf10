"""Help: every command has one with an example, and none of it imports anything heavy."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

COMMANDS = [
    "doctor",
    "kernels",
    "count",
    "measure",
    "calibrate",
    "time-operators",
    "replay",
    "fit",
    "profile show",
    "profile validate",
    "profile diff",
    "profile list",
    "estimate",
    "compare",
    "compare-runs",
    "watch",
    "experiments list",
    "experiments run",
    "experiments page",
    "report",
    "quickstart",
]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example(cli: Any, command: str) -> None:
    outcome = cli(*command.split(), "--help")
    assert outcome.code == 0
    assert f"energybench {command.split()[0]}" in outcome.out
    assert "Example" in outcome.out


def test_top_level_lists_every_command(cli: Any) -> None:
    out = cli("--help").out
    for command in COMMANDS:
        assert command.split()[0] in out


def test_version(cli: Any) -> None:
    assert cli("--version").out.startswith("energybench 0.")


def test_help_imports_nothing_heavy() -> None:
    heavy = ("torch", "pandas", "numpy", "scipy", "plotly", "pynvml", "jinja2")
    code = (
        "import sys\nfrom energybench.cli.main import run\nassert run(['--help']) == 0\n"
        f"print('HEAVY:' + ','.join(m for m in {heavy} if m in sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "HEAVY:"
