"""Native kernels beside torch (`make bench-kernels`); writes docs/bench-kernels.md and its roofline plot.

Every case runs ours and torch's in turns in one process, on the same data with the same number of threads; the table
has the medians over rounds and the median of the rounds' ratios. float32, 1 and 2 threads. The ceilings are measured in
the same run: the peak is the FMA probe's on the widest vectors that the processor has, and the bandwidth is torch's
best of copying and of reading a working set of the case's size, which is that of the cache that holds it.

Cases stand by family in benchmarks/kernel_cases/, with the goal written before the first run.
"""

from __future__ import annotations

import argparse
import importlib
import math
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from benchmarks.kernel_cases import FAMILIES, Case
from energybench import kernels

ROOT: Final = Path(__file__).resolve().parent.parent
PAGE: Final = ROOT / "docs" / "bench-kernels.md"
PLOT: Final = ROOT / "docs" / "images" / "kernels_roofline.svg"
ROUNDS: Final = 15
#: Bytes at which bandwidth is measured: about half of a core's second-level cache, and steps beyond it.
WORKING_SETS: Final = (1 << 20, 1 << 22, 1 << 24, 1 << 26, 1 << 29)
#: A timed sample is as many calls as take about so long, so that the clock and the loop weigh nothing.
SAMPLE_S: Final = 2e-3


@dataclass(frozen=True)
class Measured:
    """One case at one number of threads."""

    case: Case
    threads: int
    ours_s: float
    torch_s: float
    ratio: float
    gflops: float
    gbytes: float


def _calls_for(run: Callable[[], Any]) -> int:
    run()
    begin = time.perf_counter()
    run()
    once = time.perf_counter() - begin
    return max(1, math.ceil(SAMPLE_S / max(once, 1e-7)))


def _sample_s(run: Callable[[], Any], calls: int) -> float:
    begin = time.perf_counter()
    for _ in range(calls):
        run()
    return (time.perf_counter() - begin) / calls


def measure(case: Case, threads: int, rounds: int = ROUNDS) -> Measured:
    """Time one case; `ratio` is torch's time over ours, so that more is better."""
    torch.set_num_threads(threads)
    with torch.no_grad():
        ours, theirs = case.ours(threads), case.theirs()
        calls = _calls_for(ours), _calls_for(theirs)
        pairs = [(_sample_s(ours, calls[0]), _sample_s(theirs, calls[1])) for _ in range(rounds)]
    ours_s = statistics.median(a for a, _ in pairs)
    counts = case.counts()
    return Measured(
        case,
        threads,
        ours_s,
        statistics.median(b for _, b in pairs),
        statistics.median(b / a for a, b in pairs),
        counts.flops / ours_s / 1e9,
        (counts.load_bytes + counts.store_bytes) / ours_s / 1e9,
    )


def peak_gflops(threads: int) -> float:
    """GFLOP/s of the FMA probe, of vectors of 32 and 64 bytes the faster."""
    steps, best = 100_000, 0.0
    for lanes in (8, 16):
        x = np.random.default_rng(0).random((8 * threads, 14, lanes), "float32")
        flops = kernels.count("probe_fma", x, steps=steps).flops
        seconds = min(_sample_s(lambda x=x: kernels.probe_fma(x, steps=steps, threads=threads), 1) for _ in range(9))
        best = max(best, flops / seconds / 1e9)
    return best


