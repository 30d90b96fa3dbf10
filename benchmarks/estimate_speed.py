"""Time of an estimate after import and of opening a large report (`make bench-estimate`): docs/bench-estimate.md.

Every case runs in a fresh process: modules are imported and the model is made on the meta device, then the first
estimate is timed (it pays for everything that is loaded late), then repeats. Goals are the issue's, set before.
"""

from __future__ import annotations

# ruff: noqa: E501
import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent

#: Name -> (TARGET, goal in seconds; None where there is none).
CASES: dict[str, tuple[str, float | None]] = {
    "ResNet-50, 1 × 3 × 224 × 224": ("transformers:ResNetForImageClassification", 0.150),
    "GPT-2, 128 tokens": ("transformers:GPT2LMHeadModel", 0.300),
    "Llama-7B, 128 tokens": ("transformers:LlamaForCausalLM", 2.0),
    "BERT, 128 tokens": ("transformers:BertModel", None),
    "ViT, 1 × 3 × 224 × 224": ("transformers:ViTForImageClassification", None),
    "Whisper, 30 s": ("transformers:WhisperForConditionalGeneration", None),
    "GRU, 32 steps": ("energybench.workloads.networks:GruSequenceModel@32x1x64", None),
}


def one(target: str, profile: str, repeats: int) -> dict[str, float]:
    """Times in this process: the first estimate, and the median of the next."""
    import numpy  # noqa: F401
    import scipy.stats  # noqa: F401
    import torch  # noqa: F401

    import energybench as eb
    from energybench.counting import load_target

    model, args, kwargs = load_target(target)
    loaded = eb.DeviceProfile.load(profile)
    _ = eb.estimate
    times = []
    for _ in range(repeats + 1):
        begin = time.perf_counter()
        estimate = eb.estimate(model, loaded, *args, **kwargs)
        estimate.interval(0.9)
        times.append(time.perf_counter() - begin)
    begin = time.perf_counter()
    estimate.to_dict()
    estimate.by_module()
    return {
        "first_s": times[0],
        "again_s": statistics.median(times[1:]),
        "worst_s": max(times),
        "splits_s": time.perf_counter() - begin,
    }


def make_profile(folder: Path) -> Path:
    """A profile of the virtual device."""
    from energybench.app.calibrate import calibrate
    from energybench.app.fit import fit_files

    run = calibrate(meter=f"simulated:{ROOT / 'experiments/example_device.toml'}", out=folder / "run")
    fit_files([run.path], out=folder / "virtual.json")
    return folder / "virtual.json"


def open_report(folder: Path, rows: int) -> dict[str, float]:
    """Seconds from asking Chromium for a page of `rows` records, and the page's size.

    `read`: until its text is painted; `first` and `again`: until its last plot is drawn, in a new browser and later.
    """
    from playwright.sync_api import sync_playwright

    from energybench.app.report import write_report

    run = folder / "run"
    lines = (run / "records.jsonl").read_text(encoding="utf-8").splitlines()
    large = folder / "large"
    large.mkdir()
    (large / "environment.json").write_bytes((run / "environment.json").read_bytes())
    with (large / "records.jsonl").open("w", encoding="utf-8") as file:
        for i in range(rows):
            record = json.loads(lines[i % len(lines)])
            record["row_id"] = f"{record['row_id']}/{i // len(lines)}"
            file.write(json.dumps(record) + "\n")
    page = write_report(large)
    arguments = (
        "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
        "--disable-component-update --disable-sync"
    )
    times, painted = [], []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=arguments.split())
        for _ in range(4):
            tab = browser.new_page()
            begin = time.perf_counter()
            tab.goto(page.resolve().as_uri())
            tab.wait_for_selector("html[data-drawn=yes]")
            times.append(time.perf_counter() - begin)
            painted.append(tab.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime") / 1e3)
            tab.close()
        browser.close()
    return {
        "read_s": statistics.median(painted),
        "first_s": times[0],
        "again_s": statistics.median(times[1:]),
        "size_mb": page.stat().st_size / 1e6,
    }


def main() -> None:
    """Run, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--one", nargs=2, metavar=("TARGET", "PROFILE"), help="what the fresh processes run")
    parser.add_argument("--no-write", action="store_true")
    options = parser.parse_args()
    if options.one:
        print(json.dumps(one(*options.one, options.repeats)))
        return
    missed = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        profile = make_profile(folder)
        rows = []
        for label, (target, goal) in CASES.items():
            command = [sys.executable, "-m", "benchmarks.estimate_speed", "--repeats", str(options.repeats)]
            out = subprocess.run(
                [*command, "--one", target, str(profile)], cwd=ROOT, capture_output=True, text=True, check=False
            )
            if out.returncode:
                raise SystemExit(out.stderr)
            found: dict[str, Any] = json.loads(out.stdout.splitlines()[-1])
            met = "" if goal is None else f"{1e3 * goal:.0f} ms, {'met' if found['first_s'] <= goal else 'missed'}"
            if goal is not None and found["first_s"] > goal:
                missed.append(label)
            numbers = " | ".join(f"{1e3 * found[key]:.0f} ms" for key in ("first_s", "again_s", "worst_s", "splits_s"))
            rows.append(f"| {label} | {numbers} | {met} |")
            print(rows[-1], flush=True)
        page = open_report(folder, options.rows)
    text = "\n".join(
        [
            "# Speed of an estimate, and of opening a report",
            "",
            f"Made by `make bench-estimate` on {platform.machine()}, Python {platform.python_version()}. Each model in a",
            "fresh process, modules imported and the model made on the meta device before; an estimate is the count, the",
            "price and its 90 % interval. *First* is what the command line shows and what the goal is about.",
            "",
            "| model | first | again, median | worst | all splits | goal for the first |",
            "|---|---:|---:|---:|---:|---|",
            *rows,
            "",
            f"A report of {options.rows:,} records, in headless Chromium without a GPU, from asking for the page: it can be",
            f"read after {page['read_s']:.2f} s, its last plot is drawn after {page['first_s']:.2f} s in a browser just",
            f"started and {page['again_s']:.2f} s later (goal 3 s, of which about half is WebGL in software); its size is",
            f"{page['size_mb']:.1f} MB (goal 15 MB). Its records are those of a simulated run, over and over.",
            "",
        ]
    )
    print(text)
    if not options.no_write:
        (ROOT / "docs/bench-estimate.md").write_text(text, encoding="utf-8")
    raise SystemExit(bool(missed or page["first_s"] > 3 or page["size_mb"] > 15))


if __name__ == "__main__":
    main()
