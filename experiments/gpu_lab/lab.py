"""The steps of a lab run that measure; run.sh calls them in order. Needs no analysis package.

Usage: python experiments/gpu_lab/lab.py STEP OUT [--device cuda:0] [--meter nvml] [--budget SECONDS] [--smallest ROWS]

Everything of one card lies in OUT/<its UUID>: a later call that meets another unit of the same model begins there
anew, and never goes on with the rows of this one.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from energybench.cli.progress import LineProgress
from energybench.errors import EnergybenchError
from energybench.meters.characterise import characterise
from energybench.meters.discovery import open_meter
from energybench.meters.simulated import SimulatedMeter
from energybench.protocol import HostExecutor, VirtualExecutor, run_design
from energybench.protocol.call_time import call_time_s
from energybench.records.jsonl import JsonlWriter, iter_jsonl
from energybench.records.run_directory import RunDirectory, write_json_atomic
from energybench.records.sealed import SEALED_NAME, sealed_networks
from energybench.workloads import named_design
from energybench.workloads.designs import Design
from energybench.workloads.lab import lab_development, lab_operators, lab_sealed, smallest, timed_operators

if TYPE_CHECKING:
    from energybench.meters.base import EnergyMeter
    from energybench.protocol import Executor

DESIGNS = {
    "operators": lab_operators,
    "development": lab_development,
    "sealed": lab_sealed,
    "more": lambda: named_design("thorough", "cuda"),
}
STEPS = ("probe", *DESIGNS, "timings", "table")
#: Timings of one operator: the median is kept with its spread.
TIMED = 3


def open_device(meter: str, device: str) -> tuple[EnergyMeter, Executor]:
    """The meter and where the work runs: a virtual device runs no real work, and a real one has its own meter.

    NVML covers a GPU; with ``--device cpu`` (a dry run) a stand-in for its library is read while the work runs on the
    CPU. Such energy means nothing and is `simulated`; a real card's library is refused there.
    """
    if device == "cpu" and meter == "nvml":
        import pynvml

        from energybench.meters.nvml import NvmlMeter

        opened: EnergyMeter = NvmlMeter(0, library=pynvml)
    else:
        opened = open_meter(meter, device=device)
    if isinstance(opened, SimulatedMeter):
        return opened, VirtualExecutor(opened.device, name=device)
    return opened, HostExecutor(device, meter=opened)


def facts_of(meter: EnergyMeter) -> dict[str, object]:
    state = getattr(meter, "device_state", None)
    return dict(state()) if state is not None else {}


def probe(meter: EnergyMeter, executor: Executor, unit: Path) -> None:
    """What the meter is: tick, resolution, latency, averaging, counter over integral; printed and kept."""
    found = characterise(meter)
    path = unit / "probe.json"
    calls = json.loads(path.read_text()) if path.exists() else []
    calls.append(
        {
            "device_name": executor.device_name,
            "kind": meter.kind,
            "facts": {k: v for k, v in facts_of(meter).items() if isinstance(v, str | int | float | bool)},
            "characteristics": found.to_dict(),
        }
    )
    unit.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(calls, indent=2) + "\n")
    for name, value in found.to_dict().items():
        print(f"  {name:24} {value}")
    if meter.kind == "measured" and not facts_of(meter).get("uuid"):
        raise EnergybenchError("the card tells no UUID; its rows could not be told from another unit's")


def design_step(name: str, meter: EnergyMeter, executor: Executor, unit: Path, budget_s: float, rows: int) -> None:
    """One design into a run of its own; goes on where an earlier call ended."""
    design: Design = DESIGNS[name]()
    if rows:
        design = smallest(design, rows)
    run = RunDirectory(unit / name)
    if name == "sealed":
        missing = [w.name for w in design.workloads if w.network and w.name not in sealed_networks()]
        if missing:
            raise EnergybenchError(f"{missing[0]} is not in {SEALED_NAME}; list it before it is measured")
    manifest = run_design(
        design,
        executor,
        meter,
        run,
        budget_s=budget_s,
        resume=run.records_path.exists(),
        progress=LineProgress(),
        spent_s=0.0 if isinstance(meter, SimulatedMeter) else time.monotonic() - STARTED_S,
    )
    print(f"  {name}: {manifest.status}, {manifest.valid_rows} of {manifest.rows} windows valid, kind {manifest.kind}")
    valid = Counter(record.workload for record in run.read_records() if record.valid)
    wanted = [w for w in design.workloads if w.name not in manifest.skipped]
    if all(valid[w.name] >= design.min_repeats * design.windows_in_a_round(w) for w in wanted):
        (run.path / "complete").touch()
    for workload, reason in manifest.skipped.items():
        print(f"  skipped {workload}: {reason[:120]}")


def timings(meter: EnergyMeter, executor: Executor, unit: Path, budget_s: float, rows: int) -> None:
    """Durations without energy, in a random order that every call continues."""
    path = unit / "timings.jsonl"
    unit.mkdir(parents=True, exist_ok=True)
    taken = {row["workload"] for _, row in iter_jsonl(path)} if path.exists() else set()
    workloads = timed_operators()
    random.Random(0).shuffle(workloads)
    end_ns = meter.clock.now_ns() + int(budget_s * 1e9)
    with JsonlWriter(path) as writer:
        for workload in [w for w in workloads if w.name not in taken][: rows or None]:
            if meter.clock.now_ns() > end_ns:
                break
            try:
                prepared = executor.prepare(workload)
                try:
                    times_s = sorted(call_time_s(prepared, meter.clock, at_least_s=0.01) for _ in range(TIMED))
                finally:
                    prepared.release()
            except Exception as error:  # one operator that cannot run must not end the step
                print(f"  skipped {workload.name}: {' '.join(str(error).split())[:120]}")
                continue
            counts = workload.counts()
            writer.append(
                {
                    "workload": workload.name,
                    "device": executor.device_name,
                    "kernel_class": workload.kernel_class,
                    "dtype": workload.dtype,
                    "macs": counts.macs,
                    "other_flops": counts.other_flops,
                    "bytes": counts.bytes,
                    "launches": counts.launches,
                    "time_s": statistics.median(times_s),
                    "time_low_s": times_s[0],
                    "time_high_s": times_s[-1],
                }
            )
            taken.add(workload.name)
    print(f"  {len(taken)} operators timed")


def table(unit: Path) -> None:
    """What was measured, a line a kernel class and element type."""
    from energybench.records.frame import load_records

    runs = [unit / name for name in DESIGNS if (unit / name / "records.jsonl").exists()]
    if not runs:
        print("  nothing was recorded")
        return
    frame = load_records(*runs)
    frame = frame[frame["valid"]]
    frame["power_w"] = frame["energy_j"] / frame["time_s"]
    frame["rel"] = frame["energy_uncertainty_j"] / frame["energy_j"]
    kind = ", ".join(sorted(set(frame["kind"])))
    print(f"  {'class':10} {'type':9} {'windows':>7} {'power W':>16} {'median ± of a window':>21}   ({kind})")
    for (kernel_class, dtype), rows in frame.groupby(["kernel_class", "dtype"]):
        power = rows["power_w"]
        spread = f"{power.min():7.1f} … {power.max():6.1f}"
        print(f"  {kernel_class:10} {dtype:9} {len(rows):7} {spread:>16} {rows['rel'].median():21.2%}")
    for workload, rows in frame.groupby("workload"):
        if len(rows) >= 4 and not workload.startswith("idle"):
            scatter = rows["power_w"].std() / rows["power_w"].mean()
            print(f"  anchor {workload}: {len(rows)} windows, power scatters by {scatter:.2%}")


STARTED_S = time.monotonic()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=STEPS)
    parser.add_argument("out", type=Path)
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--meter", default="nvml")
    parser.add_argument("--budget", type=float, default=480.0)
    parser.add_argument("--smallest", type=int, default=0)
    arguments = parser.parse_args()
    try:
        meter, executor = open_device(arguments.meter, arguments.device)
        try:
            unit = arguments.out / str(facts_of(meter).get("uuid") or meter.kind)
            if arguments.step == "probe":
                probe(meter, executor, unit)
            elif arguments.step == "timings":
                timings(meter, executor, unit, arguments.budget, arguments.smallest)
            elif arguments.step == "table":
                table(unit)
            else:
                design_step(arguments.step, meter, executor, unit, arguments.budget, arguments.smallest)
            write_json_atomic(
                arguments.out / "latest.json", {"unit": unit.name, "kind": meter.kind, "device": executor.device_name}
            )
        finally:
            meter.close()
    except EnergybenchError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
