"""The CNN equation with a plus, as printed, and with all FLOPs: errors, conditions, verdicts [D10, D34]."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from energybench.app.experiment_energy import energy_verdict
from energybench.app.experiment_networks import published_module
from energybench.app.experiment_prediction import (
    NetworkRow,
    energies_of,
    left_out_errors,
    median_by_group,
    metered,
    simulated_cost,
    table_of,
)
from energybench.app.experiment_result import Answer, ExperimentResult, Figure, Verdict
from energybench.design.collinearity import condition_number, vif
from energybench.fitting.least_squares import RelativeLeastSquares
from energybench.model.document import CNN, CNN_LITERAL, CNN_TOTAL_FLOPS
from energybench.model.equation import Equation
from energybench.model.features import FeatureTable, FloatArray
from energybench.model.physical import physical_equation
from energybench.report.paper_style import SERIES, dress, paper_figure
from energybench.workloads.networks import ConvNet, SeparableConvNet

RESULTS = Path(__file__).parent / "results"
DEVICE = Path(__file__).parents[1] / "uneven_device.toml"


def image(n: int, side: int) -> tuple[torch.Tensor, ...]:
    return (torch.randn(n, 3, side, side, generator=torch.Generator().manual_seed(1)),)


def row(kind: str, width: int, n: int, side: int) -> NetworkRow:
    make = {
        "plain": lambda: ConvNet(width),
        "separable": lambda: SeparableConvNet(width),
        "mobilenet_v2": lambda: published_module("mobilenet_v2"),
    }[kind]
    return NetworkRow(f"{kind}.w{width}.n{n}.s{side}", f"{kind}_{width}", "cnn", make, lambda: image(n, side))


ROWS = tuple(
    row(kind, width, n, side)
    for kind, width, sizes in (
        ("plain", 8, ((1, 64), (2, 64), (4, 128))),
        ("plain", 16, ((1, 32), (2, 64), (4, 64), (8, 96))),
        ("plain", 32, ((1, 64), (2, 96), (8, 32))),
        ("plain", 64, ((1, 32), (1, 64), (2, 64))),
        ("separable", 16, ((1, 96), (4, 64))),
        ("separable", 32, ((1, 64), (2, 96), (8, 96))),
        ("separable", 96, ((1, 64), (2, 96))),
        ("mobilenet_v2", 1, ((1, 128), (2, 128), (1, 224))),
    )
    for n, side in sizes
)
NETWORKS = [r.network for r in ROWS]
#: One network at many sizes: M is a constant.
ONE = tuple(row("plain", 16, n, side) for n in (1, 2, 4, 8) for side in (32, 64, 96))
BATCHES = (1, 2, 4, 8)

#: [D34] the compute part with the activations: α·(MACs + other FLOPs) beside the accesses.
WITH_ACTIVATIONS = Equation(
    "cnn-with-activations",
    (
        replace(
            CNN.terms[0],
            feature=lambda t: t.column("macs") + t.column("other_flops"),
            columns=("macs", "other_flops"),
        ),
        CNN.terms[1],
    ),
    r"E = \alpha (N_{MAC} + N_{other}) + \beta N_{acc}",
    "[D34]",
    "[D10] with the activations in the compute part and no part of their own.",
)  # fmt: skip


def readings(table: FeatureTable) -> dict[str, Equation]:
    return {
        "additive": CNN,
        "literal": CNN_LITERAL,
        "total_flops": CNN_TOTAL_FLOPS,
        "with_activations": WITH_ACTIVATIONS,
        "physical": physical_equation(table),
    }


def conditions(label: str, table: FeatureTable, cost: FloatArray) -> list[Figure]:
    """Condition number and largest VIF of the columns per MAC, and how many coefficients the bound holds at 0."""
    figures = []
    for name, equation in readings(table).items():
        if name == "physical":
            continue
        X = equation.features(table).X
        weighted = X / table.column("macs")[:, None]
        fit = RelativeLeastSquares(loss="huber").fit(X, cost)
        figures += [
            Figure(f"{label}.{name}.condition", float(f"{condition_number(weighted):.3g}"), "1"),
            Figure(f"{label}.{name}.largest_vif", float(f"{np.max(vif(weighted)):.3g}"), "1"),
            Figure(f"{label}.{name}.coefficients_at_zero", int(fit.at_bound_.sum()), "coefficients", "simulated"),
        ]
    return figures


def small() -> list[Figure]:
    """The printed product's growth with the batch, and everything on the virtual device."""
    figures = []
    product = {}
    for n in BATCHES:
        total = row("plain", 16, n, 64).counts().total
        product[n] = total.macs * total.accesses
        figures.append(Figure(f"batch.n{n}.product_over_first", round(product[n] / product[1], 4), "1"))
        figures.append(Figure(f"batch.n{n}.macs", total.macs, "MAC"))
    for label, rows in (("many", ROWS), ("one", ONE)):
        counts = [r.counts() for r in rows]
        costs = [simulated_cost(c, DEVICE) for c in counts]
        table = table_of(counts, [s for _, s in costs])
        energy = np.array([e for e, _ in costs])
        figures += conditions(label, table, energy)
        if label == "many":
            for name, equation in readings(table).items():
                error = median_by_group(left_out_errors(equation, table, energy, NETWORKS), NETWORKS)
                figures.append(Figure(f"simulated_energy.{name}.median_error", round(error, 3), "1", "simulated"))
    return figures


