"""How many virtual minutes choosing the windows saves against the full grid, at equal width of the intervals.

All calibrate the same virtual device with the candidates of the `standard` design and windows of one length: the grid
in rounds of random order, the choosers of ``calibrate --design optimal`` for the coefficients and for one target
model. What is compared is the width that a fit of the records so far states: of the widest coefficient, and of the
target's estimate.

Usage: python benchmarks/design_study.py SCENARIO.toml FOLDER [PICTURE.svg [SEEDS]]
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from energybench.app.choose_runs import RunChooser
from energybench.fitting import FitResult, fit_records
from energybench.meters.simulated import SimulatedMeter
from energybench.meters.virtual_device import VirtualDevice
from energybench.model.features import FeatureTable, feature_row
from energybench.protocol import VirtualExecutor, run_design
from energybench.records.frame import record_row
from energybench.records.run_directory import RunDirectory
from energybench.records.run_record import RunRecord
from energybench.workloads import Design, named_design
from energybench.workloads.designs import candidate_workloads
from energybench.workloads.network_rows import transformer_encoder
from energybench.workloads.workload import Workload

WINDOWS = 300
STEP = 12
TARGET = transformer_encoder(8, 128)
Curve = list[tuple[float, float | None, float | None]]


def records_of(scenario: Path, folder: Path, name: str, workloads: Sequence[Workload], seed: int) -> list[RunRecord]:
    """The records of one strategy, with the virtual time at which each was there."""
    device = VirtualDevice.load(scenario)
    run = RunDirectory(folder / f"{name}-{seed}")
    candidates = candidate_workloads("cpu")
    repeats = -(-WINDOWS // len(workloads))
    design = Design("study", tuple(workloads) if name == "grid" else candidates, repeats, repeats, 0.02, 1.0)
    counts = TARGET.counts()
    choosers = {
        "grid": None,
        "coefficients": RunChooser(candidates, windows=WINDOWS),
        "target model": RunChooser(candidates, windows=WINDOWS, targets=[counts]),
        "coefficients, grid's rows": RunChooser(workloads, windows=WINDOWS, most_each=WINDOWS),
    }
    run_design(design, VirtualExecutor(device), SimulatedMeter(device), run, seed=seed, choose=choosers[name])
    return run.read_records()[:WINDOWS]


def widths(records: Sequence[RunRecord]) -> tuple[float | None, float | None]:
    """Relative 95 % half-widths: of the widest coefficient, and of the target's energy; None where there is none."""
    try:
        fit = fit_records(
            pd.DataFrame([record_row(r) for r in records]), by_kernel_class=False, validation=False, time_law=False
        )
    except Exception:  # too few rows for a fit
        return None, None
    each = []
    for name, (low, high) in fit.conf_int(0.95).items():
        value = fit.params[name]
        each.append((high - low) / 2 / value if low is not None and high is not None and value > 0 else np.inf)
    widest = float(max(each))
    return (widest if np.isfinite(widest) else None), target_width(fit)


def target_width(fit: FitResult) -> float | None:
    """Student's t with the fewest degrees of freedom among the terms that make a twentieth of the estimate."""
    from scipy.stats import t

    counts = TARGET.counts()
    time_s = max(counts.macs / 2.0e12, counts.bytes / 1.0e11) + counts.launches * 5.0e-6
    row = fit.equation.features(FeatureTable.from_rows([feature_row(counts, time_s=time_s)])).X[0]
    energy_j = float(row @ np.array([fit.params[n] for n in fit.equation.names]))
    parts = {n: row[i] * fit.params[n] / energy_j for i, n in enumerate(fit.equation.names)}
    dofs = [fit.dof[n] for n, share in parts.items() if share >= 0.05]
    known = [d for d in dofs if d is not None]
    if len(known) < len(dofs) or not known:
        return None
    return float(t.ppf(0.975, min(known)) * np.sqrt(row @ fit.covariance @ row) / energy_j)


def curve(records: Sequence[RunRecord]) -> Curve:
    """Minutes, and the two widths, after every few windows."""
    found: Curve = []
    for n in range(STEP, len(records) + 1, STEP):
        coefficient, target = widths(records[:n])
        found.append((records[n - 1].end_ns / 60e9, coefficient, target))
    return found


