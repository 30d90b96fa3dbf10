"""Every equation on every device at hand: the table of ``docs/models.md`` (``make equation-table``).

Each virtual device of ``make study-fit`` and of ``experiments/*.toml`` is calibrated by the quick design; every
``records.jsonl`` of the repository is read as it is. Each equation is fitted to the same rows, idle ones included, and
scored on the networks that no fit saw: the median over networks of each one's median absolute error. "roofline" is Choi
et al. 2013 without our terms: MACs, bytes and time. An equation that cannot be fitted gets a dash, and its reason below
the table. The page is written in place, between two comments.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from benchmarks.page_part import write_part
from benchmarks.study_devices import CASES, device_text
from benchmarks.study_fit import frame_of
from energybench.app.calibrate import calibrate
from energybench.errors import EnergybenchError
from energybench.fitting import FitResult, fit_records
from energybench.records.frame import load_records

ROOT: Final = Path(__file__).resolve().parents[1]
PAGE: Final = ROOT / "docs" / "models.md"
#: Name in the table -> what is fitted.
EQUATIONS: Final[Mapping[str, Callable[[pd.DataFrame], FitResult]]] = {
    "`physical`": lambda frame: fit_records(frame, time_law=False),
    "plain": lambda frame: fit_records(frame, optional=(), by_kernel_class=False, time_law=False),
    "roofline": lambda frame: fit_records(frame, ["macs", "bytes", "time_s"], time_law=False),
    **{
        f"`{name}`": lambda frame, name=name: fit_records(frame, name, time_law=False)  # type: ignore[misc]
        for name in ("cnn", "cnn-literal", "cnn-total-flops", "rnn", "transformer")
    },
}
NULLS: Final = ("mean-power", "macs-only", "parameters-only", "operator-count")


def data_sets(folder: Path, seeds: int) -> Iterator[tuple[str, list[pd.DataFrame]]]:
    """Name and records of each seed: virtual devices, then what is recorded in the repository."""
    for name, sections in CASES.items():
        yield (
            name,
            [
                frame_of(name, device_text(sections, seed=seed), folder / f"{name}-{seed}.toml", "quick", seed)
                for seed in range(seeds)
            ],
        )
    for scenario in sorted((ROOT / "experiments").glob("*.toml")):
        if "[planted]" in scenario.read_text(encoding="utf-8"):
            runs = [
                calibrate(meter=f"simulated:{scenario}", out=folder / f"device-{scenario.stem}-{seed}", seed=seed)
                for seed in range(seeds)
            ]
            yield f"experiments/{scenario.name}", [load_records(run.path) for run in runs]
    for path in sorted(ROOT.glob("**/records.jsonl")):
        inside = path.relative_to(ROOT)
        if not any(part.startswith(".") or part in ("build", "runs") for part in inside.parts):
            yield str(inside.parent), [load_records(path)]


def heldout_error(fit: FitResult) -> tuple[float | None, Mapping[str, float | None]]:
    """Error of the held-out networks, and that of each null model on the same rows."""
    held = fit.validation.heldout if fit.validation is not None else None
    if held is None:
        return None, {}
    return held.median_ape, {name: median for name, (median, _) in held.null_models.items()}


def row_of(frames: Sequence[pd.DataFrame]) -> tuple[list[str], dict[str, str]]:
    """Cells of one data set, medians over its frames, and why equations have none."""
    found: dict[str, list[float]] = {name: [] for name in (*EQUATIONS, *NULLS)}
    reasons = {}
    for frame in frames:
        beside: Mapping[str, float | None] = {}
        for name, fit in EQUATIONS.items():
            try:
                error, nulls = heldout_error(fit(frame))
            except (EnergybenchError, np.linalg.LinAlgError) as problem:
                reasons[name] = str(problem)
                continue
            if error is None:
                reasons[name] = "no held-out row that it describes"
            else:
                found[name].append(error)
            beside = beside or nulls
        for name in NULLS:
            if (value := beside.get(name)) is not None:
                found[name].append(value)
    return ["–" if not values else f"{np.median(values):.2%}" for values in found.values()], reasons


def main() -> int:
    """Fit everything, print the table and write it into the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    lines = [
        f"| data | kind | rows | {' | '.join((*EQUATIONS, *NULLS))} |",
        "|---" * (3 + len(EQUATIONS) + len(NULLS)) + "|",
    ]
    why: dict[str, list[str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, frames in data_sets(Path(folder), given.seeds):
            cells, reasons = row_of(frames)
            kinds = ", ".join(sorted({str(kind) for frame in frames for kind in frame["kind"]}))
            rows = " + ".join(str(len(frame)) for frame in frames)
            lines.append(f"| {name} | {kinds} | {rows} | {' | '.join(cells)} |")
            print(lines[-1], flush=True)
            for equation, reason in reasons.items():
                why.setdefault(f"{equation}: {reason}", []).append(name)
    lines += ["", *(f"- {reason} ({', '.join(names)})" for reason, names in why.items())]
    write_part(PAGE, "equation-table", lines)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
