"""Virtual devices that are not the equation: what the fit says of each, and whether its intervals still cover.

Every optional section of a scenario, alone and all together (``make study-fit``). With ``--page`` the table goes into
``docs/models.md``. Ends with status 1 where intervals of level 90 % hold less than 85 % of the held-out rows of a
section, or where a device that is not the equation passes without any diagnosis. Thirty seeds a section: of their 240
rows, intervals that hold exactly what they state hold less than 85 % one time in 180 (binomial). With ten seeds that
would be one time in nineteen, and in every second run one of a dozen sound sections would fail. "plain" is the
held-out error of the equation without optional terms and kernel classes: what these are worth on networks that no fit
saw. "width" is the median half width of the intervals, as a share of the estimate.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

import energybench.workloads
from benchmarks.page_part import write_part
from benchmarks.study_devices import CASES, SECTIONS, device_text
from energybench.app.calibrate import calibrate
from energybench.estimation import compare_records
from energybench.fitting import FitResult, fit_records
from energybench.meters.discovery import open_meter
from energybench.meters.simulated import SimulatedMeter
from energybench.profiles import DeviceProfile
from energybench.protocol import VirtualExecutor, run_design
from energybench.records.frame import load_records
from energybench.records.run_directory import RunDirectory

PAGE: Final = Path(__file__).resolve().parents[1] / "docs" / "models.md"
LEVEL = 0.9
LEAST_COVER = 0.85
#: Seeds of one section and of the next: no two share their noise.
FIRST_SEED, SEEDS_APART = 100_000, 1000

#: The same workloads for every device: their counts are made once instead of once a device.
energybench.workloads.named_design = functools.cache(energybench.workloads.named_design)


def run_with_zeros(scenario: Path, out: Path, design: str, seed: int) -> pd.DataFrame:
    """A calibration whose matrix products also run on inputs of zeros: one distribution alone shows no values."""
    chosen = energybench.workloads.named_design(design)
    zeros = [
        replace(w, name=f"{w.name}/zeros", input_distribution="zeros")
        for w in chosen.workloads
        if w.kernel_class == "gemm"
    ]
    with contextlib.closing(open_meter(f"simulated:{scenario}")) as meter:
        assert isinstance(meter, SimulatedMeter)
        run = RunDirectory(out)
        both = replace(chosen, workloads=(*chosen.workloads, *zeros))
        run_design(both, VirtualExecutor(meter.device), meter, run, seed=seed)
    return load_records(run.path)


def frame_of(name: str, text: str, scenario: Path, design: str, seed: int) -> pd.DataFrame:
    """Records of one device: `values` with other inputs beside, `session` with a run of another state before."""
    scenario.write_text(text)
    if name in ("values", "all"):
        frame = run_with_zeros(scenario, scenario.with_suffix(""), design, seed)
    else:
        meter = f"simulated:{scenario}"
        frame = load_records(calibrate(meter=meter, design=design, out=scenario.with_suffix(""), seed=seed).path)
    if name == "session":
        scenario.write_text(text.replace(SECTIONS["session"], ""))
        before = calibrate(meter=f"simulated:{scenario}", design=design, out=scenario.with_suffix(".before"), seed=seed)
        frame = pd.concat([load_records(before.path), frame], ignore_index=True)
    return frame


def diagnoses(fit: FitResult) -> dict[str, bool]:
    """What the fit says of its device, by column of the table."""
    return {
        "misfit": fit.misfit is not None and fit.misfit.present,
        "drift": any("power wanders" in n or "power drifts" in n for n in fit.notes),
        "active power": "active_power_w" in fit.params,
        "classes": "mac_fp32_gemm_j" in fit.params,
        "zeros": "zero_saving_j" in fit.params,
        "cache": "cache_saving_j" in fit.params,
        "clock": "clock_saving_j" in fit.params,
        "limit": fit.time_law is not None and fit.time_law.power_cap_w is not None,
        "at limit": fit.held_power_w is not None,
        "host": fit.time_law is not None and fit.time_law.dispatch_s > 0,
        "sessions": any("sessions differ" in n for n in fit.notes),
    }


def main() -> int:
    """Run the study and print its table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--first", type=int, default=FIRST_SEED, help="Seed of the first device.")
    parser.add_argument("--design", default="quick")
    parser.add_argument("--page", action="store_true", help="Write the table into docs/models.md.")
    given = parser.parse_args()
    failed: list[str] = []
    lines: list[str] = []
    hits = rows = 0
    with tempfile.TemporaryDirectory() as folder:
        for case, (name, section) in enumerate(CASES.items()):
            first = given.first + SEEDS_APART * case
            found = judge_section(name, section, range(first, first + given.seeds), Path(folder), given.design)
            if not lines:
                columns = [key for key in found.said if key != "silent"]
                lines += [
                    f"| section | {' | '.join(columns)} | left-out error | held-out error | plain | width | held |",
                    "|---" * (len(columns) + 6) + "|",
                ]
            lines.append(found.row(name, given.seeds))
            print(lines[-1], flush=True)
            hits, rows = hits + found.hits, rows + found.rows
            if found.hits < LEAST_COVER * found.rows:
                failed.append(f"intervals hold less than {LEAST_COVER:.0%} on {name}")
            if name != "none" and found.said["silent"]:
                failed.append(f"{found.said['silent']} devices of {name} pass without a diagnosis")
    lines += [
        "",
        f"{given.seeds} seeds a section, design {given.design}. Intervals of level {LEVEL:.0%} hold {hits} of {rows} "
        f"rows ({hits / rows:.1%}). {'**Failed: ' + '; '.join(failed) + '.**' if failed else 'Every section passes.'}",
    ]
    print("\n".join(lines[-2:]))
    if given.page:
        write_part(PAGE, "study-fit", lines)
    return int(bool(failed))


