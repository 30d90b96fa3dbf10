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
        (
            r.workload,
            format_si(r.before_j, "J"),
            format_si(r.after_j, "J"),
            percent(r.change, signed=True),
            _interval(r.low, r.high),
            percent(r.time_change, signed=True),
            "one window" if r.verdict == "unknown" else r.verdict,
        )
        for r in sorted(difference.rows, key=lambda r: r.change)
    ]
    right = ("before", "after", "change", "95 % interval", "time")
    table("", ("workload", *right, ""), rows, right=right)
    if difference.by_domain:
        domains = [
            (name, percent(c.change, signed=True), _interval(c.low, c.high), _p(c.p_value), c.verdict)
            for name, c in difference.by_domain.items()
        ]
        numbers = ("change", "95 % interval", "p")
        table("", ("domain", *numbers, ""), domains, right=numbers)
    say(difference.verdict)
    for sentence in difference.details:
        say(sentence)
    for names, where in ((difference.only_before, before), (difference.only_after, after)):
        if names:
            say(f"note: {len(names)} workloads are in {where} only, the first {names[0]}")


def _interval(low: float | None, high: float | None) -> str:
    return "–" if low is None or high is None else f"{percent(low, signed=True)} … {percent(high, signed=True)}"


def _p(value: float | None) -> str:
    return "–" if value is None else f"{value:.2g}"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("compare-runs")(compare_runs)
