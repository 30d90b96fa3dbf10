"""``energybench estimate``: the energy of a model that was not run, from a device profile."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from energybench.cli.console import banner, emit_json, percent, say, table
from energybench.cli.options import Inputs, JsonFlag, Profile, Target
from energybench.units import format_si

#: Level of the interval that is printed, as in the JSON.
LEVEL: Final = 0.9


def estimate(
    target: Target,
    profile: Profile,
    inputs: Inputs = None,
    backward: Annotated[bool, typer.Option("--backward", help="A training pass: forward and backward.")] = False,
    time_s: Annotated[
        float | None, typer.Option("--time-s", help="Measured time of one call; predicted when left out.", min=0.0)
    ] = None,
    json_output: JsonFlag = False,
) -> None:
    """Estimate the energy of one call, with an interval, by term and by module.

    Example: energybench estimate package.module:factory --profile h100.json --input 1x3x224x224
    """
    from energybench.app.estimate import estimate as estimate_model
    from energybench.counting import load_target
    from energybench.profiles import DeviceProfile

    loaded = DeviceProfile.load(profile)
    model, args, kwargs = load_target(target, inputs=inputs or ())
    result = estimate_model(model, loaded, *args, backward=backward, time_s=time_s, **kwargs)
    if json_output:
        emit_json({**result.to_dict(), "model": target})
        return
    banner(result.kind)
    terms = result.by_term()
    total = sum(terms.values())
    rows = [(name, format_si(e, "J"), percent(e / total if total else None)) for name, e in terms.items()]
    table("", ("term", "energy", "share"), rows, right=("energy", "share"))
    modules = sorted(result.by_module().items(), key=lambda item: -item[1])[:12]
    if len(modules) > 1:
        cells = [(name or "(model)", format_si(e, "J")) for name, e in modules]
        table("", ("module, children included", "energy"), cells, right=("energy",))
    interval = result.interval(LEVEL)
    spread = (
        "no interval: the profile cannot say how unseen workloads spread"
        if interval is None
        else f"{percent(LEVEL)} interval {format_si(interval.low_j, 'J')} … {format_si(interval.high_j, 'J')}"
    )
    say(f"estimated from {result.kind} energy: {format_si(result.energy_j, 'J')} per call, {spread}")
    if result.time_s is not None:
        say(f"time: {format_si(result.time_s, 's')} ({result.time_kind})")
    for note in result.notes:
        say(f"note: {note}")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(estimate)
