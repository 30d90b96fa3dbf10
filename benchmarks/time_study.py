"""Times of networks that were never run, predicted from timed operators, beside what they took (CPU, no energy).

Times are measured here, on a machine that must be otherwise idle. Each network is counted, predicted by every law and
then run. "roofline" is one set of rates for all kernels; "by class" gives
kernel classes rates of their own; the null model is time
proportional to MACs. ``--timings`` takes a file of ``energybench time-operators``; else operators are timed first.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from energybench.app.time_operators import time_operators
from energybench.estimation.operators import operator_table
from energybench.fitting import fit_time_law
from energybench.meters.clock import MonotonicClock
from energybench.model.features import FeatureTable, feature_row, timed_table
from energybench.protocol.call_time import call_time_s
from energybench.protocol.executor import HostExecutor
from energybench.records.timed_operator import read_timed_operators
from energybench.workloads.network_rows import conv_net, gru_sequence_model, separable_conv_net, transformer_encoder
from energybench.workloads.vendor import ModuleRecipe
from energybench.workloads.workload import Workload

NETWORKS = (
    *(conv_net(n, h) for n, h in ((1, 32), (1, 64), (1, 128), (4, 64))),
    *(separable_conv_net(n, h) for n, h in ((1, 48), (1, 96), (2, 128))),
    *(gru_sequence_model(t, b) for t, b in ((8, 1), (32, 4), (64, 16))),
    *(transformer_encoder(b, s) for b, s in ((1, 32), (2, 64), (1, 192), (4, 128))),
)
#: Windows of one network; the median stands.
TIMES = 5


def operators_of(workload: Workload) -> FeatureTable:
    """The network's operators, counted on the meta device."""
    import torch

    from energybench.counting import count_model

    recipe = workload.recipe
    assert isinstance(recipe, ModuleRecipe)
    with torch.device("meta"):
        model = recipe.factory().eval()
    counts = count_model(model, *(torch.empty(s, device="meta") for s in recipe.shapes))
    whole = FeatureTable.from_rows([feature_row(counts, time_s=np.nan)])
    return operator_table(counts, whole)


def main() -> int:
    """Time, fit, predict, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--timings", type=Path)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = given.timings or time_operators(out=folder, count=given.count, threads=given.threads)
        table = timed_table(read_timed_operators(path))
    law = fit_time_law(table, by_class=True)
    assert law is not None
    pooled = replace(law, by_class={})
    print(f"{law.nobs} operators, spread {law.rel_stdev:.1%} by class {', '.join(law.by_class)}")
    executor, clock = HostExecutor("cpu", threads=given.threads), MonotonicClock()
    rows = []
    for workload in NETWORKS:
        operators = operators_of(workload)
        prepared = executor.prepare(workload)
        taken = float(np.median([call_time_s(prepared, clock, at_least_s=0.05) for _ in range(TIMES)]))
        prepared.release()
        macs = float(np.sum(operators.column("macs")))
        rows.append((workload.name, taken, pooled.call_s(operators), law.call_s(operators), macs))
    rate = float(np.median([taken / macs for _, taken, _, _, macs in rows]))
    print("| network | measured time | roofline | by class | MACs only |\n|---|---|---|---|---|")
    errors = []
    for name, taken, one, several, macs in rows:
        errors.append([one / taken - 1, several / taken - 1, rate * macs / taken - 1])
        print(f"| {name} | {taken * 1e3:.2f} ms | " + " | ".join(f"{e:+.1%}" for e in errors[-1]) + " |")
    medians = np.median(np.abs(errors), axis=0)
    print(f"| median error of {len(rows)} | | " + " | ".join(f"{m:.1%}" for m in medians) + " |")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
