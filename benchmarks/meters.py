"""One window of energybench and of other tools on the same fake powercap tree: what it costs, what it reports.

    python benchmarks/meters.py [--peers PYTHON] [--rounds N] [--windows N]

The tree (one socket: package and DRAM) is mounted over /sys/class in a private mount namespace, where a writer process
moves its counters every millisecond, so each tool runs as its users install it, hard-coded paths included. Rounds take
turns between the tools; a figure is the median over rounds of the median over windows. `--peers` names the interpreter
of an environment that has pyRAPL, zeus and codecarbon; a tool that it lacks is printed as not installed. Needs root or
user namespaces (Linux).

A second table has trees on which tools disagree (`TREES`), what was drawn over a second, and what each tool reports.
The writer claims to be a counter of 1 ms, and says how long a value of it stood at most: a second in which that was
longer than `LATEST_S` is taken again, since then the fake, and no tool, was wrong. A tool reads its counters somewhere
inside its two calls: where these take a hundredth of the second or more, a value is right anywhere between what was
drawn between the calls and what was drawn with them, and the cell says how long they took. Our own intervals are held
against what was drawn between the two readings, in `HELD_WINDOWS` more windows of each tree: one in twenty may miss.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import mmap
import os
import random
import signal
import statistics
import struct
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
#: Windows beside the one in the table, on each tree, in which our interval is held against the truth, and their length.
HELD_WINDOWS = 40
HELD_S = (0.05, 0.15)
PERIOD_S = 1e-3
#: A value of the writer that stood for longer is not that of a counter of `PERIOD_S`.
LATEST_S = 2e-3
#: Seconds that are taken for one figure at most.
TRIES = 4
#: Moving before the window begins, so that it begins inside a load.
LEAD_S = 0.1
#: Share of windows that must hold the truth: as in the study of sensors.
HELD_GOAL = 0.93
LATENESS = "ENERGYBENCH_BENCH_LATENESS"
_NUMBER = struct.Struct("=q")
#: Places of the page's numbers. Each is written by one side only, but for the longest time, forgotten late at worst.
_WRITES, _WORST_NS, _BEGIN_NS, _PAGE_BYTES = 0, 8, 16, 24


class Lateness:
    """A page shared with the writer: how often it wrote, how long a value stood at most, and when it is to begin."""

    def __init__(self, path: str) -> None:
        with open(path, "r+b") as file:
            self._page = mmap.mmap(file.fileno(), _PAGE_BYTES)

    def _get(self, place: int) -> int:
        return int(_NUMBER.unpack_from(self._page, place)[0])

    def wrote(self, stood_ns: int) -> None:
        """For the writer."""
        _NUMBER.pack_into(self._page, _WORST_NS, max(self._get(_WORST_NS), stood_ns))
        _NUMBER.pack_into(self._page, _WRITES, self._get(_WRITES) + 1)

    @property
    def begin_ns(self) -> int:
        """When the counters begin to move; 0 as long as they are to stand."""
        return self._get(_BEGIN_NS)

    def begin(self) -> None:
        """Let the counters move from now on."""
        _NUMBER.pack_into(self._page, _BEGIN_NS, time.monotonic_ns())

    def reset(self) -> None:
        """Forget the longest time; a value that stands at this moment will count for all of its time."""
        _NUMBER.pack_into(self._page, _WORST_NS, 0)

    def worst_s(self) -> float:
        """Longest time since `reset`, that of the value at this moment included: waits for the next one."""
        writes, deadline_s = self._get(_WRITES), time.monotonic() + 5.0
        while self._get(_WRITES) < writes + 2 and time.monotonic() < deadline_s:
            time.sleep(PERIOD_S)
        return self._get(_WORST_NS) / 1e9


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
    """Print what the tool reports of a second on a tree, and between which bounds lies what was drawn in it."""
    begin, end, clean_up = window_of(tool)
    late = Lateness(os.environ[LATENESS]) if TREES[tree] else None
    power_w = sum(zone.power_w for zone in TREES[tree] if zone.in_total)
    if late is not None:
        late.begin()
        time.sleep(LEAD_S)
        late.reset()
    before_ns = time.monotonic_ns()
    begin()
    begun_ns = time.monotonic_ns()
    time.sleep(REPORT_S)
    ending_ns = time.monotonic_ns()
    result = end()
    after_ns = time.monotonic_ns()
    late_s = 0.0 if late is None else late.worst_s()
    energy_j, said = reported_j(tool, result)
    least_j, most_j = (power_w * ns / 1e9 for ns in (ending_ns - begun_ns, after_ns - before_ns))
    found = {"reported_j": energy_j, "said": said, "least_j": least_j, "most_j": most_j, "late_s": late_s}
    if tool == "energybench" and late is not None:
        found["held"], found["taken"] = held_windows(begin, end, late, power_w)
    print(json.dumps(found), flush=True)
    clean_up()
    os._exit(0)


def held_windows(
    begin: Callable[[], object], end: Callable[[], Any], late: Lateness, power_w: float
) -> tuple[int, int]:
    """In how many windows our interval held what was drawn between its readings, and of how many: the fake on time."""
    draw, held, taken = random.Random(), 0, 0
    for _ in range(HELD_WINDOWS * 3):
        late.reset()
        begin()
        time.sleep(draw.uniform(*HELD_S))
        window = end().windows[0]
        if late.worst_s() > LATEST_S:
            continue
        low_j, high_j = window.interval()
        taken += 1
        held += low_j <= power_w * window.time_s <= high_j
        if taken == HELD_WINDOWS:
            break
    return held, taken


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


def run_writer(counters: dict[Path, Zone], late: Lateness) -> None:
    """Move the counters once a millisecond, for as long as the process lives; nothing moves before it is told."""
    with contextlib.suppress(OSError):  # before all others where that is allowed, so that it is seldom late
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    files = [(os.open(path, os.O_WRONLY), zone) for path, zone in counters.items()]
    written_ns = next_ns = time.monotonic_ns()
    while True:
        now_ns, begin_ns = time.monotonic_ns(), late.begin_ns
        elapsed_us = max(0, (now_ns - begin_ns) // 1000) if begin_ns else 0
        for file, zone in files:
            os.pwrite(file, f"{(zone.start_uj + zone.power_w * elapsed_us) % (RANGE_UJ + 1):020d}\n".encode(), 0)
        late.wrote(time.monotonic_ns() - written_ns)
        written_ns = now_ns
        next_ns = max(next_ns + round(PERIOD_S * 1e9), now_ns)
        time.sleep(max(0, next_ns - time.monotonic_ns()) / 1e9)


@contextlib.contextmanager
def moving_tree(zones: tuple[Zone, ...]) -> Iterator[Lateness]:
    """A tree over /sys/class whose counters move while the block runs, from when they are told to."""
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/sys/class"], check=True)
    counters = write_tree(Path("/sys/class"), zones)
    with tempfile.NamedTemporaryFile() as page:
        page.write(bytes(_PAGE_BYTES))
        page.flush()
        os.environ[LATENESS] = page.name
        writer = os.fork()
        if writer == 0:
            run_writer(counters, Lateness(page.name))
        try:
            yield Lateness(page.name)
        finally:
            os.kill(writer, signal.SIGKILL)
            os.waitpid(writer, 0)
            subprocess.run(["umount", "--lazy", "/sys/class"], check=True)


def report_table(arguments: argparse.Namespace) -> bool:
    """What each tool reports on each tree; whether our intervals held the truth as often as they say, or nearly so."""
    held = taken = 0
    print(f"\n| tree | drawn in {REPORT_S:g} s | " + " | ".join(TOOLS) + " |")
    print("|---|---:|" + "---|" * len(TOOLS))
    for name, zones in ((n, z) for n, z in TREES.items() if arguments.tree in (None, n)):
        cells, true_j = [], sum(zone.power_w for zone in zones if zone.in_total) * REPORT_S
        for tool in TOOLS:
            for _ in range(TRIES):
                # A tree of its own for every second: a wrap happens once.
                with moving_tree(zones):
                    output = run_alone([*python_of(tool, arguments), "--report", name, "--worker", tool])
                answers = [json.loads(line) for line in output if line.startswith('{"reported_j"')]
                if answers:
                    held, taken = held + answers[0].get("held", 0), taken + answers[0].get("taken", 0)
                if not answers or answers[0]["late_s"] <= LATEST_S:
                    break
            cells.append(cell(answers[0]) if answers else f"error: {(output or ['no output'])[-1][:90]}")
        print(f"| {name} | {true_j:.0f} J | " + " | ".join(text.replace("|", "/") for text in cells) + " |", flush=True)
    print(f"\nOur 95 % interval held what was drawn between its readings in {held} of {taken} further windows.")
    return held >= HELD_GOAL * taken


def cell(found: dict[str, Any]) -> str:
    """One tool on one tree: what it reports, how far that is from what was drawn between its calls, what it says."""
    energy_j, least_j, most_j = found["reported_j"], found["least_j"], found["most_j"]
    value = "nothing" if energy_j is None else f"{energy_j:.1f} J"
    if energy_j is not None and least_j:
        highest_j = most_j if most_j > 1.01 * least_j else least_j
        # Negative where too little is reported.
        outside_j = max(0.0, energy_j - highest_j) + min(0.0, energy_j - least_j)
        value += f" ({outside_j / least_j:+.1%})" if outside_j or highest_j == least_j else " (between)"
    calls_s = REPORT_S * (most_j / least_j - 1) if least_j else 0.0
    calls = f"its calls took {calls_s:.2f} s" if calls_s > 0.01 * REPORT_S else ""
    late = f"the fake was late: {found['late_s'] * 1e3:.1f} ms" if found["late_s"] > LATEST_S else ""
    return "; ".join(part for part in (value, calls, found["said"], late) if part)


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


def inside(arguments: argparse.Namespace) -> bool:
    """In the namespace: mount, let the writer run, take turns, print the tables. False where intervals do not hold."""
    if arguments.rounds:
        with moving_tree(TREES[STEADY]) as late:
            late.begin()
            cost_table(arguments)
            open_window_cost()
    return True if arguments.no_report else report_table(arguments)


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
    parser.add_argument("--tree", choices=TREES, help="the second table for one tree only")
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
        return 0 if inside(arguments) else 1
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    command = ["unshare", *user, "--mount", sys.executable, os.path.abspath(__file__), *sys.argv[1:]]
    done = subprocess.run(command, env={**os.environ, INSIDE: "1"}, check=False)
    import_cost()
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
