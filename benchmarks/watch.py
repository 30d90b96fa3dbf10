"""What watching costs a training (`make bench-watch`); writes docs/bench-watch.md.

A real training on this CPU, a small GPT-2, runs in blocks of steps; every other block has
the monitor that the callbacks use. The meter is a made-up RAPL tree in the form of the kernel's own, so a reading costs what a real one does
(open file descriptors, four counters) and the energy is simulated. Two numbers:

`direct`  seconds spent in the callback's hooks and in its thread (CPU time), over the seconds of the training. It is
          exact, but does not see what the hooks do to caches.
`paired`  the time of each watched block over the mean of the two blocks around it, with a 95 % interval. It sees
          everything, and this machine's noise with it.

The goal, set before the first run: direct at most 0.5 %, and the paired interval not above 0.5 %.
"""

from __future__ import annotations

# ruff: noqa: E501
import argparse
import platform
import statistics
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import torch
import transformers
from scipy import stats

from energybench.app.energy_monitor import EnergyMonitor
from energybench.meters.rapl_powercap import RaplMeter

ROOT = Path(__file__).resolve().parent.parent
GOAL = 0.005
#: As often as the watcher of a terminal wants, ten times as often as the default, to see the cost at all.
EVERY_S = 0.5


def made_up_rapl(root: Path) -> Path:
    """Two packages with memory, as /sys/class/powercap has them."""
    for i in range(2):
        for name, path in ((f"package-{i}", f"intel-rapl:{i}"), ("dram", f"intel-rapl:{i}/intel-rapl:{i}:0")):
            zone = root / "class/powercap" / path
            zone.mkdir(parents=True)
            (zone / "name").write_text(name + "\n", encoding="ascii")
            (zone / "energy_uj").write_text("123456789\n", encoding="ascii")
            (zone / "max_energy_range_uj").write_text("262143328850\n", encoding="ascii")
    return root


class Timed(EnergyMonitor):
    """The monitor, with the time that its hooks and its thread take."""

    hooks_s = 0.0
    thread_s = 0.0

    def step(self, *, update: bool = True) -> None:
        begin = time.perf_counter()
        super().step(update=update)
        self.hooks_s += time.perf_counter() - begin

    def _reported(self, totals: Any) -> Any:
        result = super()._reported(totals)
        if threading.current_thread().name == "energybench-watch":
            self.thread_s = time.thread_time()
        return result


def block(model: Any, optimizer: Any, batch: Any, steps: int, monitor: EnergyMonitor | None) -> float:
    """Seconds of so many training steps."""
    begin = time.perf_counter()
    for _ in range(steps):
        optimizer.zero_grad()
        model(**batch).loss.backward()
        optimizer.step()
        if monitor is not None:
            monitor.step()
    return time.perf_counter() - begin


def main() -> None:
    """Run, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--blocks", type=int, default=41, help="odd: watched blocks lie between two others")
    parser.add_argument("--steps", type=int, default=12, help="steps a block")
    parser.add_argument("--no-write", action="store_true")
    options = parser.parse_args()
    torch.manual_seed(0)
    config = transformers.GPT2Config(n_embd=192, n_layer=4, n_head=4, vocab_size=4096, n_positions=128)
    model = transformers.GPT2LMHeadModel(config).train()
    optimizer = torch.optim.AdamW(model.parameters())
    ids = torch.randint(0, 4096, (4, 128))
    batch = {"input_ids": ids, "labels": ids}
    with tempfile.TemporaryDirectory() as folder:
        meter = RaplMeter(made_up_rapl(Path(folder)))
        block(model, optimizer, batch, options.steps, None)  # warm up
        plain: list[float] = []
        watched: list[float] = []
        hooks_s = thread_s = 0.0
        for i in range(options.blocks):
            if i % 2 == 0:
                plain.append(block(model, optimizer, batch, options.steps, None))
                continue
            monitor = Timed(meter=meter, every_s=EVERY_S, report=lambda _: None)
            monitor.start()
            watched.append(block(model, optimizer, batch, options.steps, monitor))
            monitor.stop()
            hooks_s += monitor.hooks_s
            thread_s += monitor.thread_s
        reading_s = statistics.median(_time(meter.read) for _ in range(2000))
    ratios = [w / (a + b) * 2 - 1 for w, a, b in zip(watched, plain[:-1], plain[1:], strict=True)]
    mean = statistics.fmean(ratios)
    half = float(stats.t.ppf(0.975, len(ratios) - 1)) * statistics.stdev(ratios) / len(ratios) ** 0.5
    direct = (hooks_s + thread_s) / sum(watched)
    text = f"""# What watching costs a training

Made by `make bench-watch` on {platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}; the
meter is a made-up RAPL tree (simulated), the training is real: GPT-2 of 4 layers and width 192, batch 4 × 128 tokens,
AdamW, {options.steps} steps a block, {len(watched)} watched blocks between {len(plain)} others, meters read every
{EVERY_S} s (the callbacks' default is 5 s).

| | share of the training's time | goal |
|---|---:|---:|
| hooks and thread, CPU time (direct) | {100 * direct:.4f} % | 0.5 % |
| watched against unwatched blocks (paired) | {100 * mean:+.2f} % ({100 * (mean - half):+.2f} … {100 * (mean + half):+.2f} %) | 0.5 % |

A step of the training takes {1e3 * statistics.median(plain) / options.steps:.1f} ms; counting one costs
{1e9 * hooks_s / (len(watched) * options.steps):.0f} ns, reading the four counters {1e6 * reading_s:.0f} µs. With a profile, the first
batch is counted once, on the meta device, which `docs/bench-estimate.md` times.

The direct number is what the monitor's own code takes. The paired one would also see what that does to caches, but
includes whatever else this shared machine did: it decides about the goal only where its whole interval lies on one side.
"""
    print(text)
    if not options.no_write:
        (ROOT / "docs/bench-watch.md").write_text(text, encoding="utf-8")
    raise SystemExit(direct > GOAL)


def _time(run: Any) -> float:
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


if __name__ == "__main__":
    main()
