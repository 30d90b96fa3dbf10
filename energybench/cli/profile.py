"""``energybench profile``: look at, check, compare and list device profiles."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from energybench.cli.console import banner, emit_json, say, table
from energybench.cli.options import JsonFlag

group = typer.Typer(help="Look at, check, compare and list device profiles.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Path or name of a profile.")]


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


@group.command()
def show(profile: Name, json_output: JsonFlag = False) -> None:
    """Print a profile for a person: coefficients, domain of validity, provenance.

    Example: energybench profile show h100.json
    """
    from energybench.profiles import DeviceProfile, show_profile

    loaded = DeviceProfile.load(profile)
    if json_output:
        emit_json(loaded.to_dict())
        return
    banner(loaded.kind)
    shown = show_profile(loaded)
    for label, text in shown["facts"]:
        say(f"{label:<14} {text}")
    columns = ("coefficient", "value", "standard error", "interval", "verdict")
    rows = [(c["name"], c["value"], c["bse"], c["interval"], c["verdict"]) for c in shown["coefficients"]]
    table("", columns, rows, right=("value", "standard error"))
    for text in (*shown["doubts"], *shown["notes"]):
        say(f"note: {text}")


@group.command()
def validate(profile: Name) -> None:
    """Check a profile and name what is doubtful about it; exit code 4 and the reason when it is refused.

    Example: energybench profile validate h100.json
    """
    from energybench.profiles import validate_profile

    doubts = validate_profile(profile)
    say(f"{profile}: valid")
    for text in doubts:
        say(f"doubtful: {text}")


@group.command()
def diff(first: Name, second: Name, json_output: JsonFlag = False) -> None:
    """Compare the coefficients of two profiles, with the significance of each difference.

    Example: energybench profile diff h100-march.json h100-june.json
    """
    from dataclasses import asdict

    from energybench.profiles import DeviceProfile, diff_profiles

    a, b = DeviceProfile.load(first), DeviceProfile.load(second)
    facts, rows = diff_profiles(a, b)
    if json_output:
        emit_json({"first": first, "second": second, "facts": facts, "rows": [asdict(row) for row in rows]})
        return
    for kind in sorted({a.kind, b.kind}):
        banner(kind)
    for fact in facts:
        say(f"differs in {fact}")
    columns = ("coefficient", "unit", "first", "second", "second/first", "z", "")
    marks = {None: "not comparable", True: "differ", False: "no difference shown"}
    cells = [
        (r.name, r.unit, _number(r.a_value), _number(r.b_value), _number(r.ratio), _number(r.z), marks[r.significant])
        for r in rows
    ]
    table("", columns, cells, right=("first", "second", "second/first", "z"))


@group.command("list")
def list_(json_output: JsonFlag = False) -> None:
    """List the profiles that can be named: shipped ones and the user's.

    Example: energybench profile list
    """
    from dataclasses import asdict

    from energybench.profiles import list_profiles

    listed = list_profiles()
    if json_output:
        emit_json({"profiles": [{**asdict(entry), "path": str(entry.path)} for entry in listed]})
        return
    if not listed:
        say("no profiles yet; make one: energybench calibrate, then energybench fit RUN --out NAME.json")
        return
    rows = [(e.name, e.device, e.equation, e.kind, e.created_utc, e.problem or e.path) for e in listed]
    table("", ("name", "device", "equation", "kind", "created", "where, or what is wrong"), rows)


@group.command()
def export(
    profile: Name,
    form: Annotated[
        Literal["csv", "latex", "spdx"],
        typer.Option("--format", help="Coefficient table, or an SPDX 3 energy statement."),
    ] = "csv",
    energy_j: Annotated[
        float | None, typer.Option("--energy-j", help="Energy of one inference in joules, for --format spdx.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write here instead of printing.")] = None,
) -> None:
    """Write a profile for other tools: CSV, LaTeX, or SPDX 3 EnergyConsumption.

    Example: energybench profile export h100.json --format latex
    """
    from energybench.errors import UsageError
    from energybench.profiles import DeviceProfile, export_profile

    text = export_profile(DeviceProfile.load(profile), form, inference_energy_j=energy_j)
    if out is None:
        print(text, end="")  # noqa: T201 a file's content, not a message
        return
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{out} cannot be written ({error.strerror}); give a path in a folder that exists") from None


def register(app: typer.Typer) -> None:
    """Add the group."""
    app.add_typer(group, name="profile")
