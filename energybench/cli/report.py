"""``energybench report``: one HTML file that shows a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from energybench.cli.console import say
from energybench.cli.options import Out


def report(
    run: Annotated[Path, typer.Argument(help="Directory of a run.")],
    out: Out = None,
    figures: Annotated[
        list[str] | None, typer.Option(help="Also write every figure as svg, pdf or png; repeat for several.")
    ] = None,
    terminal: Annotated[bool, typer.Option("--terminal", help="Show the verdict and the tables here, too.")] = False,
) -> None:
    """Write the report of a run: verdict, fit, comparison, residuals, shares, roofline, power, provenance.

    One HTML file that needs no network, its numbers as JSON and a summary in Markdown beside it. What the run lacks
    (fit, profile, comparison) is made first.

    Example: energybench report runs/h100 --figures svg
    """
    from energybench.app.report import report_run

    written = report_run(run, out=out, figures=figures or ())
    if terminal:
        from energybench.cli.report_view import show_report

        show_report(written.content)
    say(f"report: {written.path}")
    say(f"beside: {written.path.with_suffix('.json')}, {written.path.with_suffix('.md')}")
    if written.figures:
        say(f"figures: {len(written.figures)} in {written.figures[0].parent}")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(report)
