"""``energybench watch``: the running energy of a command while it runs."""

from __future__ import annotations

from typing import Annotated

import typer

from energybench.cli.console import warn
from energybench.cli.options import Device, Iteration, Meter, TdpW, TotalIterations
from energybench.errors import UsageError


def watch(
    context: typer.Context,
    device: Device = "cpu",
    meter: Meter = "auto",
    tdp_w: TdpW = None,
    every_s: Annotated[float, typer.Option("--every-s", help="Seconds between lines.", min=0.1)] = 5.0,
    total_iterations: TotalIterations = None,
    iteration: Iteration = None,
) -> int:
    """Run a command and print its running energy and mean power to standard error; its exit code is passed on.

    A training that uses energybench.callbacks also tells its steps and the energy estimated for them, which then stand
    beside what was measured. Where it is known how many there will be (the trainers' callbacks tell; --of), the energy
    of the whole run is extrapolated from those done, with a 95 % interval.

    Examples: energybench watch --every-s 10 -- python train.py;
    energybench watch --of 300 --iteration 'epoch [0-9]+' -- python train.py
    """
    wrapped: list[str] | None = context.obj
    if not wrapped:
        raise UsageError("no command follows --; write: energybench watch -- python train.py")
    from energybench.app.watch import watch_command

    return watch_command(
        wrapped,
        meter=meter,
        device=device,
        tdp_w=tdp_w,
        every_s=every_s,
        total_iterations=total_iterations,
        iteration=iteration,
        report=warn,
    )


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(watch)
