"""Speed of the analysis (``make bench-fit``): 100,000 slim records loaded and fitted, 1,000 bootstrap replicates.

Prints a table; ends with status 1 where a limit of docs/models.md is missed. The records are simulated.
"""

from __future__ import annotations

import json
import resource
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.study_devices import device_text
from energybench.app.calibrate import calibrate
from energybench.fitting import bootstrap_coefficients, fit_records
from energybench.records.frame import load_records
from energybench.records.run_directory import read_records

ROWS = 100_000
LIMITS = {"load and fit with validation": 15.0, "1,000 bootstrap replicates of 500 rows": 2.0}
LIMIT_GIB = 2e9 / 2**30


def _many_records(folder: Path) -> Path:
    """Repeats of a standard calibration's rows with other noise, as one file."""
    scenario = folder / "bench.toml"
    scenario.write_text(device_text(seed=1))
    run = calibrate(meter=f"simulated:{scenario}", design="standard", out=folder / "run")
    records = read_records(run.records_path)
    rng = np.random.default_rng(0)
    path = folder / "records.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for i in range(ROWS):
            record = records[i % len(records)]
            factor = 1 + 0.005 * float(rng.standard_normal())
            one = {name: replace(v, energy_j=v.energy_j * factor) for name, v in record.domains.items()}
            changed = replace(record, row_id=f"{i:06d}", energy_j=record.energy_j * factor, domains=one)
            file.write(json.dumps(changed.to_dict(), separators=(",", ":")) + "\n")
    return path


def main() -> int:
    """Time both and print a table."""
    taken = {}
    with tempfile.TemporaryDirectory() as folder:
        path = _many_records(Path(folder))
        start = time.perf_counter()
        frame = load_records(path)
        loaded = time.perf_counter()
        fit = fit_records(frame)
        taken["load and fit with validation"] = time.perf_counter() - start
        load_s = loaded - start
    peak_gib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 2**30
    assert fit.nobs > 0.8 * ROWS
    small = fit_records(frame.head(560), validation=False, time_law=False)
    start = time.perf_counter()
    draws = bootstrap_coefficients(small, replicates=1000)
    taken["1,000 bootstrap replicates of 500 rows"] = time.perf_counter() - start
    assert draws.shape == (1000, len(small.params))
    print("| what | taken | limit |\n|---|---|---|")
    for name, time_s in taken.items():
        print(f"| {name} | {time_s:.1f} s | {LIMITS[name]:g} s |")
    print(f"| of it, loading {ROWS:,} records | {load_s:.1f} s | |")
    print(f"| peak memory of the process, torch included | {peak_gib:.2f} GiB | {LIMIT_GIB:.2f} GiB |")
    print(f"({small.nobs} rows bootstrapped, {fit.nobs} rows fitted)")
    return int(any(time_s > LIMITS[name] for name, time_s in taken.items()) or peak_gib > LIMIT_GIB)


if __name__ == "__main__":
    raise SystemExit(main())