@dataclass(frozen=True)
class Section:
    """What the devices of one section gave, a value for each device; `said` counts devices, `widths` has every row."""

    said: Mapping[str, int]
    left_out: Sequence[float]
    held_out: Sequence[float]
    plain: Sequence[float]
    widths: Sequence[float]
    hits: int
    rows: int

    def row(self, name: str, seeds: int) -> str:
        """Its row of the table."""
        cells = " | ".join(f"{count}/{seeds}" for key, count in self.said.items() if key != "silent")
        medians = (float(np.median(v)) for v in (self.left_out, self.held_out, self.plain, self.widths))
        shares = " | ".join(f"{median:.2%}" for median in medians)
        return f"| {name} | {cells} | {shares} | {self.hits}/{self.rows} ({self.hits / self.rows:.1%}) |"


def judge_section(name: str, section: str, seeds: Iterable[int], folder: Path, design: str) -> Section:
    """Calibrate, fit and compare one device a seed."""
    said: Counter[str] = Counter()
    left_out, held_out, plain, widths = [], [], [], []
    hits = rows = 0
    for seed in seeds:
        frame = frame_of(name, device_text(section, seed=seed), folder / f"{name}-{seed}.toml", design, seed)
        fit = fit_records(frame)
        found = diagnoses(fit)
        said.update({key: int(yes) for key, yes in found.items()} | {"silent": int(not any(found.values()))})
        profile = DeviceProfile.from_fit(fit, name="study")
        held = compare_records(frame[frame["split"] == "heldout"], profile, level=LEVEL)
        hits, rows = hits + held.hits, rows + held.with_interval
        widths += [r.high_j / r.estimated_energy_j - 1 for r in held.rows if r.high_j is not None]
        assert fit.validation is not None
        assert fit.validation.leave_one_out is not None
        left_out.append(fit.validation.leave_one_out.median_ape or 0.0)
        held_out.append(held.median_ape or 0.0)
        bare = fit_records(frame, optional=(), by_kernel_class=False, time_law=False)
        assert bare.validation is not None
        assert bare.validation.heldout is not None
        plain.append(bare.validation.heldout.pooled.median_ape or 0.0)
    return Section(said, left_out, held_out, plain, widths, hits, rows)


if __name__ == "__main__":
    raise SystemExit(main())
