"""How many virtual minutes a sequential D-optimal choice saves against the full grid, at equal width of the intervals.

Both calibrate the same virtual device with the candidates of the `standard` design. The grid takes them in rounds of
random order; the choice begins with a few rows chosen with the coefficients of another machine, then fits, and chooses
the next batch under what was fitted, one window of each workload. Width: the widest relative 95 % interval of the five
coefficients.

Usage: python benchmarks/design_study.py SCENARIO.toml FOLDER [PICTURE.svg]
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

import numpy as np

from energybench.design.sequential import next_batch
from energybench.fitting import fit_records
from energybench.meters.characterise import characterise
from energybench.meters.simulated import SimulatedMeter
from energybench.meters.virtual_device import VirtualDevice
from energybench.protocol import VirtualExecutor, run_design
from energybench.records.frame import load_records
from energybench.records.run_directory import RunDirectory
from energybench.workloads import Design, named_design
from energybench.workloads.workload import Workload

NAMES = ("mac_fp32_j", "other_flop_j", "byte_j", "launch_j", "static_power_w")
BATCH = 14
#: Another machine's joules and rates, orders of magnitude off: what one knows before the first window.
GUESS_J = np.array([1e-10, 1e-10, 3e-10, 2e-5, 10.0])
GUESS_RATES = (5e10, 2e10, 3e-6)


class Bench:
    """One virtual device, and the runs made on it so far."""

    def __init__(self, scenario: Path, folder: Path) -> None:
        self.device = VirtualDevice.load(scenario)
        self.meter = SimulatedMeter(self.device)
        self.found = characterise(self.meter)
        self.folder, self.runs = folder, list[Path]()

    def take(self, workloads: list[Workload]) -> tuple[float, float | None]:
        """One window of each; returns virtual minutes since the start and the width now."""
        path = self.folder / str(len(self.runs))
        run_design(
            Design("study", tuple(workloads), 1, 1, 0.02, 1.0),
            VirtualExecutor(self.device),
            self.meter,
            RunDirectory(path),
            seed=len(self.runs),
            characteristics=self.found,
        )
        self.runs.append(path)
        return self.device.clock.now_ns() / 60e9, self.width()

    def width(self) -> float | None:
        """Widest relative half-interval; None where one does not exist."""
        fit = fit_records(load_records(*self.runs), equation="physical")
        widths = []
        for name, (low, high) in fit.conf_int(0.95).items():
            value = fit.params[name]
            if low is None or high is None or not value > 0:
                return None
            widths.append((high - low) / 2 / value)
        return float(max(widths))

    def coefficients(self) -> np.ndarray:
        """Fitted last."""
        fit = fit_records(load_records(*self.runs), equation="physical")
        return np.array([max(0.0, fit.params.get(name, 0.0)) for name in NAMES])


def features(workloads: list[Workload], time_of: dict[str, float]) -> np.ndarray:
    """The five columns of each workload, with its measured time where there is one."""
    rows = []
    mac_rate, byte_rate, launch_s = GUESS_RATES
    for w in workloads:
        c = w.counts()
        guess_s = max(c.macs / mac_rate, c.bytes / byte_rate) + c.launches * launch_s or 1.0
        rows.append([c.macs, c.other_flops, c.bytes, c.launches, time_of.get(w.name, guess_s)])
    return np.array(rows, dtype=float)


def grid(scenario: Path, folder: Path, workloads: list[Workload]) -> list[tuple[float, float | None]]:
    """Three rounds of everything, in random order."""
    bench, curve = Bench(scenario, folder), []
    for repeat in range(3):
        order = list(workloads)
        random.Random(repeat).shuffle(order)
        for i in range(0, len(order), 2 * BATCH):
            curve.append(bench.take(order[i : i + 2 * BATCH]))
    return curve


def chosen(
    scenario: Path, folder: Path, workloads: list[Workload], most_minutes: float
) -> list[tuple[float, float | None]]:
    """Batches chosen under the last fit."""
    bench = Bench(scenario, folder)
    curve: list[tuple[float, float | None]] = []
    taken: list[int] = []
    coefficients, time_of = GUESS_J, dict[str, float]()
    while len(taken) < len(workloads) and (not curve or curve[-1][0] < most_minutes):
        X = features(workloads, time_of)
        batch: list[int] = []
        # The unit of the fit's errors is the workload: a second window of one narrows nothing, another workload does.
        left = [i for i in range(len(workloads)) if i not in taken]
        order = taken + left
        for index in next_batch(X[order], coefficients, 40 * BATCH, run_so_far=np.arange(len(taken))):
            if order[index] in left and order[index] not in batch and len(batch) < BATCH:
                batch.append(order[index])
        batch += [i for i in left if i not in batch][: max(0, BATCH - len(batch))]
        taken += batch
        curve.append(bench.take([workloads[i] for i in batch]))
        frame = load_records(*bench.runs)
        work = frame[frame["split"] != "idle"]
        time_of = {str(name): float(t) for name, t in work.groupby("workload")["time_s"].mean().items()}
        coefficients = bench.coefficients()
    return curve


def picture(curves: dict[str, list[tuple[float, float | None]]], path: Path) -> None:
    """Width over virtual minutes, both logarithmic in width, as plain SVG."""
    points = [(m, w) for curve in curves.values() for m, w in curve if w]
    right, top, bottom = max(m for m, _ in points), max(w for _, w in points), min(w for _, w in points)

    def xy(m: float, w: float) -> tuple[float, float]:
        return 60 + 520 * m / right, 30 + 260 * np.log(top / w) / np.log(top / bottom)

    parts = ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 640 350" font-family="sans-serif" font-size="12">']
    parts.append('<rect width="640" height="350" fill="white"/><path d="M60 30V290H580" fill="none" stroke="#888"/>')
    for (name, curve), colour in zip(curves.items(), ("#888888", "#1f6fb4"), strict=True):
        line = [xy(m, w) for m, w in curve if w]
        path_d = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in line)
        parts.append(f'<path d="{path_d}" fill="none" stroke="{colour}" stroke-width="2"/>')
        x, y = line[-1]
        parts.append(f'<text x="{x + 4:.0f}" y="{y - 6:.0f}" fill="{colour}" text-anchor="end">{name}</text>')
    for m in range(0, int(right) + 1, 10):
        parts.append(f'<text x="{xy(m, top)[0]:.0f}" y="306" text-anchor="middle" fill="#444">{m}</text>')
    for w in (top, (top * bottom) ** 0.5, bottom):
        parts.append(f'<text x="54" y="{xy(0, w)[1] + 4:.0f}" text-anchor="end" fill="#444">{100 * w:.2g} %</text>')
    parts.append('<text x="320" y="330" text-anchor="middle" fill="#444">virtual minutes</text>')
    parts.append('<text x="60" y="18" fill="#444">widest relative 95 % half-interval, simulated</text></svg>')
    path.write_text("\n".join(parts) + "\n", encoding="utf-8")


def main(scenario: Path, folder: Path, out: Path | None = None) -> None:
    """Both curves, printed and drawn."""
    workloads = [w for w in named_design("standard", "cpu").workloads if w.split != "heldout"]
    full = grid(scenario, folder / "grid", workloads)
    best = chosen(scenario, folder / "chosen", workloads, full[-1][0])
    for name, curve in (("grid", full), ("chosen", best)):
        for minutes, width in curve:
            print(f"{name}\t{minutes:.1f} min\t{'–' if width is None else f'{100 * width:.2f} %'}")
    goal = full[-1][1]
    reached = next((m for m, w in best if w is not None and goal is not None and w <= goal), None)
    if goal is not None:
        found = "not reached" if reached is None else f"{reached:.1f} min"
        print(f"grid: {full[-1][0]:.1f} min for {100 * goal:.2f} %; chosen: {found}")
    if out is not None:
        picture({"full grid": full, "chosen in sequence": best}, out)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
