"""One window of energybench and of other tools on the same fake powercap tree: what it costs, what it reports.

    python benchmarks/meters.py [--peers PYTHON] [--rounds N] [--windows N]

The tree (one socket: package and DRAM) is mounted over /sys/class in a private mount namespace, where a writer process
moves its counters every millisecond, so each tool runs as its users install it, hard-coded paths included. Rounds take
turns between the tools; a figure is the median over rounds of the median over windows. `--peers` names the interpreter
of an environment that has pyRAPL, zeus and codecarbon; a tool that it lacks is printed as not installed. Needs root or
user namespaces (Linux).

A second table has trees on which tools disagree (`TREES`), what was drawn over a second, and what each tool reports.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

TOOLS = ("energybench", "pyRAPL", "zeus", "codecarbon")
#: Range of an Intel package's counter in µJ, and where counters begin.
RANGE_UJ = 262_143_328_850
START_UJ = 1_000_000
INSIDE = "ENERGYBENCH_BENCH_INSIDE"


@dataclass(frozen=True)
class Zone:
    """One powercap zone: directory, name, power in watts, where its counter begins, whether a total has it."""

    directory: str
    name: str
    power_w: int
    start_uj: int = START_UJ
    in_total: bool = True


PACKAGE, DRAM = Zone("intel-rapl:0", "package-0", 120), Zone("intel-rapl:0:0", "dram", 15)
#: Machines on which tools disagree. The truth is the sum of the zones `in_total`.
TREES: dict[str, tuple[Zone, ...]] = {
    "package and DRAM": (PACKAGE, DRAM),
    "the package's counter wraps": (replace(PACKAGE, start_uj=RANGE_UJ - 60_000_000), DRAM),
    "two sockets": (
        PACKAGE,
        DRAM,
        Zone("intel-rapl:1", "package-1", 80),
        Zone("intel-rapl:1:0", "dram", 10),
    ),
    "two sockets, one wraps": (
        PACKAGE,
        Zone("intel-rapl:1", "package-1", 80, start_uj=RANGE_UJ - 40_000_000),
    ),
    "core inside, psys beside": (
        PACKAGE,
        Zone("intel-rapl:0:0", "core", 90, in_total=False),
        Zone("intel-rapl:0:1", "dram", 15),
        Zone("intel-rapl:1", "psys", 170, in_total=False),
    ),
    "memory-mapped copy of the package": (
        PACKAGE,
        DRAM,
        Zone("intel-rapl-mmio:0", "package-0", 120, in_total=False),
    ),
    "two dies show one counter (AMD)": (
        Zone("intel-rapl:0", "package-0-die-0", 68, start_uj=5 * 10**9),
        Zone("intel-rapl:1", "package-0-die-1", 68, start_uj=5 * 10**9, in_total=False),
    ),
    "no DRAM zone": (PACKAGE,),
    "no powercap at all": (),
}
STEADY = next(iter(TREES))
REPORT_S = 1.0


def window_of(tool: str) -> tuple[Callable[[], object], Callable[[], Any], Callable[[], object]]:
    """Begin, end and clean-up of one window, opened as the tool's own documentation does."""
    if tool == "energybench":
        from energybench.app.measure import close_meters, measure
        from energybench.meters import open_meter

        meter = open_meter("rapl:powercap")
        window = measure("window", meter=meter)
        opened: list[Any] = []

        def end() -> Any:
            window.__exit__(None, None, None)
            return opened.pop()

        return lambda: opened.append(window.__enter__()), end, close_meters
    if tool == "pyRAPL":
        import pyRAPL

        pyRAPL.setup()
        measurement = pyRAPL.Measurement("window")
        return measurement.begin, lambda: measurement.end() or measurement.result, lambda: None
    if tool == "zeus":
        # Not installed where this file is type-checked.
        monitor = importlib.import_module("zeus.monitor").ZeusMonitor(gpu_indices=[])
        return (
            lambda: monitor.begin_window("window", sync_execution=False),
            lambda: monitor.end_window("window", sync_execution=False),
            lambda: None,
        )
    codecarbon = importlib.import_module("codecarbon")
    tracker = codecarbon.OfflineEmissionsTracker(country_iso_code="FRA", save_to_file=False, log_level="critical")
    return lambda: tracker.start_task("window"), lambda: tracker.stop_task("window"), tracker.stop


def reported_j(tool: str, result: Any) -> tuple[float | None, str]:
    """Joules of CPU and DRAM as the tool's result has them, and what it says beside them."""
    if tool == "energybench":
        low_j, high_j = result.windows[0].interval()
        copies = getattr(result.windows[0], "corrected", False)
        return result.energy_j, f"{low_j:.1f} … {high_j:.1f} J" + (", wrap corrected" if copies else "")
    if tool == "pyRAPL":
        values = [*(result.pkg or ()), *(result.dram or ())]
        said = "" if result.pkg is not None else "no package"
        return (sum(values) / 1e6 if result.pkg is not None else None), said
    if tool == "zeus":
        parts = [result.cpu_energy, result.dram_energy]
        values = [value for part in parts for value in (part or {}).values()]
        return (sum(values) if result.cpu_energy else None), "" if result.dram_energy else "no DRAM"
    said = f"{result.duration:.2f} s by its clock, RAM by a model {result.ram_energy * 3.6e6:.1f} J of it"
    return (result.cpu_energy + result.ram_energy) * 3.6e6, said


