"""Parameters, MACs, accesses and operator calls of fifteen published networks at batch 1 [D1, D2, D3, D5, D6]."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from energybench.app.experiment_networks import SIZES, count_published
from energybench.app.experiment_result import ExperimentResult, Figure, Verdict

figures: list[Figure] = []
table: dict[str, tuple[int, int, int, int]] = {}
for name in SIZES:
    counts = count_published(name)
    total = counts.total
    table[name] = (counts.parameters, total.macs, total.accesses, counts.calls)
    for column, value in zip(("parameters", "macs", "accesses", "calls"), table[name], strict=True):
        figures.append(Figure(f"{name}.{column}", value, column))
    figures.append(Figure(f"{name}.macs_per_parameter", round(total.macs / counts.parameters, 3), "1"))
    figures.append(Figure(f"{name}.accesses_per_parameter", round(total.accesses / counts.parameters, 3), "1"))
    figures.append(Figure(f"{name}.flops_per_mac", round(total.flops / total.macs, 4), "1"))

logs = np.log(np.array(list(table.values()), dtype=float))
for i, column in enumerate(("parameters", "macs", "accesses", "calls")):
    if column != "macs":
        r = float(np.corrcoef(logs[:, i], logs[:, 1])[0, 1])
        figures.append(Figure(f"log_correlation.{column}_with_macs", round(r, 3), "1"))
r = float(np.corrcoef(logs[:, 0], logs[:, 2])[0, 1])
figures.append(Figure("log_correlation.parameters_with_accesses", round(r, 3), "1"))


def spread(column: int, family: str) -> float:
    """Largest over smallest quotient of a column and the parameters within a family, or over all."""
    chosen = [row for name, row in table.items() if family in ("all", SIZES[name][0])]
    quotients = [row[column] / row[0] for row in chosen]
    return round(max(quotients) / min(quotients), 2)


for family in ("cnn", "transformer", "rnn", "all"):
    figures.append(Figure(f"spread.macs_per_parameter.{family}", spread(1, family), "1"))
    figures.append(Figure(f"spread.accesses_per_parameter.{family}", spread(2, family), "1"))
calls_per_mac = [row[3] / row[1] for row in table.values()]
figures.append(Figure("spread.calls_per_mac", round(max(calls_per_mac) / min(calls_per_mac), 1), "1"))

by_name = {f.name: f.value for f in figures}
macs, accesses = by_name["spread.macs_per_parameter.all"], by_name["spread.accesses_per_parameter.all"]
flops = [by_name[f"{name}.flops_per_mac"] for name in SIZES]
verdicts = (
    Verdict("D1", "counts", "does not hold", ("spread.macs_per_parameter.all",),
            f"MACs per parameter differ by a factor of {macs:g} between networks; parameters are not MACs"),
    Verdict("D2", "counts", "holds", tuple(f"{name}.flops_per_mac" for name in SIZES),
            f"FLOPs are {min(flops):.3g} to {max(flops):.3g} per MAC: as predictors the two are nearly one"),
    Verdict("D3", "counts", "does not hold", ("spread.calls_per_mac",),
            f"calls per MAC differ by a factor of {by_name['spread.calls_per_mac']:g}: operators do not measure work"),
    Verdict("D5", "counts", "does not hold", ("spread.accesses_per_parameter.all",),
            f"accesses per parameter differ by a factor of {accesses:g}; they are not proportional"),
    Verdict("D6", "energy", "not decidable here", ("log_correlation.calls_with_macs",),
            "which count predicts energy best needs measured joules; no record of a real meter is in the repository"),
)  # fmt: skip
ExperimentResult(tuple(figures), verdicts).save(Path(__file__).parent / "results")
