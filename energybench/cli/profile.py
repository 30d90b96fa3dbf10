"""``energybench profile``: look at, check, compare and list device profiles."""

from __future__ import annotations

from typing import Annotated

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
    from energybench.profiles import DeviceProfile

    loaded = DeviceProfile.load(profile)
    if json_output:
        emit_json(loaded.to_dict())
        return
    banner(loaded.kind)
    rows = [
        (c.name, _number(c.value), c.unit, _number(c.bse), f"{_number(c.low)} … {_number(c.high)}", c.verdict)
        for c in loaded.coefficients.values()
    ]
    columns = ("coefficient", "value", "unit", "standard error", "95 % interval", "verdict")
    table(f"{loaded.name}: {loaded.equation} ({loaded.kind})", columns, rows, right=("value", "standard error"))
    for line in loaded.describe():
        say(line)


@group.command()
def validate(profile: Name) -> None:
    """Check a profile; exit code 4 and the reason when it is refused.

    Example: energybench profile validate h100.json
    """
    from energybench.profiles import DeviceProfile

    loaded = DeviceProfile.load(profile)
    say(f"{profile}: valid; {loaded.equation} equation, kind {loaded.kind}")


@group.command()
def diff(first: Name, second: Name, json_output: JsonFlag = False) -> None:
    """Compare the coefficients of two profiles, with the significance of each difference.

    Example: energybench profile diff h100-march.json h100-june.json
    """
    from energybench.profiles import DeviceProfile, diff_profiles

    a, b = DeviceProfile.load(first), DeviceProfile.load(second)
    rows = diff_profiles(a, b)
    if json_output:
        emit_json({"first": first, "second": second, "rows": [row.to_dict() for row in rows]})
        return
    for kind in sorted({a.kind, b.kind}):
        banner(kind)
    columns = ("coefficient", "unit", "first", "second", "ratio", "z", "verdict")
    cells = [
        (r.name, r.unit, _number(r.first), _number(r.second), _number(r.ratio), _number(r.z), r.verdict) for r in rows
    ]
    table("", columns, cells, right=("first", "second", "ratio", "z"))


@group.command("list")
def list_(json_output: JsonFlag = False) -> None:
    """List the profiles that can be named: shipped ones and the user's.

    Example: energybench profile list
    """
    from energybench.profiles import list_profiles

    entries = list_profiles()
    if json_output:
        emit_json({"profiles": [entry.to_dict() for entry in entries]})
        return
    if not entries:
        say("no profiles yet; make one: energybench calibrate, then energybench fit RUN --out NAME.json")
        return
    table(
        "",
        ("name", "device", "equation", "kind", "where"),
        [(e.name, e.device, e.equation, e.kind, e.path) for e in entries],
    )


def register(app: typer.Typer) -> None:
    """Add the group."""
    app.add_typer(group, name="profile")
