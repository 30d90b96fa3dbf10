"""``energybench calibrate``: run a design of workloads under a meter and write records."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Annotated, Literal

import typer

from energybench.cli.console import banner, emit_json, say
from energybench.cli.options import Device, JsonFlag, Meter, TdpW, Threads, parse_duration
from energybench.records.disk_room import MAX_RUN_MB


def calibrate(
    device: Device = "cpu",
    meter: Meter = "auto",
    design: Annotated[
        Literal["quick", "standard", "thorough", "optimal"],
        typer.Option(help="How many workloads and repeats; optimal chooses windows from those before."),
    ] = "quick",
    budget: Annotated[str | None, typer.Option(help="Stop after this time: 90s, 10m, 1h.")] = None,
    out: Annotated[Path | None, typer.Option(help="Directory of the run; default runs/<stamp>.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
    seed: Annotated[int, typer.Option(help="Seed of order, phases and inputs.")] = 0,
    tdp_w: TdpW = None,
    threads: Threads = None,
    estimate_of: Annotated[
        list[str] | None,
        typer.Option(help="With --design optimal: a TARGET@1x3x224x224 whose estimate is to be narrow; may repeat."),
    ] = None,
    max_disk_mb: Annotated[int, typer.Option(help="Cap on the run's files, in megabytes.")] = MAX_RUN_MB,
    json_output: JsonFlag = False,
) -> None:
    """Run kernels and networks on a device, read its meter around each, and write a run of records.

    Examples: energybench calibrate --device cuda:0 --design standard --budget 10m --out runs/h100;
    energybench calibrate --meter simulated:device.toml --out runs/dry
    """
    from energybench.app.calibrate import calibrate as run_calibration
    from energybench.cli.progress import calibration_progress
    from energybench.records.run_directory import read_json

    budget_s = parse_duration(budget) if budget else None
    with calibration_progress(quiet=json_output) as progress:
        run = run_calibration(
            device=device,
            meter=meter,
            design=design,
            budget_s=budget_s,
            out=out,
            resume=resume,
            seed=seed,
            tdp_w=tdp_w,
            threads=threads,
            progress=progress,
            estimate_of=estimate_of or (),
            max_disk_mb=max_disk_mb,
            begun_s=process_begun_s(),
        )
    manifest = read_json(run.manifest_path)
    records = run.read_records()
    kinds = sorted({record.kind for record in records})
    valid = sum(record.valid for record in records)
    if json_output:
        emit_json({"run": str(run.path), "rows": len(records), "valid": valid, "kinds": kinds, "manifest": manifest})
        return
    for kind in kinds:
        banner(kind)
    say(f"{len(records)} windows ({len(records) - valid} invalid), kind: {', '.join(kinds)}")
    say(f"run: {run.path}")
    say(f"next: energybench fit {run.path}")


def process_begun_s(proc: Path = Path("/proc")) -> float | None:
    """When this process began, as `time.monotonic` counts: starting Python is part of a command's time (proc(5))."""
    try:
        fields = (proc / "self" / "stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
        age_s = time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return None
    return time.monotonic() - max(0.0, age_s)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(calibrate)
