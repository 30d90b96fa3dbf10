"""How many virtual minutes choosing the windows saves against the full grid, at equal width (``make study-design``).

Every strategy calibrates the same virtual devices with windows of one length: two grids in rounds of random order, that
of the `standard` design and that of all candidates, and the choosers of ``calibrate --design optimal``, for the
coefficients and for one target model. The second grid tells what the richer candidates give from what choosing gives.
What is compared is the width that a fit of the records so far states: of the widest coefficient, and of the target's
estimate. The fit has the planted device's own terms. Stated widths mean something only where the intervals hold, so
that is counted too.

The devices are that of the README, on which the chooser was tuned, and random ones of `study_coverage` that nobody
looked at before the study was written down; every second of these has kernels that differ by 3 % for no reason that a
term explains.

Usage: python -m benchmarks.design_study [--seeds 3] [--jobs 2] [--data FILE.jsonl] [--page FILE] [--picture FILE.svg]
`--data` keeps every curve: runs that are in it are not run again.
"""

from __future__ import annotations

import argparse
import functools
import json
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
import pandas as pd

from benchmarks.study_coverage import random_scenario
from energybench.app.choose_runs import RunChooser
from energybench.fitting import FitResult, fit_records
from energybench.meters.scenario import Scenario
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

#: Windows between two fits of the records so far.
STEP: Final = 24
WINDOWS: Final = 12 * STEP
#: The grid's widths that the others are to reach: after so many of its windows.
MARKS: Final = (96, 192, 288)
#: Device 0 is the README's. 1 to 4 were looked at when the chooser was mended; the ones of the study begin after them.
DEVICES: Final = (0, *range(11, 20))
#: Between the noise of one seed and of the next; no device is numbered as high.
SEEDS_APART: Final = 1000
TARGET: Final = transformer_encoder(8, 128)
GRID, ALL, CHOSEN, FOR_TARGET = "standard grid", "grid of all candidates", "chosen", "chosen for the target"
STRATEGIES: Final = (GRID, ALL, CHOSEN, FOR_TARGET)
README_DEVICE: Final = {
    "planted": {
        "mac_fp32_j": 1.1e-11, "other_flop_j": 6.0e-12, "byte_j": 9.0e-11, "launch_j": 2.0e-6, "static_power_w": 41.0,
    },
    "time": {"mac_rate": 2.0e12, "byte_rate": 1.0e11, "launch_s": 5.0e-6},
    "sensor": {
        "update_period_s": 0.1, "averaging_window_s": 0.1, "resolution_j": 0.001, "gain": 1.0, "noise_rel": 0.01,
        "drift_rel_per_min": 0.0, "seed": 7,
    },
}  # fmt: skip


@dataclass(frozen=True)
class Point:
    """After some windows: virtual minutes, relative half-widths of the widest coefficient and of the target."""

    minutes: float
    coefficient: float | None
    target: float | None


@dataclass(frozen=True)
class Curve:
    """One run of one strategy; `held` of `stated` coefficient intervals at its end hold the planted value."""

    points: tuple[Point, ...]
    held: int
    stated: int


Results: TypeAlias = Mapping[tuple[int, int], Mapping[str, Curve]]


def device_sections(number: int) -> dict[str, Any]:
    """Device 0 is the README's; the others are random."""
    if number == 0:
        return dict(README_DEVICE)
    sections: dict[str, Any] = random_scenario(number)
    return sections if number % 2 else {**sections, "hidden": {"variant_sigma_energy": 0.03, "variant_sigma_time": 0.0}}


@functools.cache
def rows_of_the_study() -> tuple[tuple[Workload, ...], tuple[Workload, ...]]:
    """Rows of the standard grid and all candidates, made once: counting them takes longer than running them.

    The devices plant costs for float32 alone and know neither caches nor threads, so rows of other element types, cold
    rows and rows on other threads are left out of both.
    """
    everything = candidate_workloads("cpu")
    comparable = {w.name for w in everything}
    grid, candidates = (
        tuple(w for w in workloads if w.split != "heldout" and w.dtype == "float32" and w.name in comparable)
        for workloads in (named_design("standard", "cpu").workloads, everything)
    )
    return grid, candidates


