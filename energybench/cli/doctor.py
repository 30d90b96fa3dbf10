"""``energybench doctor``: what works on this machine, what is missing, and the command that would enable it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from energybench.cli.console import emit_json, say, table
from energybench.cli.options import Device, JsonFlag, TdpW
from energybench.errors import MeterUnavailable, UsageError
from energybench.meters.base import MeterInfo
from energybench.records.reading import Domain
from energybench.units import format_si


def doctor(
    meter: Annotated[
        str | None, typer.Option(help="Characterise this meter: period, resolution, latency, idle power.")
    ] = None,
    device: Device = "cpu",
    load: Annotated[
        bool, typer.Option(help="With --meter: load the device, for rise time and the share of time it sees.")
    ] = True,
    tdp_w: TdpW = None,
    bench: Annotated[
        bool, typer.Option("--bench", help="Check governor, turbo, SMT, load, power limit and huge pages instead.")
    ] = False,
    apply: Annotated[
        bool, typer.Option("--apply", help="With --bench: set them, after writing --restore-file (as root).")
    ] = False,
    bench_restore: Annotated[
        bool, typer.Option("--bench-restore", help="Put back what --bench --apply changed (as root).")
    ] = False,
    restore_file: Annotated[Path, typer.Option(help="Where --apply keeps the state before it.")] = Path(
        "energybench-bench-restore.json"
    ),
    json_output: JsonFlag = False,
) -> int:
    """Say for each meter what works, what is missing, and the exact command that would enable it.

    Exit code 3 when nothing on this machine measures energy. With --bench: whether the machine is set for measuring,
    and the commands to set it and to set it back; nothing is changed without --apply.

    Examples: energybench doctor; energybench doctor --bench
    """
    if bench and bench_restore:
        raise UsageError("--bench and --bench-restore exclude each other; give one of them")
    if apply and not bench:
        raise UsageError("--apply changes what --bench checks; give both")
    if bench_restore:
        from energybench.app.bench_check import restore

        count = restore(restore_file)
        say(f"{count} settings were put back.")
        return 0
    if bench:
        _bench(apply, restore_file, json_output)
        return 0
    if meter is not None:
        _characterise(meter, device, tdp_w, load, json_output)
        return 0
    from energybench.app.doctor import examine

    diagnosis = examine()
    if json_output:
        emit_json(diagnosis.to_dict())
    else:
        columns = ("", "part", "observed", "limit", "fix")
        rows = [(_MARKS[f.state], f.part, f.observed, f.limit, f.remedy) for f in diagnosis.findings]
        table("", columns, rows)
        sensors = _sensors(diagnosis.meters)
        if sensors:
            table("sensors", ("domain", "inside", "resolution", "meters", "kind"), sensors, right=("resolution",))
        say(diagnosis.verdict)
    if not diagnosis.measures:
        return MeterUnavailable.exit_code
    return 0


_MARKS = {"ok": "ok", "limited": "!", "missing": "–"}


def _sensors(meters: Sequence[MeterInfo]) -> list[tuple[str, ...]]:
    """Each domain once, with the meters that read it: several interfaces show one counter."""
    found: dict[tuple[str, str], tuple[Domain, list[str]]] = {}
    for info in meters:
        if info.available:
            for domain in info.domains:
                found.setdefault((domain.name, info.kind), (domain, []))[1].append(info.name)
    return [
        (name, domain.parent or "–", format_si(domain.resolution_nj * 1e-9, "J"), ", ".join(names), kind)
        for (name, kind), (domain, names) in found.items()
    ]


def _bench(apply: bool, restore_file: Path, json_output: bool) -> None:
    from energybench.app.bench_check import apply_fixes, examine_bench, to_json

    settings = examine_bench()
    changed = 0
    if apply:
        changed = apply_fixes(settings, restore_file)
        settings = examine_bench()
    if json_output:
        emit_json({**to_json(settings), "changed": changed})
        return
    marks = {True: "ok", False: "!", None: "–"}
    rows = [(marks[s.is_ok], s.name, s.observed, s.limit) for s in settings]
    table("bench", ("", "setting", "observed", "should be"), rows)
    for setting in settings:
        if setting.command:
            say(f"{setting.name}:")
            say(f"  set      {setting.command}")
            if setting.restore:
                say(f"  restore  {setting.restore}")
    if changed:
        say(f"{changed} settings were changed; back: energybench doctor --bench-restore --restore-file {restore_file}")
    elif not apply:
        say("Nothing was changed.")
    else:
        say("There was nothing that --apply sets.")


def _characterise(spec: str, device: str, tdp_w: float | None, load: bool, json_output: bool) -> None:
    from energybench.app.load import busy_load
    from energybench.meters import open_meter
    from energybench.meters.characterise import characterise

    meter = open_meter(spec, device=device, tdp_w=tdp_w)
    try:
        found = characterise(meter, load=busy_load(meter, device) if load else None)
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
        ("noise of one update", "not found" if (noise := found.update_noise_rel) is None else f"{noise:.2%}"),
        ("rise time, 10 to 90 %", shown(found.rise_time_s, "s")),
        ("share of time seen", "not found" if (share := found.seen_share) is None else f"{share:.0%}"),
        (
            "counter over integrated power",
            "not found" if (ratio := found.counter_integral_ratio) is None else f"{ratio:.4f}",
        ),
    ]
    table(f"{meter.name} ({meter.kind})", ("characteristic", "value"), rows, right=("value",))


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(doctor)