def reached(found: Curve, column: int, width: float) -> float | None:
    """Minutes from which on the width stays below `width`."""
    minutes = None
    for row in reversed(found):
        value = row[column]
        if value is None or value > width:
            break
        minutes = row[0]
    return minutes


def picture(curves: dict[str, Curve], path: Path) -> None:
    """Both widths over virtual minutes, as plain SVG."""
    colours = dict(zip(curves, ("#888888", "#1f6fb4", "#c0504d", "#6a9a3c"), strict=False))
    parts = ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 900 350" font-family="sans-serif" font-size="12">']
    parts.append('<rect width="900" height="350" fill="white"/>')
    for panel, (column, title) in enumerate(((1, "widest coefficient"), (2, "estimate of the target model"))):
        points = [(row[0], w) for c in curves.values() for row in c if (w := row[column]) is not None and w < 1.0]
        right, top, bottom = max(m for m, _ in points), max(w for _, w in points), min(w for _, w in points)
        left = 60 + 440 * panel

        def xy(m: float, w: float, at: tuple[float, ...] = (left, right, top, bottom)) -> tuple[float, float]:
            x, most, high, low = at
            return x + 360 * m / most, 40 + 250 * float(np.log(high / w) / np.log(high / low))

        parts.append(f'<path d="M{left} 40V290H{left + 360}" fill="none" stroke="#888"/>')
        parts.append(f'<text x="{left}" y="26" fill="#444">95 % half-width of the {title}, simulated</text>')
        for i, (name, found) in enumerate(curves.items()):
            line = [xy(row[0], w) for row in found if (w := row[column]) is not None and w < 1.0]
            if line:
                path_d = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in line)
                parts.append(f'<path d="{path_d}" fill="none" stroke="{colours[name]}" stroke-width="2"/>')
            y = 52 + 16 * i
            parts.append(f'<text x="{left + 356}" y="{y}" fill="{colours[name]}" text-anchor="end">{name}</text>')
        for m in range(0, int(right) + 1, 10):
            parts.append(f'<text x="{xy(m, top)[0]:.0f}" y="306" text-anchor="middle" fill="#444">{m}</text>')
        for w in (top, (top * bottom) ** 0.5, bottom):
            y = xy(0, w)[1] + 4
            parts.append(f'<text x="{left - 6}" y="{y:.0f}" text-anchor="end" fill="#444">{100 * w:.2g} %</text>')
        parts.append(f'<text x="{left + 180}" y="330" text-anchor="middle" fill="#444">virtual minutes</text>')
    path.write_text("\n".join([*parts, "</svg>"]) + "\n", encoding="utf-8")


def main(scenario: Path, folder: Path, out: Path | None = None, seeds: int = 1) -> None:
    """All curves, printed as a table and drawn."""
    workloads = [w for w in named_design("standard", "cpu").workloads if w.split != "heldout"]
    print(f"{len(workloads)} rows of the grid, {len(candidate_workloads('cpu'))} candidates, {WINDOWS} windows")
    first: dict[str, Curve] = {}
    for seed in range(seeds):
        curves = {
            name: curve(records_of(scenario, folder, name, workloads, seed))
            for name in ("grid", "coefficients", "target model", "coefficients, grid's rows")
        }
        first = first or curves
        for column, title in ((1, "widest coefficient"), (2, "target estimate")):
            for windows in (96, 192, 288):
                minutes, *both = curves["grid"][windows // STEP - 1]
                width = both[column - 1]
                line = f"seed {seed}  {title}: grid {minutes:.1f} min for " + ("–" if width is None else f"{width:.2%}")
                for name in list(curves)[1:]:
                    at = None if width is None else reached(curves[name], column, width)
                    line += f"; {name} " + ("not reached" if at is None else f"{at:.1f} min")
                print(line, flush=True)
    if out is not None:
        picture(first, out)


if __name__ == "__main__":
    paths = list(map(Path, sys.argv[1:4]))
    main(*paths, seeds=int(sys.argv[4]) if len(sys.argv) > 4 else 1)
