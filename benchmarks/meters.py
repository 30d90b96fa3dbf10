"""Cost of one window, begin and end, of energybench and of other tools on the same fake powercap tree.

    python benchmarks/meters.py [--peers PYTHON] [--rounds N] [--windows N]

The tree (one socket: package and DRAM) is mounted over /sys/class in a private mount namespace, where a writer process
moves its counters every millisecond, so each tool runs as its users install it, hard-coded paths included. Rounds take
turns between the tools; a figure is the median over rounds of the median over windows. `--peers` names the interpreter
of an environment that has pyRAPL, zeus and codecarbon; a tool that it lacks is printed as not installed. Needs root or
user namespaces (Linux).
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
from collections.abc import Callable
from pathlib import Path

TOOLS = ("energybench", "pyRAPL", "zeus", "codecarbon")
#: Powers that the writer gives the counters, in watts: small numbers are as costly to read as large ones.
POWER_W = {"package-0": 120, "dram": 15}
INSIDE = "ENERGYBENCH_BENCH_INSIDE"


def window_of(tool: str) -> tuple[Callable[[], object], Callable[[], object], Callable[[], object]]:
    """Begin, end and clean-up of one window, opened as the tool's own documentation does."""
    if tool == "energybench":
        from energybench.app.measure import close_meters, measure
        from energybench.meters import open_meter

        meter = open_meter("rapl:powercap")
        window = measure("window", meter=meter)
        return window.__enter__, lambda: window.__exit__(None, None, None), close_meters
    if tool == "pyRAPL":
        import pyRAPL

        pyRAPL.setup()
        measurement = pyRAPL.Measurement("window")
        return measurement.begin, measurement.end, lambda: None
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


def worker(tool: str, windows: int) -> None:
    """Print the median cost of a window, and what one second at known power is reported as."""
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


def write_tree(root: Path) -> dict[Path, int]:
    """Zones as the kernel lays them out. Returns the counter files and their power in watts."""
    control = root / "powercap" / "intel-rapl"
    package = control / "intel-rapl:0"
    dram = package / "intel-rapl:0:0"
    dram.mkdir(parents=True)
    (control / "enabled").write_text("1\n")
    (control / "subsystem").symlink_to(root / "powercap")
    counters: dict[Path, int] = {}
    for zone, name in ((package, "package-0"), (dram, "dram")):
        (zone / "name").write_text(f"{name}\n")
        (zone / "max_energy_range_uj").write_text("262143328850\n")
        (zone / "energy_uj").write_text(f"{1_000_000:020d}\n")
        counters[zone / "energy_uj"] = POWER_W[name]
        (root / "powercap" / zone.name).symlink_to(zone.relative_to(root / "powercap"))
    return counters


def run_writer(counters: dict[Path, int]) -> None:
    """Move the counters once a millisecond, for as long as the process lives."""
    files = [(os.open(path, os.O_WRONLY), power_w) for path, power_w in counters.items()]
    start_ns = time.monotonic_ns()
    while True:
        elapsed_us = (time.monotonic_ns() - start_ns) // 1000
        for file, power_w in files:
            os.pwrite(file, f"{1_000_000 + power_w * elapsed_us:020d}\n".encode(), 0)
        time.sleep(1e-3)


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
    """In the namespace: mount, let the writer run, take turns, print the table."""
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/sys/class"], check=True)
    counters = write_tree(Path("/sys/class"))
    writer = os.fork()
    if writer == 0:
        run_writer(counters)
    costs_s: dict[str, list[float]] = {tool: [] for tool in TOOLS}
    failures: dict[str, str] = {}
    try:
        for _ in range(arguments.rounds):
            for tool in TOOLS:
                if tool in failures:
                    continue
                python = sys.executable if tool == "energybench" else arguments.peers
                command = [python, os.path.abspath(__file__), "--worker", tool, "--windows", str(arguments.windows)]
                output = run_alone(command)
                lines = [line for line in output if line.startswith('{"cost_s"')]
                if lines:
                    costs_s[tool].append(json.loads(lines[-1])["cost_s"])
                else:
                    failures[tool] = (output or ["no output"])[-1]
    finally:
        os.kill(writer, 9)
        os.waitpid(writer, 0)
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
    parser.add_argument("--worker", choices=TOOLS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
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
