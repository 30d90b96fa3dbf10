"""``energybench fit``: coefficients of an energy equation from records, and a device profile."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from energybench.cli.console import emit_json, say
from energybench.cli.options import JsonFlag
from energybench.errors import UsageError


def fit(
    records: Annotated[list[Path], typer.Argument(help="Runs, or records.jsonl files.")],
    equation: Annotated[
        str, typer.Option(help="physical, cnn, cnn-literal, cnn-total-flops, rnn, transformer, or a null model.")
    ] = "physical",
    target: Annotated[
        Literal["gross", "net"], typer.Option(help="Energy as measured, or less the idle power times the time.")
    ] = "gross",
    out: Annotated[Path | None, typer.Option(help="Write the device profile here.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the profile; default: the device's.")] = None,
    pool_units: Annotated[
        bool, typer.Option("--pool-units", help="Let runs of other units of the same model join, each with its gain.")
    ] = False,
    residual_learner: Annotated[
        bool,
        typer.Option("--residual-learner", help="Also learn what the equation leaves of work like this."),
    ] = False,
    json_output: JsonFlag = False,
) -> None:
    """Fit an equation to records; every coefficient gets a unit, an interval and a verdict.

    Example: energybench fit runs/h100 --equation physical --out h100.json
    """
    from energybench.app.fit import fit_files
    from energybench.model.catalogue import EQUATION_NAMES

    if equation not in EQUATION_NAMES:
        raise UsageError(f"no equation is called {equation!r}; use one of {', '.join(EQUATION_NAMES)}")
    outcome = fit_files(
        records,
        equation=equation,
        target=target,
        name=name,
        out=out,
        pool_units=pool_units,
        residual_learner=residual_learner,
    )
    if json_output:
        data = outcome.fit.to_dict()
        if out is not None:
            data["profile"] = str(out)
        emit_json(data)
        return
    say(outcome.fit.summary())
    if out is not None:
        say(f"profile: {out}")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(fit)
