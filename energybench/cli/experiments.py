"""``energybench experiments``: list and run the experiments of a checkout."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from energybench.cli.console import emit_json, say, table
from energybench.cli.options import JsonFlag

group = typer.Typer(help="List and run the experiments of a checkout.", no_args_is_help=True)

Directory = Annotated[Path, typer.Option(help="The folder that holds the experiments.")]
_DEFAULT = Path("experiments")


@group.command("list")
def list_(directory: Directory = _DEFAULT, json_output: JsonFlag = False) -> None:
    """List the experiments: number, question, whether results are there.

    Example: energybench experiments list
    """
    from energybench.app.experiments import list_experiments

    found = list_experiments(directory)
    if json_output:
        emit_json({"experiments": [e.to_dict() for e in found]})
        return
    if not found:
        say(f"no experiments in {directory}")
        return
    table(
        "",
        ("experiment", "question", "results"),
        [(e.name, e.question, "yes" if e.has_results else "no") for e in found],
    )


@group.command()
def run(
    name: Annotated[str, typer.Argument(help="Number or name of an experiment.")], directory: Directory = _DEFAULT
) -> int:
    """Run one experiment; its exit code is passed on.

    Example: energybench experiments run 001
    """
    from energybench.app.experiments import run_experiment

    return run_experiment(directory, name)


def register(app: typer.Typer) -> None:
    """Add the group."""
    app.add_typer(group, name="experiments")
