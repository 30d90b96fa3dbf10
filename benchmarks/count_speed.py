"""Time and memory of a count (`make bench-count`); writes docs/bench-count.md.

Every ratio is between two times of the same round, and each round runs all of them; the table has medians over rounds.
Expectations and goals stand here, written before the first run of this file.
"""

from __future__ import annotations

import argparse
import gc
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

# ruff: noqa: E501
ROOT = Path(__file__).resolve().parent.parent
META = torch.device("meta")
MIB = 1 << 20


def _seconds(run: Callable[[], Any]) -> float:
    gc.collect()
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


def _rounds(repeats: int, *runs: Callable[[], Any]) -> list[list[float]]:
    """Times by run, one warm-up round left out."""
    rounds = [[_seconds(run) for run in runs] for _ in range(repeats + 1)][1:]
    return [list(column) for column in zip(*rounds, strict=True)]


def gpt2(repeats: int) -> dict[str, float]:
    """GPT-2 124M, T=256, forward: ours, FlopCounterMode on meta, the same on real tensors."""
    import transformers

    from energybench.counting import count_model

    config = transformers.GPT2Config()
    real = transformers.GPT2LMHeadModel(config).eval()
    with META:
        model = transformers.GPT2LMHeadModel(config).eval()
        mask = torch.zeros(1, 1, 256, 256)  # without it the model looks at values
    tokens = torch.zeros(1, 256, dtype=torch.long)
    tokens_meta = tokens.to(META)

    def flop_counter(network: Any, ids: torch.Tensor, **kw: Any) -> None:
        with torch.no_grad(), FlopCounterMode(display=False):
            network(ids, **kw)

    ours, meta, on_cpu = _rounds(
        repeats,
        lambda: count_model(model, tokens),
        lambda: flop_counter(model, tokens_meta, attention_mask=mask),
        lambda: flop_counter(real, tokens),
    )
    return {
        "ours_s": statistics.median(ours),
        "meta_s": statistics.median(meta),
        "cpu_s": statistics.median(on_cpu),
        "to_meta": statistics.median(a / b for a, b in zip(ours, meta, strict=True)),
        "to_meta_worst": max(a / b for a, b in zip(ours, meta, strict=True)),
        "to_cpu": statistics.median(a / b for a, b in zip(ours, on_cpu, strict=True)),
    }


def llama(repeats: int) -> dict[str, float]:
    """Llama 7B, T=2048, forward and backward on meta; the process' peak memory, and how much of it the count added."""
    import transformers

    from energybench.counting import count_model

    with META:
        model = transformers.LlamaForCausalLM(transformers.LlamaConfig()).eval()
    tokens = torch.zeros(1, 2048, dtype=torch.long)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    begin = time.perf_counter()
    count_model(model, tokens, backward=True)
    first = time.perf_counter() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    (times,) = _rounds(repeats, lambda: count_model(model, tokens, backward=True))
    return {
        "first_s": first,
        "ours_s": statistics.median(times),
        "peak_mib": peak / MIB,
        "added_mib": (peak - before) / MIB,
    }


def gru(repeats: int) -> dict[str, float]:
    """A bidirectional GRU of two layers over 500 steps, forward and backward."""
    from energybench.counting import count_model

    model, x = torch.nn.GRU(64, 128, 2, bidirectional=True, device=META), torch.empty(500, 8, 64, device=META)

    def flop_counter() -> None:
        with torch.no_grad(), FlopCounterMode(display=False):
            model(x)

    (ours,) = _rounds(repeats, lambda: count_model(model, x, backward=True))
    meta = _seconds(flop_counter)
    return {"ours_s": statistics.median(ours), "worst_s": max(ours), "meta_forward_s": meta}


PARTS: dict[str, Callable[[int], dict[str, float]]] = {"gpt2": gpt2, "llama": llama, "gru": gru}


def _met(value: float, goal: float) -> str:
    return "met" if value <= goal else "**missed**"


def page(found: dict[str, dict[str, float]], repeats: int, load: float) -> str:
    """The page's text."""
    g, m, r = found["gpt2"], found["llama"], found["gru"]
    rows = [
        ("GPT-2 124M forward, T=256: ours / FlopCounterMode on meta", "≤ 0.5", "0.2–0.35",
         f"{g['to_meta']:.2f} (worst {g['to_meta_worst']:.2f}; {g['ours_s'] * 1e3:.0f} ms against {g['meta_s'] * 1e3:.0f} ms)",
         _met(g["to_meta"], 0.5)),
        ("the same: ours / FlopCounterMode on real tensors", "–", "0.05–0.15",
         f"{g['to_cpu']:.3f} ({g['cpu_s'] * 1e3:.0f} ms)", "–"),
        ("Llama 7B forward and backward, T=2048", "< 2 s", "0.5–1 s",
         f"{m['ours_s']:.2f} s, the first {m['first_s']:.2f} s", _met(m["first_s"], 2)),
        ("peak memory of that process, torch and transformers included", "< 1 GB", "600–800 MB",
         f"{m['peak_mib']:.0f} MiB, of which the count added {m['added_mib']:.0f} MiB", _met(m["peak_mib"] * MIB, 1e9)),
        ("GRU, 2 layers, bidirectional, T=500, forward and backward", "< 50 ms", "3–10 ms",
         f"{r['ours_s'] * 1e3:.1f} ms, worst {r['worst_s'] * 1e3:.1f} ms "
         f"(FlopCounterMode on meta, forward alone: {r['meta_forward_s']:.1f} s)",
         _met(r["worst_s"], 0.05)),
    ]  # fmt: skip
    lines = [
        "# Speed of a count",
        "",
        "Written by `make bench-count`; do not edit. Each part runs in its own process; a ratio is taken within a round, and the table",
        f"has medians of {repeats} rounds after one for warm-up. Expectations were written before the measurement, the first row's after a trial.",
        "",
        "| what | goal | expected | measured | |",
        "|---|---|---|---|---|",
        *(f"| {' | '.join(row)} |" for row in rows),
        "",
        f"torch {torch.__version__}, Python {platform.python_version()}, {platform.machine()}, {os.cpu_count()} CPUs, "
        f"{torch.get_num_threads()} torch threads, load average {load:.1f} before the first part.",
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    """Runs each part in its own process and writes the page."""
    import json

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", choices=PARTS, help="run one part here and print its figures")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "bench-count.md")
    given = parser.parse_args()
    if given.part:
        print(json.dumps(PARTS[given.part](given.repeats)))
        return
    found = {}
    load = os.getloadavg()[0]
    for part in PARTS:
        print(f"{part} …", file=sys.stderr, flush=True)
        command = [sys.executable, "-m", "benchmarks.count_speed", "--part", part, "--repeats", str(given.repeats)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(f"{part} failed: {done.stderr.strip().splitlines()[-1:]}")
        found[part] = json.loads(done.stdout.splitlines()[-1])
        print(found[part], file=sys.stderr)
    given.output.write_text(page(found, given.repeats, load), encoding="utf-8")


if __name__ == "__main__":
    main()