def reporter(tool: str, tree: str) -> None:
    """Print what the tool reports of a second on a tree, and what was drawn in it."""
    begin, end, clean_up = window_of(tool)
    begin()
    begun_ns = time.monotonic_ns()
    time.sleep(REPORT_S)
    elapsed_s = (time.monotonic_ns() - begun_ns) / 1e9
    energy_j, said = reported_j(tool, end())
    true_j = sum(zone.power_w for zone in TREES[tree] if zone.in_total) * elapsed_s
    print(json.dumps({"reported_j": energy_j, "said": said, "true_j": true_j}), flush=True)
    clean_up()
    os._exit(0)


def worker(tool: str, windows: int) -> None:
    """Print the median cost of a window."""
    begin, end, clean_up = window_of(tool)
    if tool == "codecarbon":
        windows = max(5, windows // 100)  # a window of it takes milliseconds
    costs_s = []
    for _ in range(windows):
        start_ns = time.perf_counter_ns()
        begin()
        end()
        costs_s.append((time.perf_counter_ns() - start_ns) / 1e9)
    print(json.dumps({"cost_s": statistics.median(costs_s)}), flush=True)
    clean_up()
    os._exit(0)  # helper processes and exit reports of the tools are not part of the figure


def write_tree(root: Path, zones: tuple[Zone, ...]) -> dict[Path, Zone]:
    """Zones as the kernel lays them out. Returns the counter files."""
    counters: dict[Path, Zone] = {}
    for zone in zones:
        control = root / "powercap" / zone.directory.partition(":")[0]
        parent = zone.directory.rpartition(":")[0]
        directory = control / parent / zone.directory if ":" in parent else control / zone.directory
        directory.mkdir(parents=True)
        (control / "enabled").write_text("1\n")
        if not (control / "subsystem").is_symlink():
            (control / "subsystem").symlink_to(root / "powercap")
        (directory / "name").write_text(f"{zone.name}\n")
        (directory / "max_energy_range_uj").write_text(f"{RANGE_UJ}\n")
        (directory / "energy_uj").write_text(f"{zone.start_uj:020d}\n")
        counters[directory / "energy_uj"] = zone
        (root / "powercap" / zone.directory).symlink_to(directory.relative_to(root / "powercap"))
    return counters


def run_writer(counters: dict[Path, Zone], delay_s: float = 0.0) -> None:
    """Move the counters once a millisecond, for as long as the process lives; nothing moves before the delay."""
    files = [(os.open(path, os.O_WRONLY), zone) for path, zone in counters.items()]
    start_ns = time.monotonic_ns() + round(delay_s * 1e9)
    while True:
        elapsed_us = max(0, (time.monotonic_ns() - start_ns) // 1000)
        for file, zone in files:
            os.pwrite(file, f"{(zone.start_uj + zone.power_w * elapsed_us) % (RANGE_UJ + 1):020d}\n".encode(), 0)
        time.sleep(1e-3)


@contextlib.contextmanager
def moving_tree(zones: tuple[Zone, ...]) -> Iterator[None]:
    """A tree over /sys/class whose counters move while the block runs."""
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/sys/class"], check=True)
    counters = write_tree(Path("/sys/class"), zones)
    writer = os.fork()
    if writer == 0:
        run_writer(counters)
    try:
        yield
    finally:
        os.kill(writer, signal.SIGKILL)
        os.waitpid(writer, 0)
        subprocess.run(["umount", "--lazy", "/sys/class"], check=True)


def report_table(arguments: argparse.Namespace) -> None:
    """What each tool reports on each tree."""
    print(f"\n| tree | drawn in {REPORT_S:g} s | " + " | ".join(TOOLS) + " |")
    print("|---|---:|" + "---|" * len(TOOLS))
    for name, zones in TREES.items():
        cells, true_j = [], sum(zone.power_w for zone in zones if zone.in_total) * REPORT_S
        for tool in TOOLS:
            # A tree of its own for every tool: a wrap happens once.
            with moving_tree(zones):
                output = run_alone([*python_of(tool, arguments), "--report", name, "--worker", tool])
            found = [json.loads(line) for line in output if line.startswith('{"reported_j"')]
            if not found:
                cells.append(f"error: {(output or ['no output'])[-1][:90]}")
                continue
            energy_j, said = found[0]["reported_j"], found[0]["said"]
            value = "nothing" if energy_j is None else f"{energy_j:.1f} J"
            if energy_j is not None and found[0]["true_j"]:
                value += f" ({energy_j / found[0]['true_j'] - 1:+.1%})"
            cells.append(value + (f"; {said}" if said else ""))
        print(f"| {name} | {true_j:.0f} J | " + " | ".join(cell.replace("|", "/") for cell in cells) + " |", flush=True)


def python_of(tool: str, arguments: argparse.Namespace) -> list[str]:
    """The interpreter that has the tool, and this file."""
    return [sys.executable if tool == "energybench" else arguments.peers, os.path.abspath(__file__)]


def run_alone(command: list[str], timeout_s: float = 60.0) -> list[str]:
    """Lines that the command wrote. Helper processes that it leaves behind are ended with it.

    To a file and not a pipe, which such helpers would hold open.
    """
    with tempfile.TemporaryDirectory() as empty, tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, cwd=empty, start_new_session=True, text=True
        )
        try:
            process.wait(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            output.write(f"no answer within {timeout_s:g} s\n")
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        output.seek(0)
        return output.read().strip().splitlines()


def inside(arguments: argparse.Namespace) -> None:
    """In the namespace: mount, let the writer run, take turns, print the tables."""
    if arguments.rounds:
        with moving_tree(TREES[STEADY]):
            cost_table(arguments)
            open_window_cost()
    if not arguments.no_report:
        report_table(arguments)


def cost_table(arguments: argparse.Namespace) -> None:
    """What a window costs."""
    costs_s: dict[str, list[float]] = {tool: [] for tool in TOOLS}
    failures: dict[str, str] = {}
    for _ in range(arguments.rounds):
        for tool in TOOLS:
            if tool in failures:
                continue
            command = [*python_of(tool, arguments), "--worker", tool, "--windows", str(arguments.windows)]
            output = run_alone(command)
            lines = [line for line in output if line.startswith('{"cost_s"')]
            if lines:
                costs_s[tool].append(json.loads(lines[-1])["cost_s"])
            else:
                failures[tool] = (output or ["no output"])[-1]
    own_s = statistics.median(costs_s["energybench"])
    print("| tool | begin + end | least … most over rounds | energybench / tool |")
    print("|---|---:|---|---:|")
    for tool in TOOLS:
        if tool in failures or not costs_s[tool]:
            print(f"| {tool} | did not run: {failures.get(tool, 'no rounds')} | | |")
            continue
        median_s = statistics.median(costs_s[tool])
        spread = f"{min(costs_s[tool]) * 1e6:.1f} … {max(costs_s[tool]) * 1e6:.1f} µs"
        print(f"| {tool} | {median_s * 1e6:.1f} µs | {spread} | {own_s / median_s:.3f} |")


OPEN_S = 20.0


def open_window_cost() -> None:
    """CPU time of this process while one window stands open over the moving tree, and the processes it started."""
    begin, end, clean_up = window_of("energybench")
    begin()
    cpu_s, begun_s = time.process_time(), time.monotonic()
    time.sleep(OPEN_S)
    cpu_s, open_s = time.process_time() - cpu_s, time.monotonic() - begun_s
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    end()
    clean_up()
    # The writer of the tree is this process's child too, and the only one.
    print(f"\nA window open for {open_s:.0f} s took {cpu_s / open_s:.4%} of a CPU and {len(children) - 1} processes.")


def import_cost() -> None:
    """Time to import the metering path in a fresh process, and whether it brought torch."""
    code = (
        "import time; t = time.perf_counter(); from energybench.app.measure import measure; "
        "import sys; print(time.perf_counter() - t, 'torch' in sys.modules)"
    )
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True) for _ in range(7)]
    times_s = [float(run.stdout.split()[0]) for run in runs]
    torch = any(run.stdout.split()[1] == "True" for run in runs)
    print(f"\nImport of the metering path: {statistics.median(times_s) * 1e3:.0f} ms (median of 7), torch: {torch}")


def main() -> int:
    """Re-execute in a private mount namespace, then measure there."""
    parser = argparse.ArgumentParser(description="Cost of one window on a fake powercap tree.")
    parser.add_argument("--peers", default=sys.executable, help="interpreter that has pyRAPL, zeus, codecarbon")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--windows", type=int, default=3000)
    parser.add_argument("--no-report", action="store_true", help="costs only")
    parser.add_argument("--report", choices=TREES, help=argparse.SUPPRESS)
    parser.add_argument("--worker", choices=TOOLS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    arguments.peers = os.path.abspath(arguments.peers)  # workers run in a directory of their own
    if arguments.report:
        reporter(arguments.worker, arguments.report)
        return 0
    if arguments.worker:
        worker(arguments.worker, arguments.windows)
        return 0
    if os.environ.get(INSIDE):
        inside(arguments)
        return 0
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    command = ["unshare", *user, "--mount", sys.executable, os.path.abspath(__file__), *sys.argv[1:]]
    done = subprocess.run(command, env={**os.environ, INSIDE: "1"}, check=False)
    if done.returncode == 0:
        import_cost()
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
