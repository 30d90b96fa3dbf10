"""``energybench time-operators``: time thousands of operators without a meter, for a profile's time law."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from energybench.cli.console import emit_json, say
from energybench.cli.options import Device, JsonFlag, Threads


def time_operators(
    out: Annotated[Path, typer.Option(help="Directory for timings.jsonl, of a run or of its own.")],
    device: Device = "cpu",
    count: Annotated[int, typer.Option(help="How many operators, each of another shape.", min=1)] = 2000,
    dtype: Annotated[str, typer.Option(help="Element type: float32, float16, bfloat16.")] = "float32",
    seed: Annotated[int, typer.Option(help="Seed of shapes and inputs.")] = 0,
    threads: Threads = None,
    networks: Annotated[
        bool, typer.Option(help="Also time networks, which calibrate intervals of predicted times.")
    ] = False,
    json_output: JsonFlag = False,
) -> None:
    """Time operators of random shapes; `fit` learns from them how long a network takes that was never run.

    Example: energybench time-operators --device cuda:0 --out runs/h100, then energybench fit runs/h100 --out h100.json
    """
    from energybench.app.time_operators import time_operators as run

    path = run(device=device, count=count, out=out, dtype=dtype, seed=seed, threads=threads, networks=networks)
    if json_output:
        emit_json({"timings": str(path), "operators": count})
        return
    say(f"{count} operators timed: {path}")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("time-operators")(time_operators)
