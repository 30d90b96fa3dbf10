"""Writes docs/conformance.md: every counter on every case (`make conformance`)."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.cases import Case, all_cases
from benchmarks.counters import COUNTERS

ROOT = Path(__file__).resolve().parent.parent
Figures = dict[str, dict[str, Any]]

# ruff: noqa: E501
INTRO = """# Conformance: what counters report

Written by `make conformance`; do not edit. Each cell is **reported / exact** MACs: `1` is exact to the last MAC, bold is wrong
by more than 1 %, **0** is work that was not seen, a name is the error that the tool raised, – means that the case has none.

The exact numbers are formulas, not the output of any tool: `benchmarks/cases.py`. They are *nominal*, as all these tools mean
them: padding taps and masked pairs included, no bias, no elementwise work. Every counter runs on every case in a process of its own, called
as its documentation shows, in `eval()`, on CPU tensors (FlopCounterMode on the meta device too). FLOPs are halved; tools
that print MACs are taken as they are. A tool that adds biases, norms or activations to its MACs is off by the percents they cost: a
convention, where 0, 0.8 or 4 are mistakes.
"""

FORWARD_NOTE = """
- *FlopCounterMode, meta*: Hugging Face models that build their own mask look at values and raise there unless they are given an explicit
  4-D mask; the decode step has none.
- *FlopCounterMode, cpu*: fused CPU attention, the LSTM and the fast path of `nn.MultiheadAttention` have no formula and print 0.
- *ptflops, pytorch*: its average over the batch is multiplied back, also where the batch is not the first dimension.
- *calflops* raises StopIteration on a model without parameters, whose device it wants to know.
"""

EXECUTED_INTRO = """
## Executed, forward
What energybench calls `macs`: without the taps of convolutions that fall on padding and without pairs that a causal mask hides. No other
tool here has this number. Only cases where it differs from the nominal one are listed.
"""

BACKWARD_INTRO = """
## Backward
Only these count a backward pass by looking at it (others offer a fixed factor). The pass alone, from gradients of all outputs; an input that
needs no gradient gets none. Fused attention computes its scores again, 5 products; attention on the meta device or with kept probabilities
has 4, and FlopCounterMode on meta is held against that number. The exact column has 5 where the attention is fused; energybench is
held against both, under its policies `eager` and `math-attention`.
"""


def figures(python: str, name: str) -> tuple[str, Figures]:
    """Version of a counter and what it found, by case."""
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        [python, "-m", "benchmarks.counters", name],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    if not lines or lines[0]["version"] is None:
        raise SystemExit(f"{name} did not run ({done.stderr.strip().splitlines()[-1:]}); run `make conformance`")
    return lines[0]["version"], {line["case"]: line for line in lines[1:]}


def cell(figure: dict[str, Any] | None, key: str, exact: float) -> str:
    """Reported / exact, an error's name, or – where the tool has no such figure."""
    if figure is None:
        return "process died"
    error = figure.get("error") or (figure.get("backward_error") if key.startswith("backward") else None)
    if error is not None:
        return str(error)
    if key not in figure:
        return "–"
    return ratio(figure[key], exact)


def ratio(reported: float, exact: float) -> str:
    """As printed: `1` only where the two are equal."""
    if reported == exact:
        return "1"
    share = reported / exact
    text = f"{share:.4f}" if share < 10 else f"{share:.1f}"
    text = "0" if reported == 0 else text
    return f"**{text}**" if abs(share - 1) > 0.01 else text


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    return [_row(head), _row(["---"] * len(head)), *(_row(cells) for cells in rows)]


def _exact_of(name: str, case: Case) -> int | None:
    """The backward MACs of what a counter sees: on the meta device attention keeps its probabilities."""
    if name == "FlopCounterMode, meta" and case.backward_math is not None:
        return case.backward_math
    return case.backward


def page(versions: dict[str, str], found: dict[str, Figures]) -> str:
    """The page's text."""
    cases = all_cases()
    lines = [INTRO, "| counter | version | prints |", "|---|---|---|"]
    lines += [f"| {name} | {versions[name]} | {COUNTERS[name].printed} |" for name in COUNTERS]
    lines += ["", f"Python {platform.python_version()}.", "", "## Forward"]
    head = ["case", "exact MACs", *COUNTERS]
    titles = {"layers": "Layers and large models", "networks": "Networks", "probes": "Probes"}
    for group, title in titles.items():
        rows = [
            [c.name, f"{c.forward:,}", *(cell(found[n].get(c.name), "forward", c.forward) for n in COUNTERS)]
            for c in cases
            if c.group == group
        ]
        lines += ["", f"### {title}", *_table(head, rows)]
    exact = [sum(found[n].get(c.name, {}).get("forward") == c.forward for c in cases) for n in COUNTERS]
    near = [
        sum(abs(found[n].get(c.name, {}).get("forward", 0) / c.forward - 1) <= 0.01 for c in cases) for n in COUNTERS
    ]
    rows = [
        [f"exact, of {len(cases)}", *map(str, exact)],
        ["within 1 %", *map(str, near)],
    ]
    lines += ["", "### Sums", *_table(["", *COUNTERS], rows), FORWARD_NOTE, EXECUTED_INTRO]
    own = found["energybench"]
    rows = [
        [c.name, f"{c.executed:,}", f"{c.executed / c.forward:.4f}", cell(own.get(c.name), "executed", c.executed)]
        for c in cases
        if c.executed is not None and c.executed != c.forward
    ]
    lines += _table(["case", "exact executed MACs", "executed / nominal", "energybench"], rows)
    lines.append(BACKWARD_INTRO)
    names = [n for n in COUNTERS if n.startswith(("energybench", "FlopCounterMode"))]
    rows = []
    for c in cases:
        if c.backward is None:
            continue
        kept = cell(own.get(c.name), "backward_math", c.backward_math or c.backward)
        cells = [cell(found[n].get(c.name), "backward", _exact_of(n, c) or 0) for n in names]
        rows.append([c.name, f"{c.backward:,}", cells[0], kept, *cells[1:]])
    lines += _table(["case", "exact MACs", names[0], "energybench, math-attention", *names[1:]], rows)
    covered = sum(figure.get("coverage") == 1 for figure in own.values())
    refused = [name for name, figure in own.items() if "error" in figure]
    lines += [
        "",
        "## Coverage",
        f"energybench counts with `strict=True`: {covered} of {len(cases)} cases have a formula for every operator (coverage 100 %).",
        "Refused with an error that says so: " + ("; ".join(refused) or "none") + ".",
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    """Runs every counter and writes the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", default=sys.executable, help="interpreter that has the extra [peers]")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "conformance.md")
    given = parser.parse_args()
    versions: dict[str, str] = {}
    found: dict[str, Figures] = {}
    for name in COUNTERS:
        print(f"{name} …", file=sys.stderr, flush=True)
        versions[name], found[name] = figures(given.python, name)
    given.output.write_text(page(versions, found), encoding="utf-8")
    print(f"wrote {given.output}", file=sys.stderr)


if __name__ == "__main__":
    main()
