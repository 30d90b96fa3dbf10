"""Planted coefficients of many random virtual devices, each calibrated by the whole protocol (``make study-coverage``).

Prints how often 95 % intervals hold the planted value and how often "identified" is within 10 % of it, the device being
the unit. Ends with status 1 where the first leaves 93–97 % or the second falls below 95 %. All energy is simulated.

A device draws its coefficients, rates and sensor independently: coefficients and rates over a decade, update period
0.02–0.1 s (seen wholly or a quarter of it), resolution 0.1–10 mJ, gain ±5 %, noise 0.2–2 % an update, drift up to
0.2 % a minute. The meter's gain scales every coefficient, so the truth is planted value × the mean gain of the windows.
"""

from __future__ import annotations

import argparse
import functools
import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import energybench.workloads
from energybench.app.calibrate import calibrate
from energybench.fitting import fit_records
from energybench.records.frame import load_records

CENTRE = {
    "mac_fp32_j": 1.1e-11,
    "other_flop_j": 6.0e-12,
    "byte_j": 9.0e-11,
    "launch_j": 2.0e-5,
    "static_power_w": 41.0,
}
#: The same workloads for every device: their counts are made once instead of once a device.
energybench.workloads.named_design = functools.cache(energybench.workloads.named_design)

COVER = (0.93, 0.97)
CLOSE = 0.95


def random_scenario(seed: int) -> dict[str, dict[str, Any]]:
    """Sections of a scenario, drawn from a seed."""
    rng = np.random.default_rng([20_261_124, seed])
    period_s = float(10 ** rng.uniform(np.log10(0.02), -1))
    return {
        "planted": {name: value * float(10 ** rng.uniform(-0.5, 0.5)) for name, value in CENTRE.items()},
        "time": {
            "mac_rate": 2.0e12 * float(10 ** rng.uniform(-0.5, 0.5)),
            "byte_rate": 1.0e11 * float(10 ** rng.uniform(-0.5, 0.5)),
            "launch_s": 5.0e-6 * float(10 ** rng.uniform(-0.5, 0.5)),
        },
        "sensor": {
            "update_period_s": period_s,
            "averaging_window_s": period_s * float(rng.choice([0.25, 1.0])),
            "resolution_j": float(10 ** rng.uniform(-4, -2)),
            "gain": float(rng.uniform(0.95, 1.05)),
            "noise_rel": float(10 ** rng.uniform(np.log10(0.002), np.log10(0.02))),
            "drift_rel_per_min": float(rng.uniform(-0.002, 0.002)),
            "seed": seed,
        },
    }


def toml_text(name: str, sections: Mapping[str, Mapping[str, Any]]) -> str:
    """A scenario as TOML."""
    lines = [f'name = "{name}"']
    for section, values in sections.items():
        lines += [f"[{section}]", *(f"{key} = {value!r}" for key, value in values.items())]
    return "\n".join(lines) + "\n"


def judge_device(seed: int, design: str, folder: Path) -> dict[str, Any]:
    """Calibrate one random device, fit it, and hold every coefficient against its planted value."""
    scenario = random_scenario(seed)
    path = folder / f"{seed}.toml"
    path.write_text(toml_text("random", scenario), encoding="utf-8")
    run = calibrate(meter=f"simulated:{path}", design=design, out=folder / str(seed), seed=seed)
    fit = fit_records(load_records(run.path), validation=False, time_law=False)
    sensor = scenario["sensor"]
    middle_min = float(np.mean([(r.begin_ns + r.end_ns) / 2 for r in run.read_records()])) / 60e9
    gain = sensor["gain"] * (1 + sensor["drift_rel_per_min"] * middle_min)
    rows = {}
    for name, (low, high) in fit.conf_int(0.95).items():
        planted = "mac_fp32_j" if name.startswith("mac_fp32") else name  # kernel classes all cost the same here
        truth = scenario["planted"].get(planted, 0.0) * gain
        rows[name] = {
            "verdict": fit.verdicts[name],
            "interior": fit.limits[name] is None,
            "inside": None if low is None or high is None else bool(low <= truth <= high),
            "error_rel": None if truth == 0 else fit.params[name] / truth - 1,
        }
    misfit = bool(fit.misfit is not None and fit.misfit.present)
    return {
        "seed": seed,
        "coefficients": rows,
        "misfit": misfit,
        "drift": bool(fit.drifts),
        "scatter": any("wanders" in n for n in fit.notes),
    }


def identified_interior(devices: list[dict[str, Any]], name: str | None = None) -> Iterator[list[dict[str, Any]]]:
    """For each device that has any: its identified coefficients that no bound holds, all of them or one by name."""
    for device in devices:
        rows = [
            row
            for key, row in device["coefficients"].items()
            if row["verdict"] == "identified" and row["interior"] and name in (None, key)
        ]
        if rows:
            yield rows


def share(devices: list[dict[str, Any]], what: str, name: str | None = None) -> tuple[float, float, int]:
    """Mean over devices of a device's share, its standard error with the device as unit, and the number of devices."""

    def holds(row: dict[str, Any]) -> bool:
        return (
            bool(row["inside"]) if what == "inside" else row["error_rel"] is not None and abs(row["error_rel"]) <= 0.1
        )

    shares = [float(np.mean([holds(row) for row in rows])) for rows in identified_interior(devices, name)]
    if len(shares) < 2:
        return float("nan"), float("nan"), len(shares)
    return float(np.mean(shares)), float(np.std(shares, ddof=1) / np.sqrt(len(shares))), len(shares)


def main() -> int:
    """Run the study and print its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0, help="Seed of the first device.")
    parser.add_argument("--design", default="quick")
    parser.add_argument("--keep", type=Path, help="Append one line a device to this file, for a study in parts.")
    given = parser.parse_args()
    devices = []
    for seed in range(given.first, given.first + given.devices):
        with tempfile.TemporaryDirectory() as folder:
            devices.append(judge_device(seed, given.design, Path(folder)))
        if given.keep is not None:
            with given.keep.open("a", encoding="utf-8") as file:
                file.write(json.dumps(devices[-1]) + "\n")
    return report(devices)


def report(devices: list[dict[str, Any]]) -> int:
    """Print the table; 1 where a limit is missed."""
    print(f"{len(devices)} virtual devices; misfit on {sum(d['misfit'] for d in devices)}, ", end="")
    print(f"drift taken out on {sum(d['drift'] for d in devices)}, scatter on {sum(d['scatter'] for d in devices)}")
    print("| coefficient | identified on | 95 % interval holds | within 10 % |\n|---|---|---|---|")
    names = dict.fromkeys(name for d in devices for name in d["coefficients"])
    for name in (*names, None):
        cover, cover_se, n = share(devices, "inside", name)
        close, _, _ = share(devices, "close", name)
        print(f"| {name or 'all, device by device'} | {n} | {cover:.1%} ± {cover_se:.1%} | {close:.1%} |")
    cover, _, _ = share(devices, "inside")
    close, _, _ = share(devices, "close")
    return int(not (COVER[0] <= cover <= COVER[1] and close >= CLOSE))


if __name__ == "__main__":
    raise SystemExit(main())