def main() -> None:
    figures = small()
    torch.set_num_threads(1)
    counts = [r.counts() for r in ROWS]
    times = np.array([r.time_s() for r in ROWS])
    table = table_of(counts)
    for name, equation in readings(table).items():
        if name == "physical":  # its static term is the time itself
            equation = replace(equation, terms=tuple(t for t in equation.terms if "time_s" not in t.columns))
        error = median_by_group(left_out_errors(equation, table, times, NETWORKS), NETWORKS)
        figures.append(Figure(f"time.{name}.median_error", round(error, 3), "1", "timed", 1.8))
    batch = {n: row("plain", 16, n, 64).time_s() for n in BATCHES}
    for n in BATCHES[1:]:
        figures.append(Figure(f"batch.n{n}.time_over_first", round(batch[n] / batch[1], 3), "1", "timed", 2.0))
    joules = metered(ROWS)
    figures += joules

    def of_energy(energy: Mapping[str, float]) -> tuple[Answer, str]:
        cost = energies_of(ROWS, energy)
        missed = {
            name: median_by_group(left_out_errors(equation, table_of(counts, times), cost, NETWORKS), NETWORKS)
            for name, equation in readings(table).items()
        }
        worse = missed["additive"] > missed["literal"]
        answer: Answer = "does not hold" if worse else "holds" if missed["additive"] <= 0.1 else "holds in part"
        return answer, "energy, a network left out: " + ", ".join(f"{n} {e:.0%}" for n, e in missed.items())

    names = {f.name: f.value for f in figures}

    with paper_figure(RESULTS, "readings", height_in=2.8) as figure:
        left, right = figure.subplots(1, 2)
        shown = list(readings(table))[::-1]
        for offset, label, colour in ((0.2, "time", SERIES[0]), (-0.2, "simulated_energy", SERIES[3])):
            values = [100 * names[f"{label}.{r}.median_error"] for r in shown]
            left.barh(
                [i + offset for i in range(len(shown))], values, 0.38, color=colour, label=label.replace("_", " ")
            )
        left.set_yticks(range(len(shown)), [r.replace("_", " ") for r in shown])
        left.set(xlabel="median error, network left out [%]", xlim=(0, 110))
        dress(left)
        growth = [names[f"batch.n{n}.product_over_first"] for n in BATCHES]
        right.loglog(BATCHES, growth, "s-", label="MACs · accesses (counted)")
        right.loglog(BATCHES, [1, *(names[f"batch.n{n}.time_over_first"] for n in BATCHES[1:])], "o-", label="time")
        right.loglog(BATCHES, BATCHES, "--", color="#999999", label="proportional")
        right.set_xticks(BATCHES, [str(n) for n in BATCHES])
        right.set(xlabel="batch", ylabel="over batch 1")
        dress(right, legend_columns=2)

    doubled, slower = names["batch.n2.product_over_first"], names["batch.n2.time_over_first"]
    error = {r: names[f"time.{r}.median_error"] for r in readings(table)}
    simulated = {r: names[f"simulated_energy.{r}.median_error"] for r in readings(table)}
    apart = names["one.total_flops.condition"], names["many.total_flops.condition"]
    verdicts = (
        Verdict("D10", "counts", "does not hold", ("batch.n2.product_over_first", "batch.n8.product_over_first"),
                f"as printed, twice the batch costs {doubled:.2f} times as much and eight times the batch "
                f"{names['batch.n8.product_over_first']:.0f} times: a product of counts is no sum of work"),
        Verdict("D10", "time", "holds in part" if error["additive"] < error["literal"] else "does not hold",
                ("time.additive.median_error", "time.literal.median_error", "batch.n2.time_over_first"),
                f"with a network left out the additive reading misses the time by {error['additive']:.0%}, the printed "
                f"one by {error['literal']:.0%}; twice the batch takes {slower:.2f} times as long"),
        energy_verdict("D10", joules, of_energy, Verdict(
                "D10", "energy", "not decidable here", tuple(f"simulated_energy.{r}.median_error" for r in simulated),
                f"simulated energy: additive {simulated['additive']:.0%}, as printed {simulated['literal']:.0%}, "
                f"physical {simulated['physical']:.1%}; joules need a meter")),
        Verdict("D34", "counts", "holds in part",
                ("one.total_flops.condition", "many.total_flops.condition", "one.additive.condition"),
                f"with all FLOPs in the last part the condition number is {apart[0]:.3g} on one network at many "
                f"sizes and {apart[1]:.3g} over networks (additive reading {names['one.additive.condition']:.3g} and "
                f"{names['many.additive.condition']:.3g})"),
        Verdict("D34", "time", "holds in part", tuple(f"time.{r}.median_error" for r in error),
                f"time, network left out: with activations in the compute part {error['with_activations']:.0%}, "
                f"with all FLOPs {error['total_flops']:.0%}, additive {error['additive']:.0%}"),
        Verdict("D34", "energy", "not decidable here", ("simulated_energy.total_flops.median_error",),
                f"simulated energy: with all FLOPs {simulated['total_flops']:.0%}, with activations "
                f"{simulated['with_activations']:.0%}; joules need a meter"),
    )  # fmt: skip
    ExperimentResult(tuple(figures), verdicts).save(RESULTS)


if __name__ == "__main__":
    main()
