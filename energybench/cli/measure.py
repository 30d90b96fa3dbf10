"""``energybench measure``: the energy of a model call, or of any command."""

from __future__ import annotations

from typing import Annotated

import typer

from energybench.cli.console import banner, emit_json, say, table, warn
from energybench.cli.options import Inputs, Iteration, JsonFlag, Meter, TdpW, Threads, TotalIterations
from energybench.errors import UsageError
from energybench.units import format_si


def measure(
    context: typer.Context,
    target: Annotated[str | None, typer.Argument(help="package.module:factory or a .pt2 program.")] = None,
    inputs: Inputs = None,
    device: Annotated[
        str | None,
        typer.Option(
            help="cpu or cuda:N; with a command cuda:0,1 or cuda:all. Default: CPU for a TARGET, all for a command."
        ),
    ] = None,
    meter: Meter = "auto",
    tdp_w: TdpW = None,
    threads: Threads = None,
    calls: Annotated[int | None, typer.Option(help="Calls in the window; default: enough for 5 s.", min=1)] = None,
    total_iterations: TotalIterations = None,
    iteration: Iteration = None,
    json_output: JsonFlag = False,
) -> int:
    """Measure the energy of a model's forward pass, or of any command after ``--``.

    The command's own exit code and signals are passed on; what was measured goes to standard error. With --of a short
    run says what a whole one will take, with a 95 % interval: its iterations are counted by --iteration, or told by
    energybench.callbacks.

    Examples: energybench measure -- python train.py; energybench measure package.module:factory --input 1x3x224x224;
    energybench measure --of 300 --iteration 'epoch [0-9]+' -- python train.py --epochs 8
    """
    wrapped: list[str] | None = context.obj
    if (target is None) == (wrapped is None):
        raise UsageError("give either a TARGET or a command after --, as in: energybench measure -- python train.py")
    if wrapped is not None:
        return _command(wrapped, meter, device, tdp_w, total_iterations, iteration, json_output)
    if total_iterations is not None or iteration is not None:
        raise UsageError("--of and --iteration are for a command after --; a model's energy per call scales with calls")
    from energybench.app.measure_target import measure_target

    assert target is not None
    value = measure_target(
        target, inputs=inputs or (), device=device or "cpu", meter=meter, tdp_w=tdp_w, threads=threads, calls=calls
    )
    if json_output:
        emit_json(value.to_dict())
        return 0
    banner(value.kind)
    rows = [(name, format_si(d.energy_j, "J"), spread(d.energy_uncertainty_j)) for name, d in value.domains.items()]
    table("", ("domain", "energy per call", "1 σ"), rows, right=("energy per call", "1 σ"))
    for note in value.notes:
        say(f"note: {note}")
    say(
        f"{value.kind}: {format_si(value.energy_j, 'J')} ({spread(value.energy_uncertainty_j)}) per call of "
        f"{format_si(value.time_s, 's')}, {value.calls} calls, meter {value.meter}"
    )
    return 0


def spread(uncertainty_j: float | None) -> str:
    """One standard deviation for printing."""
    return "uncertainty unknown" if uncertainty_j is None else f"± {format_si(uncertainty_j, 'J')}"


def _command(
    argv: list[str],
    meter: str,
    device: str | None,
    tdp_w: float | None,
    total_iterations: int | None,
    iteration: str | None,
    json_output: bool,
) -> int:
    from energybench.app.measure import measure_command
    from energybench.app.watch import summary_line

    if not argv:
        raise UsageError("no command follows --; write: energybench measure -- python train.py")
    if iteration is not None and total_iterations is None:
        raise UsageError("--iteration counts towards a whole run; say with --of how many iterations that has")
    code, measurement, whole = measure_command(
        argv, meter=meter, device=device, tdp_w=tdp_w, total_iterations=total_iterations, iteration=iteration
    )
    if json_output:
        extrapolated = {} if total_iterations is None else {"whole_run": None if whole is None else whole.to_dict()}
        emit_json({"command": argv, "exit_code": code, **measurement.to_dict(), **extrapolated})
        return code
    for name, value in measurement.domains.items():
        warn(f"energybench:   {name}: {format_si(value.energy_j, 'J')} {spread(value.uncertainty_j)}")
    for note in measurement.notes:
        warn(f"energybench: note: {note}")
    warn(summary_line(measurement))
    if whole is not None:
        warn(f"energybench: {whole}")
    elif total_iterations is not None:
        warn("energybench: too few iterations were seen to extrapolate from: four, some tenths of a second apart")
    return code


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(measure)
