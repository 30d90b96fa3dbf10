"""``energybench compare-runs``: did a change save energy?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from energybench.cli.console import banner, emit_json, percent, say, table
from energybench.cli.options import JsonFlag
from energybench.units import format_si


def compare_runs(
    before: Annotated[Path, typer.Argument(help="The run before the change.")],
    after: Annotated[Path, typer.Argument(help="The run after it.")],
    json_output: JsonFlag = False,
) -> None:
    """Compare two runs workload by workload: paired difference with its interval, and a verdict in words.

    Example: energybench compare-runs runs/before runs/after
    """
    from energybench.app.compare_runs import compare_run_files

    difference = compare_run_files(before, after)
    if json_output:
        emit_json(difference.to_dict())
        return
    banner(difference.kind)
    rows = [
        (r.workload, format_si(r.before_j, "J"), format_si(r.after_j, "J"), percent(r.change, signed=True))
        for r in difference.rows
    ]
    table("", ("workload", "before", "after", "change"), rows, right=("before", "after", "change"))
    say(difference.verdict)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("compare-runs")(compare_runs)
