"""Virtual devices that are not the equation: what the fit says of each, and whether its intervals still cover.

Every optional section of a scenario, alone and all together, over several seeds (``make study-fit``). Prints the table
of ``docs/models.md``; ends with status 1 where intervals cover less than 85 % of the held-out rows of a section, or
where a device that is not the equation passes without any diagnosis. "plain" is the held-out error of the equation
without optional terms and kernel classes: what these are worth on networks that no fit saw.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

import energybench.workloads
from energybench.app.calibrate import calibrate
from energybench.estimation import compare_records
from energybench.fitting import FitResult, fit_records
from energybench.meters.discovery import open_meter
from energybench.meters.simulated import SimulatedMeter
from energybench.profiles import DeviceProfile
from energybench.protocol import VirtualExecutor, run_design
from energybench.records.frame import load_records
from energybench.records.run_directory import RunDirectory

BASE = """name = "study"
[planted]
mac_fp32_j = 1.1e-11
other_flop_j = 6.0e-12
byte_j = 9.0e-11
launch_j = 2.0e-5
static_power_w = 41.0
[time]
mac_rate = 2.0e12
byte_rate = 1.0e11
launch_s = 5.0e-6
[sensor]
update_period_s = 0.02
averaging_window_s = 0.02
resolution_j = 0.001
gain = 1.0
noise_rel = 0.005
drift_rel_per_min = 0.0
seed = {seed}
"""
SECTIONS = {
    "hidden": "[hidden]\nvariant_sigma_energy = 0.15\nvariant_sigma_time = 0.1\n",
    "tile": "[tile]\nm = 128\nn = 128\nk = 32\nsm_count = 4\n",
    "cache": "[cache]\nl2_bytes = 4000000\nl2_byte_j = 1e-11\n",
    "sm": "[sm]\nactive_w = 30.0\n",
    "dvfs": "[dvfs]\npower_cap_w = 55.0\nv_of_f = [[0.3, 0.7], [1.0, 1.0]]\n",
    "thermal": "[thermal]\nleak_w = 15.0\ntau_s = 5.0\n",
    "values": "[values]\nzero_sensitivity = 0.5\n",
    "host": "[host]\ndispatch_s = 5e-5\n",
    "session": "[session]\noffset_rel = 0.1\n",
}
#: Devices that tell their clock, or whose clock falls under the power limit at one voltage.
TOLD = {
    "clock": SECTIONS["dvfs"] + "clock_mhz = 2000.0\n",
    "cap": "[dvfs]\npower_cap_w = 55.0\nv_of_f = [[0.1, 1.0], [1.0, 1.0]]\n",
}
CASES = {"none": "", **SECTIONS, **TOLD, "all": "".join(SECTIONS.values())}

SEEDS_APART = 1000

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
        "host": fit.time_law is not None and fit.time_law.dispatch_s > 0,
        "sessions": any("sessions differ" in n for n in fit.notes),
    }


def main() -> int:
    """Run the study and print its table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--design", default="quick")
    given = parser.parse_args()
    status = 0
    columns: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        for case, (name, section) in enumerate(CASES.items()):
            said: Counter[str] = Counter()
            left_out, held_out, plain = [], [], []
            for seed in range(SEEDS_APART * case, SEEDS_APART * case + given.seeds):  # no two cases share their noise
                scenario = Path(folder) / f"{name}-{seed}.toml"
                frame = frame_of(name, BASE.format(seed=seed) + section, scenario, given.design, seed)
                fit = fit_records(frame)
                said.update(key for key, yes in diagnoses(fit).items() if yes)
                if not columns:
                    columns = list(diagnoses(fit))
                    print(f"| section | {' | '.join(columns)} | left-out error | held-out error | plain | cover |")
                    print("|---" * (len(columns) + 5) + "|")
                said["silent"] += not any(diagnoses(fit).values())
                held = compare_records(frame[frame["split"] == "heldout"], DeviceProfile.from_fit(fit, name="study"))
                said["hits"] += held.hits
                said["rows"] += held.with_interval
                assert fit.validation is not None
                assert fit.validation.leave_one_out is not None
                left_out.append(fit.validation.leave_one_out.median_ape or 0.0)
                held_out.append(held.median_ape or 0.0)
                bare = fit_records(frame, optional=(), by_kernel_class=False)
                assert bare.validation is not None
                assert bare.validation.heldout is not None
                plain.append(bare.validation.heldout.pooled.median_ape or 0.0)
            cells = " | ".join(f"{said[key]}/{given.seeds}" for key in columns)
            print(
                f"| {name} | {cells} | {np.median(left_out):.2%} | "
                f"{np.median(held_out):.2%} | {np.median(plain):.2%} | {said['hits']}/{said['rows']} |",
                flush=True,
            )
            if said["hits"] < 0.85 * said["rows"] or (name != "none" and said["silent"]):
                status = 1
    return status


if __name__ == "__main__":
    raise SystemExit(main())
