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
) -> None:
    """Write the report of a run: fit, comparison, residuals, shares, coefficients, provenance.

    What the run lacks (fit, profile, comparison) is made first.

    Example: energybench report runs/h100
    """
    from energybench.app.report import write_report

    path = write_report(run, out=out)
    say(f"report: {path}")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(report)