def stream_gbytes(threads: int, size: int) -> float:
    """GB/s at a working set of `size` bytes: of a copy of half of it to the other half, and of a sum, the faster."""
    torch.set_num_threads(threads)
    a, b = torch.ones(size // 8), torch.empty(size // 8)
    whole = torch.ones(size // 4)
    best = 0.0
    for run, moved in ((lambda: b.copy_(a), 8 * a.numel()), (whole.sum, 4 * whole.numel())):
        calls = _calls_for(run)
        best = max(best, moved / min(_sample_s(run, calls) for _ in range(7)) / 1e9)
    return best


@dataclass(frozen=True)
class Ceilings:
    """What the machine does at most on a number of threads: GFLOP/s, and GB/s by working set in bytes."""

    peak_gflops: float
    gbytes: dict[int, float]

    def stream(self, size: float) -> float:
        """GB/s of the smallest working set measured that holds `size` bytes, of the largest for more."""
        return self.gbytes[next((s for s in sorted(self.gbytes) if s >= size), max(self.gbytes))]

    @property
    def beyond_caches(self) -> float:
        """GB/s of the largest working set."""
        return self.gbytes[max(self.gbytes)]


def ceilings_of(threads: int) -> Ceilings:
    """Measure both."""
    return Ceilings(peak_gflops(threads), {size: stream_gbytes(threads, size) for size in WORKING_SETS})


def table(rows: Iterable[Measured], ceilings: dict[int, Ceilings]) -> str:
    """Markdown: one line for each case and number of threads."""
    lines = [
        "| case | threads | ours ms | torch ms | ratio | goal | GFLOP/s | of peak | GB/s | of bandwidth |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        most = ceilings[row.threads]
        peak, stream = most.peak_gflops, most.stream(row.gbytes * row.ours_s * 1e9)
        met = "" if row.ratio >= row.case.goal else " **missed**"
        lines.append(
            f"| {row.case.name} | {row.threads} | {1e3 * row.ours_s:.3f} | {1e3 * row.torch_s:.3f} "
            f"| {row.ratio:.2f}{met} | {row.case.goal:.1f} "
            f"| {row.gflops:.1f} | {row.gflops / peak:.0%} | {row.gbytes:.1f} "
            f"| {row.gbytes / stream:.0%} |"
        )
    return "\n".join(lines)


def plot(rows: list[Measured], ceilings: dict[int, Ceilings]) -> None:
    """Roofline of one thread: GFLOP/s against compulsory FLOP per byte, a marker for each case."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "energybench"
    import matplotlib.pyplot as plt

    peak, stream = ceilings[1].peak_gflops, ceilings[1].beyond_caches
    figure, axes = plt.subplots(figsize=(7, 4.5))
    intensity = np.logspace(-2, 3, 200)
    axes.loglog(
        intensity,
        np.minimum(peak, intensity * stream),
        color="#333333",
        label="peak, and bandwidth beyond the caches, measured",
    )
    for family, marker in zip(dict.fromkeys(r.case.family for r in rows), "osD^vPX*", strict=False):
        own = [r for r in rows if r.case.family == family and r.threads == 1 and r.gflops > 0]
        axes.loglog([r.gflops / r.gbytes for r in own], [r.gflops for r in own], marker, ms=5, alpha=0.8, label=family)
    axes.set(xlabel="FLOP per compulsory byte", ylabel="GFLOP/s (measured time, counted FLOPs)")
    axes.set_title("Native kernels on one thread")
    axes.grid(visible=True, which="both", alpha=0.2)
    axes.legend(fontsize=8)
    figure.tight_layout()
    PLOT.parent.mkdir(exist_ok=True)
    figure.savefig(PLOT, metadata={"Date": None})


def main() -> None:
    """Run the cases; write the page and the picture when all ran."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--family", choices=FAMILIES, action="append", help="only these, printed and not written")
    parser.add_argument("--case", help="only cases whose name has this in it; printed and not written")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    arguments = parser.parse_args()
    chosen = arguments.family or list(FAMILIES)
    ceilings = {t: ceilings_of(t) for t in (1, 2)}
    rows: list[Measured] = []
    for family in chosen:
        for case in importlib.import_module(f"benchmarks.kernel_cases.{family}").CASES:
            for threads in (1, 2) if arguments.case is None or arguments.case in case.name else ():
                rows.append(measure(case, threads, arguments.rounds))
                print(table(rows[-1:], ceilings).splitlines()[-1], flush=True)
    ceiling_lines = [
        f"{t} thread{'s' * (t > 1)}: {most.peak_gflops:.0f} GFLOP/s (FMA probe), "
        + ", ".join(f"{gbytes:.0f} GB/s at {size >> 20} MiB" for size, gbytes in most.gbytes.items())
        for t, most in ceilings.items()
    ]
    print(*ceiling_lines, sep="\n")
    if arguments.family or arguments.case:
        return
    met = sum(row.ratio >= row.case.goal for row in rows)
    PAGE.write_text(
        "# Native CPU kernels beside torch\n\n"
        "Written by `make bench-kernels` (`benchmarks/kernels.py`); times are measured on this machine and are no "
        "energy. Ratio: torch's time over ours, the median over rounds that run both in turns; more is better. FLOPs "
        "and bytes are counted (compulsory traffic). 'Of peak' compares with the FMA probe on the widest vectors, 'of "
        "bandwidth' with torch's best of a copy and a sum whose working set is as large as the case's bytes, for most "
        "cases stay in a cache from call to call.\n\n"
        f"torch {torch.__version__}, {platform.machine()}, {os.cpu_count()} processors, instruction sets "
        f"{', '.join(kernels.instruction_sets())}. {'. '.join(ceiling_lines)}.\n\n"
        f"{met} of {len(rows)} goals met. A plain call pays a few microseconds of checks (docs/kernels/README.md); "
        "the operators' pages are in `docs/kernels/`.\n\n"
        "![Roofline of the native kernels](images/kernels_roofline.svg)\n\n" + table(rows, ceilings) + "\n",
        encoding="utf-8",
    )
    plot(rows, ceilings)


if __name__ == "__main__":
    main()
