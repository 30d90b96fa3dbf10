"""``energybench compare``: measured beside estimated, row by row, with null models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from energybench.cli.console import banner, emit_json, percent, say, table
from energybench.cli.options import JsonFlag, Profile, parse_fraction
from energybench.units import format_si

if TYPE_CHECKING:
    from energybench.estimation import Comparison

#: Exit code when --fail-above is exceeded: the comparison worked, the claim did not hold.
EXIT_ABOVE: Final = 1


def compare(
    records: Annotated[list[Path], typer.Argument(help="Runs, or records.jsonl files.")],
    profile: Profile,
    fail_above: Annotated[
        str | None, typer.Option("--fail-above", help="Exit 1 when the median error is above this: 10%.")
    ] = None,
    worst: Annotated[int, typer.Option(help="How many of the worst rows to print.", min=0)] = 10,
    other_device: Annotated[
        bool, typer.Option("--other-device", help="Allow another machine or clock policy than the profile's.")
    ] = False,
    json_output: JsonFlag = False,
) -> int:
    """Compare measured with estimated energy for every row, beside the null models.

    Example: energybench compare runs/h100 --profile h100.json --fail-above 10%
    """
    from energybench.app.compare import compare_and_explain

    limit = parse_fraction(fail_above) if fail_above is not None else None
    comparison, off, explained = compare_and_explain(records, profile, worst=worst, other_device=other_device)
    exceeded = limit is not None and (comparison.median_ape is None or comparison.median_ape > limit)
    if json_output:
        explained_rows = {
            "term_off": None if off is None else off.to_dict(),
            "explanations": [e.to_dict() for e in explained],
        }
        emit_json({**comparison.to_dict(), **explained_rows, "fail_above": limit, "exceeded": exceeded})
        return EXIT_ABOVE if exceeded else 0
    banner(comparison.kind)
    rows = [
        (
            number,
            row.name,
            row.family,
            row.split,
            format_si(row.recorded_energy_j, "J"),
            format_si(row.estimated_energy_j, "J"),
            percent(row.error_rel, signed=True),
            {None: "–", True: "hit", False: "miss"}[row.hit],
        )
        for number, row in enumerate(sorted(comparison.rows, key=lambda row: -abs(row.error_rel))[:worst], start=1)
    ]
    columns = (
        "",
        "worst rows",
        "family",
        "split",
        comparison.kind,
        "estimated",
        "error",
        f"{comparison.level:.0%} interval",
    )
    table("", columns, rows, right=(comparison.kind, "estimated", "error"))
    for number, explanation in enumerate(explained, start=1):
        say(f"{number:3d}  {explanation.text}")
    if off is not None:
        say(f"     {off.text}")
    scores = {
        "this profile, time measured": comparison.score,
        "this profile, time predicted": comparison.predicted_time_score,
        **{f"null model: {name}": score for name, score in comparison.null_models.items()},
        **{f"split: {name}": score for name, score in comparison.by_split.items()},
        **{f"family: {name}": score for name, score in comparison.by_family.items()},
    }
    cells = [
        (name, score.n, percent(score.median_ape), percent(score.bias, signed=True)) for name, score in scores.items()
    ]
    table("", ("", "rows", "median error", "bias"), cells, right=("rows", "median error", "bias"))
    if comparison.kind == "modelled":
        say("pipeline check, not energy: fitting modelled power to time says nothing about accuracy")
    else:
        say(f"median error {percent(comparison.median_ape)} over {len(comparison.rows)} rows ({comparison.kind})")
    say(f"{comparison.hits} of {comparison.with_interval} intervals hold the recorded energy{_share(comparison)}")
    for method, number in comparison.interval_methods.items():
        say(f"{number} intervals {method}")
    for note in comparison.notes:
        say(f"note: {note}")
    if exceeded:
        say(f"above the limit of {percent(limit)}")
    return EXIT_ABOVE if exceeded else 0


def _share(comparison: Comparison) -> str:
    if comparison.coverage_interval is None:
        return ""
    low, high = comparison.coverage_interval
    return f" ({percent(low)} to {percent(high)} at 95 %, network by network)"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(compare)
