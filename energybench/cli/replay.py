"""``energybench replay``: derive every value of a run again from its raw readings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from energybench.cli.console import banner, emit_json, say
from energybench.cli.options import JsonFlag


def replay(
    run: Annotated[Path, typer.Argument(help="Directory of a run.")],
    json_output: JsonFlag = False,
) -> int:
    """Derive every energy of a run again from its recorded counter pairs and compare with its records.

    Exit code 4 when a value differs.

    Example: energybench replay runs/h100
    """
    from energybench.app.replay import replay as replay_run

    result = replay_run(run)
    if json_output:
        emit_json(result.to_dict())
    else:
        banner("replayed")
        say(f"{result.rows} windows derived again, {len(result.differences)} differ from the records")
        for difference in result.differences[:20]:
            say(f"  {difference}")
    return 4 if result.differences else 0


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(replay)
