"""`calibrate`: a design of workloads, on a device, under a meter, into a run's directory."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from energybench.errors import UsageError
from energybench.records.disk_room import MAX_RUN_MB
from energybench.records.run_directory import RunDirectory
from energybench.units import BYTES_PER_MB, Second, Watt

if TYPE_CHECKING:
    from energybench.meters.base import EnergyMeter
    from energybench.protocol.executor import Executor
    from energybench.protocol.progress import Progress
    from energybench.protocol.runner import Choose
    from energybench.workloads import Design

#: The design whose windows are chosen as it goes, and the time it takes where no budget is given.
OPTIMAL: Final = "optimal"
OPTIMAL_BUDGET_S: Final[Second] = 300.0


def calibrate(
    *,
    device: str = "cpu",
    meter: str = "auto",
    design: str = "quick",
    budget_s: Second | None = None,
    out: Path | str | None = None,
    resume: bool = False,
    seed: int = 0,
    tdp_w: Watt | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
    estimate_of: Sequence[str] = (),
    max_disk_mb: int = MAX_RUN_MB,
    begun_s: Second | None = None,
) -> RunDirectory:
    """Run a named design and write a run of records.

    Args:
        device: ``cpu`` or ``cuda:N``; for a simulated meter the label of the virtual device.
        meter: ``auto | rapl | nvml | pyrapl | modelled | simulated:FILE.toml``.
        design: ``quick | standard | thorough``, or ``optimal``: windows chosen one batch after the other
             from what was measured so far.
        budget_s: Stop before this many seconds, on the meter's clock; None for the design's own time.
        out: Directory of the run; ``runs/<stamp>`` when None.
        resume: Go on with the run in `out`.
        seed: Seed of order, phases and inputs.
        tdp_w: Datasheet power, in watts. The modelled meter needs it; for any other meter it is recorded only.
        threads: CPU threads; torch's own choice when None.
        progress: Callbacks.
        estimate_of: With the optimal design: models whose estimates the windows are to narrow, as TARGETs with their
            inputs (``package.module:factory@1x3x224x224``); none for the coefficients themselves.
        max_disk_mb: Cap on the run's files, in megabytes.
        begun_s: When what the budget counts began, as `time.monotonic` gives it; at this call when None.

    Returns:
        The run. Its manifest ``run.json`` says how it ended.

    Raises:
        UsageError: an unknown device, design or meter, or a directory that holds a run already.
        MeterUnavailable: no such meter or device here; nothing else stands in for it.
        RecordError, DiskFull, ThrottledError: as `energybench.protocol.run_design`.
    """
    from energybench.app.load import busy_load
    from energybench.meters.clock import VirtualClock
    from energybench.meters.discovery import open_meter
    from energybench.protocol import run_design
    from energybench.workloads import named_design

    begun_s = time.monotonic() if begun_s is None else begun_s
    if budget_s is not None and not budget_s > 0:
        raise UsageError(f"budget {budget_s!r} is not positive; write it as 90s or 10m")
    if max_disk_mb < 1:
        raise UsageError(f"--max-disk-mb {max_disk_mb} leaves no room for a run; give 1 or more")
    if resume and out is None:
        raise UsageError("--resume needs the run to go on with; give its directory with --out")
    if meter.startswith("replay"):
        raise UsageError("a replay has nothing to run; derive a run's values again with: energybench replay RUN")
    if estimate_of and design != OPTIMAL:
        raise UsageError("--estimate-of chooses windows for a model; add --design optimal")
    chosen, choose = (
        (optimal_design(device, estimate_of)) if design == OPTIMAL else (named_design(design, device), None)
    )
    opened = open_meter(meter, device=device, tdp_w=tdp_w if meter == "modelled" else None)
    with contextlib.closing(opened):
        executor = _executor(opened, device, threads, seed)
        run = RunDirectory(out if out is not None else default_out())
        run_design(
            chosen,
            executor,
            opened,
            run,
            seed=seed,
            budget_s=budget_s,
            # Loading torch and opening the device took real time, which a virtual clock knows nothing of.
            spent_s=0.0 if isinstance(opened.clock, VirtualClock) else time.monotonic() - begun_s,
            resume=resume,
            progress=progress,
            tdp_w=tdp_w,
            choose=choose,
            max_disk_bytes=max_disk_mb * BYTES_PER_MB,
            load=busy_load(opened, device),
        )
    return run


def optimal_design(device: str, estimate_of: Sequence[str] = ()) -> tuple[Design, Choose]:
    """The candidates of the optimal design, and what chooses among them. Raises UsageError, CountingError."""
    from energybench.app.choose_runs import RunChooser
    from energybench.counting import count_model
    from energybench.counting.target import load_target
    from energybench.workloads.designs import candidate_workloads, named_design

    targets = []
    for target in estimate_of:
        model, args, kwargs = load_target(target)
        targets.append(count_model(model, *args, **kwargs))
    design = replace(
        named_design("standard", device),
        name=OPTIMAL,
        workloads=candidate_workloads(device),
        min_repeats=1,
        budget_s=OPTIMAL_BUDGET_S,
    )
    return design, RunChooser(design.workloads, targets=targets)


def default_out() -> Path:
    """``runs/<stamp>`` under the current directory, a name that no run has yet."""
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    path, number = Path("runs") / stamp, 1
    while path.exists():
        number += 1
        path = Path("runs") / f"{stamp}-{number}"
    return path


def _executor(meter: EnergyMeter, device: str, threads: int | None, seed: int) -> Executor:
    """A virtual device never runs the real work, and no real work runs under a virtual device's meter."""
    from energybench.meters.simulated import SimulatedMeter
    from energybench.protocol import HostExecutor, VirtualExecutor

    if isinstance(meter, SimulatedMeter):
        return VirtualExecutor(meter.device, name=device)
    return HostExecutor(device, threads=threads, meter=meter, seed=seed)
