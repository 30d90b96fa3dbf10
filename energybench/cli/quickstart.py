"""``energybench quickstart``: the whole story on this machine, from doctor to report."""

from __future__ import annotations

from typing import Annotated

import typer

from energybench.cli.console import say
from energybench.cli.options import Device, Out, TdpW


def quickstart(
    device: Device = "cpu",
    meter: Annotated[
        str, typer.Option(help="auto uses a real meter where there is one and modelled energy, announced, otherwise.")
    ] = "auto",
    tdp_w: TdpW = None,
    out: Out = None,
) -> int:
    """Doctor, verify counts, calibrate, fit, profile, estimate, compare, report: in at most two minutes.

    Example: energybench quickstart
    """
    from energybench.app.quickstart import run_quickstart
    from energybench.cli.progress import calibration_progress

    with calibration_progress() as progress:
        outcome = run_quickstart(device=device, meter=meter, tdp_w=tdp_w, out=out, say=say, progress=progress)
    say()
    for line in outcome.findings:
        say(line)
    say()
    say(f"profile: {outcome.profile_path}")
    say(f"report:  {outcome.report_path}")
    return 0


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(quickstart)
