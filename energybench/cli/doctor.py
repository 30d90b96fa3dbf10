"""``energybench doctor``: what works on this machine, what is missing, and the command that would enable it."""

from __future__ import annotations

from typing import Annotated

import typer

from energybench.cli.console import emit_json, say, table
from energybench.cli.options import Device, JsonFlag, TdpW
from energybench.errors import MeterUnavailable
from energybench.units import format_si


def doctor(
    meter: Annotated[
        str | None, typer.Option(help="Characterise this meter: period, resolution, latency, idle power.")
    ] = None,
    device: Device = "cpu",
    tdp_w: TdpW = None,
    json_output: JsonFlag = False,
) -> int:
    """Say for each meter what works, what is missing, and the exact command that would enable it.

    Exit code 3 when nothing on this machine measures energy.

    Example: energybench doctor
    """
    if meter is not None:
        _characterise(meter, device, tdp_w, json_output)
        return 0
    from energybench.app.doctor import examine

    diagnosis = examine()
    if json_output:
        emit_json(diagnosis.to_dict())
    else:
        columns = ("", "part", "observed", "fix")
        rows = [(_MARKS[f.state], f.part, f.observed, f.remedy) for f in diagnosis.findings]
        table("", columns, rows)
        domains = [
            (d.name, d.parent or "–", format_si(d.resolution_nj * 1e-9, "J"), info.name, info.kind)
            for info in diagnosis.meters
            if info.available
            for d in info.domains
        ]
        if domains:
            table("sensors", ("domain", "inside", "resolution", "meter", "kind"), domains, right=("resolution",))
        say(diagnosis.verdict)
    if not diagnosis.measures:
        return MeterUnavailable.exit_code
    return 0


_MARKS = {"ok": "ok", "limited": "!", "missing": "–"}


def _characterise(spec: str, device: str, tdp_w: float | None, json_output: bool) -> None:
    from energybench.meters import open_meter
    from energybench.meters.characterise import characterise

    meter = open_meter(spec, device=device, tdp_w=tdp_w)
    try:
        found = characterise(meter)
    finally:
        meter.close()
    if json_output:
        emit_json({"meter": meter.name, "kind": meter.kind, **found.to_dict()})
        return

    def shown(value: float | None, unit: str) -> str:
        return "not found" if value is None else format_si(value, unit)

    rows = [
        ("update period", shown(found.update_period_s, "s")),
        ("resolution", shown(found.resolution_j, "J")),
        ("read latency, median", shown(found.read_latency_p50_s, "s")),
        ("read latency, 99th percentile", shown(found.read_latency_p99_s, "s")),
        ("idle power", shown(found.idle_power_w, "W")),
        ("idle power, standard deviation", shown(found.idle_power_stdev_w, "W")),
    ]
    table(f"{meter.name} ({meter.kind})", ("characteristic", "value"), rows, right=("value",))


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(doctor)
