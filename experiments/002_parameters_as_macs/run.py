"""Parameters, MACs, accesses and operator calls of fifteen published networks at batch 1 [D1, D2, D3, D5, D6]."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from energybench.app.experiment_networks import SIZES, count_published
from energybench.app.experiment_result import ExperimentResult, Figure, Verdict
from energybench.report.paper_style import dress, paper_figure

RESULTS = Path(__file__).parent / "results"
COLUMNS = ("parameters", "macs", "accesses", "calls")


def of_network(name: str) -> tuple[tuple[int, int, int, int], list[Figure]]:
    """The four counts of one network, and its figures."""
    counts = count_published(name)
    total = counts.total
    row = (counts.parameters, total.macs, total.accesses, counts.calls)
    return row, [
        *(Figure(f"{name}.{column}", value, column) for column, value in zip(COLUMNS, row, strict=True)),
        Figure(f"{name}.macs_per_parameter", round(total.macs / counts.parameters, 3), "1"),
        Figure(f"{name}.accesses_per_parameter", round(total.accesses / counts.parameters, 3), "1"),
        Figure(f"{name}.flops_per_mac", round(total.flops / total.macs, 4), "1"),
    ]


def small() -> list[Figure]:
    """Two networks."""
    return [f for name in ("gru_lm", "mobilenet_v2") for f in of_network(name)[1]]


def main() -> None:
    figures: list[Figure] = []
    table: dict[str, tuple[int, int, int, int]] = {}
    for name in SIZES:
        table[name], own = of_network(name)
        figures += own

    logs = np.log(np.array(list(table.values()), dtype=float))
    for i, column in enumerate(COLUMNS):
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
    with paper_figure(RESULTS, "macs_and_parameters", height_in=2.8) as figure:
        axes = figure.add_subplot()
        for family, marker in (("cnn", "o"), ("transformer", "s"), ("rnn", "D"), ("dense", "^")):
            own = [row for name, row in table.items() if SIZES[name][0] == family]
            axes.loglog([row[0] for row in own], [row[1] for row in own], marker, label=family)
        for per_parameter in (100, 1000):
            line = np.array([2e6, 2e8])
            axes.loglog(line, per_parameter * line, "--", color="#999999", lw=0.8)
            axes.annotate(f"{per_parameter} MACs per parameter", (2e6, per_parameter * 2.4e6), fontsize=7, rotation=14)
        axes.set(xlabel="parameters", ylabel="MACs of one call (counted)")
        dress(axes)

    verdicts = (
        Verdict("D1", "counts", "does not hold", ("spread.macs_per_parameter.all",),
                f"MACs per parameter differ by a factor of {macs:g} between networks; parameters are not MACs"),
        Verdict("D2", "counts", "holds", tuple(f"{name}.flops_per_mac" for name in SIZES),
                f"FLOPs are {min(flops):.3g} to {max(flops):.3g} per MAC: as predictors the two are nearly one"),
        Verdict("D3", "counts", "does not hold", ("spread.calls_per_mac",),
                f"calls per MAC differ by a factor of {by_name['spread.calls_per_mac']:g}: operators do not measure "
                "work"),
        Verdict("D5", "counts", "does not hold", ("spread.accesses_per_parameter.all",),
                f"accesses per parameter differ by a factor of {accesses:g}; they are not proportional"),
        Verdict("D6", "energy", "not decidable here", ("log_correlation.calls_with_macs",),
                "which count predicts energy best needs measured joules; no record of a real meter is in the "
                "repository"),
    )  # fmt: skip
    ExperimentResult(tuple(figures), verdicts).save(RESULTS)


if __name__ == "__main__":
    main()