def records_of(scenario: Scenario, strategy: str, seed: int) -> list[RunRecord]:
    """The records of one strategy, with the virtual time at which each was there."""
    device = VirtualDevice(scenario)
    grid, candidates = rows_of_the_study()
    workloads = grid if strategy == GRID else candidates
    repeats = -(-WINDOWS // len(workloads))
    design = Design("study", workloads, repeats, repeats, 0.02, 1.0)
    choosers = {
        CHOSEN: RunChooser(candidates, windows=WINDOWS),
        FOR_TARGET: RunChooser(candidates, windows=WINDOWS, targets=[TARGET.counts()]),
    }
    with tempfile.TemporaryDirectory() as folder:
        run = RunDirectory(folder)
        run_design(
            design, VirtualExecutor(device), SimulatedMeter(device), run, seed=seed, choose=choosers.get(strategy)
        )
        return run.read_records()[:WINDOWS]


def fit_of(records: pd.DataFrame) -> FitResult | None:
    """A fit of the records so far; None while there are too few."""
    try:
        return fit_records(
            records,
            by_kernel_class=False,
            optional=(),
            validation=False,
            time_law=False,
        )
    except Exception:  # too few rows for a fit
        return None


def widest(fit: FitResult) -> float | None:
    """Relative 95 % half-width of the widest coefficient; None where one has no interval."""
    each = []
    for name, (low, high) in fit.conf_int(0.95).items():
        value = fit.params[name]
        if low is None or high is None or value <= 0:
            return None
        each.append((high - low) / 2 / value)
    return float(max(each))


def target_width(fit: FitResult, scenario: Scenario) -> float | None:
    """Student's t with the fewest degrees of freedom among the terms that make a twentieth of the estimate."""
    from scipy.stats import t

    counts, time = TARGET.counts(), scenario.time
    time_s = max(counts.macs / time.mac_rate, counts.bytes / time.byte_rate) + counts.launches * time.launch_s
    row = fit.equation.features(FeatureTable.from_rows([feature_row(counts, time_s=time_s)])).X[0]
    energy_j = float(row @ np.array([fit.params[n] for n in fit.equation.names]))
    parts = {n: row[i] * fit.params[n] / energy_j for i, n in enumerate(fit.equation.names)}
    dofs = [fit.dof[n] for n, share in parts.items() if share >= 0.05]
    known = [d for d in dofs if d is not None]
    if len(known) < len(dofs) or not known:
        return None
    return float(t.ppf(0.975, min(known)) * np.sqrt(row @ fit.covariance @ row) / energy_j)


def curve_of(records: Sequence[RunRecord], scenario: Scenario) -> Curve:
    """Minutes and widths after every few windows, and how many intervals hold at the end."""
    records = records[: len(records) // STEP * STEP]
    points, fit, frame = [], None, pd.DataFrame([record_row(r) for r in records])
    for n in range(STEP, len(records) + 1, STEP):
        fit = fit_of(frame.iloc[:n])
        both = (None, None) if fit is None else (widest(fit), target_width(fit, scenario))
        points.append(Point(records[n - 1].end_ns / 60e9, *both))
    held = stated = 0
    if fit is not None:
        # a drift brings the fit's energies to the middle of its own records, so the planted values go there too
        middle_min = statistics.fmean((r.begin_ns + r.end_ns) / 2 for r in records) / 60e9
        gain = scenario.sensor.gain * (1 + scenario.sensor.drift_rel_per_min * middle_min)
        planted = scenario.planted
        truth = {
            "mac_fp32_j": planted.mac_j["float32"], "other_flop_j": planted.other_flop_j, "byte_j": planted.byte_j,
            "launch_j": planted.launch_j, "static_power_w": planted.static_power_w,
        }  # fmt: skip
        for name, (low, high) in fit.conf_int(0.95).items():
            if low is None or high is None or name not in truth:
                continue
            stated += 1
            held += low <= truth[name] * gain <= high
    return Curve(tuple(points), held, stated)


def reached(curve: Curve, what: str, width: float) -> float | None:
    """Minutes from which on the width stays at `width` or below."""
    minutes = None
    for point in reversed(curve.points):
        value = getattr(point, what)
        if value is None or value > width:
            break
        minutes = point.minutes
    return minutes


def savings(curves: Mapping[str, Curve], strategy: str, what: str, grid: str = GRID) -> list[float | None]:
    """A grid's minutes over the strategy's at equal width, at each mark; None where it never gets there."""
    found: list[float | None] = []
    for windows in MARKS:
        point = curves[grid].points[windows // STEP - 1]
        width = getattr(point, what)
        if width is None:
            continue
        minutes = reached(curves[strategy], what, width)
        found.append(None if minutes is None else point.minutes / minutes)
    return found


def summary(values: Sequence[float | None]) -> str:
    """Median and range of the savings; one that is never reached counts as the worst."""
    if not values:
        return "–"
    known = sorted(0.0 if v is None else v for v in values)
    missed = sum(v is None for v in values)
    lowest = "never" if missed else f"{known[0]:.1f}"
    text = f"{statistics.median(known):.1f} ({lowest} to {known[-1]:.1f})"
    return text + (f", {missed} of {len(values)} never" if missed else "")


#: Title, what is to be narrow, strategy, grid it is held against.
COLUMNS: Final = (
    ("coefficients: all candidates", "coefficient", ALL, GRID),
    ("chosen", "coefficient", CHOSEN, GRID),
    ("chosen, against all candidates", "coefficient", CHOSEN, ALL),
    ("estimate: all candidates", "target", ALL, GRID),
    ("chosen for it", "target", FOR_TARGET, GRID),
    ("chosen for it, against all candidates", "target", FOR_TARGET, ALL),
)


def table(results: Results) -> str:
    """A line a device and one over all random devices; then each run as one, and how often intervals held."""
    seeds = len({seed for _, seed in results})
    lines = [
        f"{len(results)} runs of {WINDOWS} windows with each strategy, {seeds} "
        f"seed{'s' if seeds > 1 else ''} a device. Minutes of the grid over the strategy's to equal width, at the "
        f"grid's widths after {', '.join(map(str, MARKS))} windows: median (range).",
        "",
    ]
    lines += [f"| device | {' | '.join(title for title, *_ in COLUMNS)} |", "|---" * (1 + len(COLUMNS)) + "|"]
    numbers = sorted({device for device, _ in results})
    for title, chosen in [
        *((f"{n}, README's" if n == 0 else f"{n}, kernels differ" if n % 2 == 0 else f"{n}", [n]) for n in numbers),
        ("**all but 0**", [n for n in numbers if n]),
    ]:
        cells = [
            summary([v for (d, _), c in results.items() if d in chosen for v in savings(c, strategy, what, grid)])
            for _, what, strategy, grid in COLUMNS
        ]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    lines += [
        "",
        f"Each of the {sum(d > 0 for d, _ in results)} runs on random devices as one, by the median of its marks:",
        "",
        "| | median of the runs | runs above 1 | runs of no gain |",
        "|---|---|---|---|",
    ]
    for title, what, strategy, grid in COLUMNS:
        of_runs = [
            statistics.median([0.0 if v is None else v for v in marks])
            for (d, _), c in results.items()
            if d and (marks := savings(c, strategy, what, grid))
        ]
        if of_runs:
            above = sum(v > 1 for v in of_runs)
            lines.append(f"| {title} | {statistics.median(of_runs):.1f} | {above} | {len(of_runs) - above} |")
    lines.append("")
    for spread, where in ((0, "the equation's own devices"), (1, "devices whose kernels differ")):
        mine = [c for (d, _), c in results.items() if (d > 0 and d % 2 == 0) == bool(spread)]
        held = [
            f"{name} {sum(c[name].held for c in mine)} of {sum(c[name].stated for c in mine)}" for name in STRATEGIES
        ]
        lines.append(
            f"Coefficient intervals (95 %) that hold the planted value after {WINDOWS} windows on {where}: "
            f"{', '.join(held)}."
        )
    return "\n".join(lines) + "\n"


def write_block(page: Path, text: str) -> None:
    """Put the tables between the page's two marks. Raises ValueError where it does not have them."""
    before, begin, rest = page.read_text(encoding="utf-8").partition("<!-- design_study begins -->\n")
    _, end, after = rest.partition("<!-- design_study ends -->\n")
    if not end:
        raise ValueError(f"{page} lacks the marks of design_study; add them where the tables belong")
    page.write_text(before + begin + text + end + after, encoding="utf-8")


def picture(results: Results, path: Path) -> None:
    """The widths on the README's device over virtual minutes, and the savings of every run, as plain SVG."""
    colours = dict(zip(STRATEGIES, ("#888888", "#6a9a3c", "#1f6fb4", "#c0504d"), strict=True))
    parts = ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1340 350" font-family="sans-serif" font-size="12">']
    parts.append('<rect width="1340" height="350" fill="white"/>')
    first = next(iter(results.values()))
    for panel, (what, title) in enumerate((("coefficient", "widest coefficient"), ("target", "target’s estimate"))):
        points = [(p.minutes, w) for c in first.values() for p in c.points if (w := getattr(p, what)) and w < 1.0]
        right, top, bottom = max(m for m, _ in points), max(w for _, w in points), min(w for _, w in points)
        left = 60 + 440 * panel

        def xy(m: float, w: float, at: tuple[float, ...] = (left, right, top, bottom)) -> tuple[float, float]:
            x, most, high, low = at
            return x + 360 * m / most, 40 + 250 * float(np.log(high / w) / np.log(high / low))

        parts.append(f'<path d="M{left} 40V290H{left + 360}" fill="none" stroke="#888"/>')
        parts.append(f'<text x="{left}" y="26" fill="#444">95 % half-width of the {title}, README’s device</text>')
        for i, (name, found) in enumerate(first.items()):
            line = [xy(p.minutes, w) for p in found.points if (w := getattr(p, what)) and w < 1.0]
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
        parts.append(
            f'<text x="{left + 180}" y="330" text-anchor="middle" fill="#444">virtual minutes, simulated</text>'
        )
    parts += _savings_panel(results, colours, left=950)
    path.write_text("\n".join([*parts, "</svg>"]) + "\n", encoding="utf-8")


def _savings_panel(results: Results, colours: Mapping[str, str], *, left: int) -> list[str]:
    """A column of dots a device: the grid's minutes over the chooser's, on a logarithmic scale from 1/4 to 16."""
    parts = [f'<path d="M{left} 40V290H{left + 360}" fill="none" stroke="#888"/>']
    parts.append(f'<text x="{left}" y="26" fill="#444">minutes of the standard grid over minutes at equal width</text>')

    def y_of(ratio: float) -> float:
        return 290 - 250 * (np.log2(min(max(ratio, 0.25), 16.0)) + 2) / 6

    for ratio in (0.25, 0.5, 1, 2, 4, 8, 16):
        y = y_of(ratio)
        parts.append(f'<text x="{left - 6}" y="{y + 4:.0f}" text-anchor="end" fill="#444">{ratio:g}</text>')
        if ratio == 1:
            parts.append(f'<path d="M{left} {y:.0f}H{left + 360}" stroke="#ccc"/>')
    numbers = sorted({device for device, _ in results})
    step = 350 / len(numbers)
    for i, number in enumerate(numbers):
        x = left + 10 + step * i
        parts.append(f'<text x="{x + step / 3:.0f}" y="306" text-anchor="middle" fill="#444">{number}</text>')
        for j, (what, strategy) in enumerate((("coefficient", ALL), ("coefficient", CHOSEN), ("target", FOR_TARGET))):
            for (device, _), curves in results.items():
                if device != number:
                    continue
                for ratio in savings(curves, strategy, what):
                    y = 296.0 if ratio is None else y_of(ratio)
                    at = x + step * j / 4
                    parts.append(
                        f'<circle cx="{at:.1f}" cy="{y:.1f}" r="2.5" fill="{colours[strategy]}" fill-opacity="0.6"/>'
                    )
    parts.append(
        f'<text x="{left + 180}" y="330" text-anchor="middle" fill="#444">device; on the axis: never reached</text>'
    )
    return parts


def run_pair(key: tuple[int, int]) -> dict[str, Curve]:
    """All strategies on one device from one seed, which draws the order of rows and the sensor's noise.

    Where kernels differ, it draws by how much as well. (With one noise for all seeds of a device, as at first, twelve
    runs shared what one of them missed.)
    """
    number, seed = key
    sections = device_sections(number)
    sections["sensor"] = {**sections["sensor"], "seed": sections["sensor"]["seed"] + SEEDS_APART * seed}
    scenario = Scenario.from_dict({"name": f"device {number}", **sections})
    return {name: curve_of(records_of(scenario, name, seed), scenario) for name in STRATEGIES}


def read_curves(path: Path) -> dict[tuple[int, int], dict[str, Curve]]:
    """The runs that a file of `--data` holds."""
    results = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        row = json.loads(line)
        results[row["device"], row["seed"]] = {
            name: Curve(tuple(Point(*p) for p in c["points"]), c["held"], c["stated"])
            for name, c in row["curves"].items()
        }
    return results


def curves_line(key: tuple[int, int], curves: Mapping[str, Curve]) -> str:
    """One run as a line of that file."""
    parts = {
        name: {
            "points": [(p.minutes, p.coefficient, p.target) for p in c.points],
            "held": int(c.held),
            "stated": c.stated,
        }
        for name, c in curves.items()
    }
    return json.dumps({"device": key[0], "seed": key[1], "curves": parts}) + "\n"


def main() -> None:
    """All devices and seeds, a line each as they end, then the tables and the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, nargs="+", default=DEVICES)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--page", type=Path)
    parser.add_argument("--picture", type=Path)
    given = parser.parse_args()
    results = read_curves(given.data) if given.data is not None else {}
    wanted = [(number, seed) for seed in range(given.seeds) for number in given.devices]
    missing = [key for key in wanted if key not in results]
    for workload in (*rows_of_the_study()[1], TARGET):  # counted once, before the processes part
        workload.counts()
    with ProcessPoolExecutor(given.jobs) as pool:
        for key, curves in zip(missing, pool.map(run_pair, missing), strict=True):
            results[key] = curves
            if given.data is not None:
                with given.data.open("a", encoding="utf-8") as file:
                    file.write(curves_line(key, curves))
            both = {CHOSEN: "coefficient", FOR_TARGET: "target"}
            told = [f"{name} {summary(savings(curves, name, what))}" for name, what in both.items()]
            print(f"device {key[0]} seed {key[1]}: {'; '.join(told)}", flush=True)
    results = {key: results[key] for key in wanted}
    text = table(results)
    print(text)
    if given.page is not None:
        write_block(given.page, text)
    if given.picture is not None:
        picture(results, given.picture)


if __name__ == "__main__":
    main()
