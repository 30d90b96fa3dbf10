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
    name: Annotated[str | None, typer.Argument(help="Number or name of an experiment.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Run all; one that was interrupted goes on.")] = False,
    check: Annotated[bool, typer.Option(help="Refuse results that differ from those that were there.")] = False,
    directory: Directory = _DEFAULT,
) -> int:
    """Run one experiment, or all, and say what differs from the results before; the exit code is passed on.

    Counted figures must come out the same, timed ones within the factor that they state.

    Example: energybench experiments run 001
    """
    from energybench.app.experiments import run_all, run_experiment
    from energybench.errors import RecordError, UsageError

    if every == (name is not None):
        raise UsageError("name one experiment, or give --all")
    outcome = run_all(directory, say) if name is None else run_experiment(directory, name)
    if outcome.code:
        return outcome.code
    if outcome.compared:
        say("\n".join([f"{name}: {outcome}", *(f"    {line}" for line in outcome.differences)]))
    if check and outcome.differences:
        raise RecordError(
            f"{len(outcome.differences)} figures or verdicts are not reproduced, the first {outcome.differences[0]}; "
            "look at what changed: git diff experiments"
        )
    return 0


@group.command()
def page(
    output: Annotated[Path, typer.Option(help="The page of verdicts to write.")] = Path("docs/document.md"),
    findings: Annotated[Path, typer.Option(help="The summary to write.")] = Path("docs/findings.md"),
    directory: Directory = _DEFAULT,
) -> None:
    """Write the page of verdicts, and the summary where there is a template, from the results that are there.

    Example: energybench experiments page
    """
    from energybench.app.document_page import document_page
    from energybench.app.findings_page import TEMPLATE, findings_page
    from energybench.records.atomic_file import write_text_atomic

    write_text_atomic(output, document_page(directory))
    say(f"wrote {output}")
    if (directory / TEMPLATE).exists():
        write_text_atomic(findings, findings_page(directory))
        say(f"wrote {findings}")


def register(app: typer.Typer) -> None:
    """Add the group."""
    app.add_typer(group, name="experiments")
