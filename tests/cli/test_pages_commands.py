"""The commands that the pages tell a reader to type: all parse, and the README's estimates run as printed."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
import typer

from energybench.cli.main import app
from energybench.cli.many_values import spread_values
from energybench.cli.wrapped import WRAPPING_COMMANDS, split_wrapped

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def commands_of(page: Path) -> list[list[str]]:
    """Arguments of each `energybench …` line of the page's code blocks, continued lines joined."""
    found = []
    for block in re.findall(r"^```\w*\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            if line.startswith("energybench "):
                found.append(shlex.split(line, comments=True)[1:])
    return found


COMMANDS = [pytest.param(argv, id=f"{page.stem}: {' '.join(argv)}") for page in PAGES for argv in commands_of(page)]


def parse(argv: list[str]) -> None:
    """Raises what the parser does; runs nothing."""
    own, _ = split_wrapped(argv, WRAPPING_COMMANDS)
    own = spread_values(own)
    group: Any = typer.main.get_command(app)
    group.commands[own[0]].make_context(own[0], own[1:])


@pytest.mark.parametrize("argv", COMMANDS)
def test_every_command_of_a_page_parses(argv: list[str]) -> None:
    parse(argv)


def test_the_pages_have_commands_and_a_wrong_one_does_not_parse() -> None:
    assert len(COMMANDS) >= 20
    with pytest.raises(Exception, match="No such option"):
        parse(["estimate", "my_models:resnet", "--imput", "1x3x224x224"])


def test_estimates_of_the_readme_run_as_printed(
    cli: Any, simulated_run: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    """With a profile of the virtual device by each of the names that the README gives to profiles."""
    (tmp_path / "my_models.py").write_text(
        "from torch import nn\n\n\ndef resnet():\n"
        "    return nn.Sequential(nn.Conv2d(3, 8, 7, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10))\n",
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("h100.json", "rtx.json", "virtual.json"):
        shutil.copy(simulated_run / "profile.json", tmp_path / name)
    asked = [argv for argv in commands_of(ROOT / "README.md") if argv[0] in ("count", "estimate")]
    assert len(asked) >= 6
    for argv in asked:
        outcome = cli(*argv)
        assert outcome.code == 0, (argv, outcome.err)
        assert argv[0] == "count" or "simulated" in outcome.out.lower()
