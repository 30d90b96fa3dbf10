"""Times of networks that were never run, predicted from timed operators, beside what they took (``make study-time``).

Times are measured here, on the CPU, without energy; the machine should be otherwise idle. "roofline" is one set of
rates for all kernels, "by class" has rates for each kernel class, "by shape" is the law as it is fitted: the roofline
times what operators of a shape near by took beyond it. The null model is time proportional to MACs, its rate fitted
to these very networks. No network enters a law. Intervals are conformal, the network they are for left out; a network
is a name with all its sizes. ``--timings`` takes a folder of ``energybench time-operators --networks``; else both are
timed now, in about two minutes. ``--page`` writes table and verdict into docs/models.md. The verdict's rule (`verdict`)
stood there before the run.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.page_part import write_part
from energybench.app.time_operators import time_operators
from energybench.estimation.time_interval import log_reach
from energybench.fitting.time_fit import fit_time_law, time_scores
from energybench.model.features import FeatureTable, feature_row, timed_table
from energybench.model.operator_table import operator_table
from energybench.model.time_law import TimeLaw
from energybench.records.timed_network import TimedNetwork, read_timed_networks
from energybench.records.timed_operator import read_timed_operators

LEVEL: Final = 0.9
#: What the field reaches before running a network (WattLayer: 19.6 %, shared with nobody's hardware), rounded up.
WORST_MEDIAN: Final = 0.25
PAGE: Final = Path(__file__).resolve().parents[1] / "docs" / "models.md"


def predicted_s(law: TimeLaw, networks: Sequence[TimedNetwork]) -> list[float]:
    """What a law says of each network."""
    return [
        law.call_s(operator_table(one.counts, FeatureTable.from_rows([feature_row(one.counts, time_s=np.nan)])))
        for one in networks
    ]


def table_lines(operators: FeatureTable, networks: Sequence[TimedNetwork]) -> list[str]:
    """The table, and below it how often intervals held and what follows."""
    law, by_class = fit_time_law(operators), fit_time_law(operators, by_class=True)
    assert law is not None
    assert by_class is not None
    laws = {
        "roofline": replace(law, efficiency=None),
        "by class": replace(by_class, efficiency=None),
        "by shape": law,
    }
    taken = np.array([one.time_s for one in networks])
    macs = np.array([one.counts.total.macs for one in networks], dtype=np.float64)
    predicted = {name: np.array(predicted_s(one, networks)) for name, one in laws.items()}
    predicted["MACs only"] = macs * float(np.median(taken / macs))
    lines = [
        f"| network | time taken | {' | '.join(predicted)} |",
        "|---" * (2 + len(predicted)) + "|",
    ]
    for i, one in enumerate(networks):
        errors = " | ".join(f"{p[i] / taken[i] - 1:+.1%}" for p in predicted.values())
        lines.append(f"| {one.workload.removeprefix('network/')} | {taken[i] * 1e3:.2f} ms | {errors} |")
    medians = {name: float(np.median(np.abs(p / taken - 1))) for name, p in predicted.items()}
    lines.append(f"| median error of {len(networks)} | | {' | '.join(f'{m:.1%}' for m in medians.values())} |")
    names = [one.network for one in networks]
    of_network = [
        np.median([np.median(np.abs(p / taken - 1)[[n == name for n in names]]) for name in dict.fromkeys(names)])
        for p in predicted.values()
    ]
    lines.append(f"| median of {len(set(names))} networks | | {' | '.join(f'{m:.1%}' for m in of_network)} |")
    scored = replace(law, network_scores=time_scores(law, networks))
    reach = np.array([log_reach(scored, LEVEL, without=name) for name in names])
    hits = int(np.sum(np.abs(np.log(predicted["by shape"] / taken)) <= reach))
    return [
        f"{law.nobs} operators, spread of those left out {law.rel_stdev:.1%}.",
        "",
        *lines,
        "",
        f"{LEVEL:.0%} intervals of the time by shape hold {hits} of {len(names)}; "
        f"they reach a factor of {float(np.exp(np.median(reach))):.2f} to either side.",
        "",
        verdict(medians, hits, len(names)),
    ]


def verdict(medians: Mapping[str, float], hits: int, total: int) -> str:
    """Whether the law by shape holds: median error at most `WORST_MEDIAN` and below the others', and enough hits."""
    from scipy.stats import binom

    enough = int(binom.ppf(0.05, total, LEVEL))
    others = min(error for name, error in medians.items() if name != "by shape")
    failed = [
        why
        for why, wrong in (
            (f"its median error is above {WORST_MEDIAN:.0%}", medians["by shape"] > WORST_MEDIAN),
            (f"another law's median error is {others:.1%}", medians["by shape"] >= others),
            (f"intervals hold fewer than {enough} of {total}", hits < enough),
        )
        if wrong
    ]
    return f"**Verdict: the law by shape {'does not hold: ' + '; '.join(failed) if failed else 'holds'}.**"


def main() -> int:
    """Time, fit, predict, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--timings", type=Path)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--page", action="store_true", help="Write the result into docs/models.md.")
    given = parser.parse_args()
    begun, load = time.monotonic(), os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        if given.timings is None:
            time_operators(out=folder, count=given.count, threads=given.threads, networks=True)
        path = given.timings or Path(folder)
        operators, networks = timed_table(read_timed_operators(path)), read_timed_networks(path)
    timed_s, load_after = time.monotonic() - begun, os.getloadavg()[0]
    lines = table_lines(operators, networks)
    if given.timings is None:
        lines.insert(
            0,
            f"Timed in {timed_s:.0f} s on {os.cpu_count()} processors, {given.threads} thread; "
            f"load {load:.1f} before and {load_after:.1f} after.",
        )
    print("\n".join(lines))
    if given.page:
        write_part(PAGE, "time-study", lines)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
