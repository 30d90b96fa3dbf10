"""Options that several commands share, and the parsing of what they accept."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Final

import typer

from energybench.errors import UsageError
from energybench.units import Second

JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
Device = Annotated[str, typer.Option(help="cpu, or cuda:N.")]
Meter = Annotated[
    str,
    typer.Option(
        help="auto, or one that `energybench doctor` lists; simulated:FILE.toml, replay:RUN.", show_default=True
    ),
]
TdpW = Annotated[float | None, typer.Option("--tdp-w", help="Datasheet power for --meter modelled, in watts.")]
Inputs = Annotated[
    list[str] | None,
    typer.Option("--input", help="Shape of one example input, 1x3x224x224[:dtype]; repeat for several inputs."),
]
TotalIterations = Annotated[
    int | None, typer.Option("--of", help="Iterations of the whole run: its energy is extrapolated to them.", min=1)
]
Iteration = Annotated[
    str | None,
    typer.Option("--iteration", help="Regular expression: a line of output in which it is found ends an iteration."),
]
Profile = Annotated[str, typer.Option("--profile", "-p", help="Path or name of a device profile.")]
Out = Annotated[Path | None, typer.Option("--out", help="Where to write.")]
Threads = Annotated[int | None, typer.Option(help="Threads; default OMP_NUM_THREADS, as torch does.", min=1)]
Target = Annotated[
    str, typer.Argument(help="package.module:factory (a callable that returns a module), or an exported .pt2 program.")
]

_SECONDS_PER_UNIT: Final = {"": 1.0, "ms": 1e-3, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


def parse_duration(text: str) -> Second:
    """``90``, ``90s``, ``50ms``, ``10m``, ``1.5h`` to seconds. Raises UsageError."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m|min|h)?\s*", text)
    if match is None or float(match[1]) <= 0:
        raise UsageError(f"duration {text!r} is not positive time; write it as 90s, 10m or 1.5h")
    return float(match[1]) * _SECONDS_PER_UNIT[match[2] or ""]


def parse_fraction(text: str) -> float:
    """``10%`` or ``0.1`` to a fraction. Raises UsageError."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(%)?\s*", text)
    if match is None:
        raise UsageError(f"{text!r} is not a share; write it as 10% or 0.1")
    return float(match[1]) / (100.0 if match[2] else 1.0)
