"""The component equation of a Transformer beside MACs alone and `physical`, on networks left out [D18]."""

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
from energybench.fitting.least_squares import RelativeLeastSquares
from energybench.model.catalogue import equation_of_columns
from energybench.model.document import TRANSFORMER
from energybench.model.equation import Equation
from energybench.model.features import COMPONENT_COLUMNS, FeatureTable
from energybench.model.physical import physical_equation
from energybench.report.paper_style import SERIES, dress, paper_figure
from energybench.workloads.networks import TransformerEncoder

RESULTS = Path(__file__).parent / "results"
DEVICE = Path(__file__).parents[1] / "uneven_device.toml"


def encoder(width: int, heads: int, n: int, length: int) -> NetworkRow:
    return NetworkRow(
        f"encoder.d{width}h{heads}n{n}s{length}",
        f"encoder_{width}_{heads}",
        "transformer",
        lambda: TransformerEncoder(width, heads, 3),
        lambda: (torch.randn(n, length, width, generator=torch.Generator().manual_seed(1)),),
    )


def published(name: str, length: int) -> NetworkRow:
    def inputs() -> tuple[torch.Tensor, ...]:
        generator = torch.Generator().manual_seed(1)
        if name == "vit_b16":
            return (torch.randn(1, 3, length, length, generator=generator),)
        return (torch.randint(10_000, (1, length), generator=generator),)

    return NetworkRow(f"{name}.s{length}", name, "transformer", lambda: published_module(name, 1, length), inputs)


ROWS = (
    *(encoder(64, 2, n, s) for n, s in ((1, 64), (1, 512), (4, 256))),
    *(encoder(128, 8, n, s) for n, s in ((1, 32), (1, 1024), (8, 128))),
    *(encoder(256, 4, n, s) for n, s in ((1, 64), (2, 256), (1, 768))),
    *(encoder(512, 8, n, s) for n, s in ((1, 32), (1, 256), (4, 64))),
    *(published("gpt2_prefill", s) for s in (32, 128)),
    published("vit_b16", 224),
)
NETWORKS = [r.network for r in ROWS]

#: The same sum without the share, which the counted work has in it already.
COMPONENTS_ONCE = replace(
    TRANSFORMER,
    name="components-once",
    terms=tuple(
        replace(term, feature=lambda t, c=component: t.column(COMPONENT_COLUMNS[c]))
        for term, component in zip(TRANSFORMER.terms, COMPONENT_COLUMNS, strict=True)
    ),
)


def equations(table: FeatureTable, *, of_time: bool) -> dict[str, Equation]:
    physical = physical_equation(table)
    if of_time:  # a time has no static part of its own
        physical = replace(physical, terms=tuple(t for t in physical.terms if "time_s" not in t.columns))
    return {
        "macs": equation_of_columns(("macs",)),
        "document": TRANSFORMER,
        "components_once": COMPONENTS_ONCE,
        "physical": physical,
    }


def small() -> list[Figure]:
    """Shares of two rows, and every equation on the virtual device."""
    figures = []
    counts = [r.counts() for r in ROWS]
    for row, c in zip(ROWS, counts, strict=True):
        if row.name in ("encoder.d128h8n1s32", "encoder.d128h8n1s1024"):
            for part, flops in c.component_flops().items():
                figures.append(Figure(f"{row.name}.{part}.share", round(flops / c.total.flops, 5), "share of FLOPs"))
    costs = [simulated_cost(c, DEVICE) for c in counts]
    energy = np.array([e for e, _ in costs])
    table = table_of(counts, [s for _, s in costs])
    for name, equation in equations(table, of_time=False).items():
        error = median_by_group(left_out_errors(equation, table, energy, NETWORKS), NETWORKS)
        figures.append(Figure(f"simulated_energy.{name}.median_error", round(error, 3), "1", "simulated"))
    return figures


def main() -> None:
    figures = small()
    torch.set_num_threads(1)
    counts = [r.counts() for r in ROWS]
    times = np.array([r.time_s() for r in ROWS])
    table = table_of(counts)
    for row, t in zip(ROWS, times, strict=True):
        figures.append(Figure(f"{row.name}.time", round(1e3 * t, 3), "ms", "timed"))
    error: dict[str, float] = {}
    for name, equation in equations(table, of_time=True).items():
        error[name] = median_by_group(left_out_errors(equation, table, times, NETWORKS), NETWORKS)
        figures.append(Figure(f"time.{name}.median_error", round(error[name], 3), "1", "timed", 2.0))
    fit = RelativeLeastSquares(loss="huber").fit(TRANSFORMER.features(table).X, times)
    at_zero = [name for name, zero in zip(TRANSFORMER.names, fit.at_bound_, strict=True) if zero]
    figures.append(Figure("time.document.coefficients_at_zero", len(at_zero), "coefficients", "timed"))
    joules = metered(ROWS)
    figures += joules

    def of_energy(energy: Mapping[str, float]) -> tuple[Answer, str]:
        cost, known = energies_of(ROWS, energy), table_of(counts, times)
        missed = {
            name: median_by_group(left_out_errors(equation, known, cost, NETWORKS), NETWORKS)
            for name, equation in equations(known, of_time=False).items()
        }
        worse = missed["document"] > 1.25 * missed["macs"]
        answer: Answer = "does not hold" if worse else "holds" if missed["document"] <= 0.1 else "holds in part"
        return answer, "energy, a network left out: " + ", ".join(f"{n} {e:.0%}" for n, e in missed.items())

    names = {f.name: f.value for f in figures}

    with paper_figure(RESULTS, "equations", height_in=2.4) as figure:
        left, right = figure.subplots(1, 2)
        shown = list(error)[::-1]
        for offset, label, colour in ((0.2, "time", SERIES[0]), (-0.2, "simulated_energy", SERIES[3])):
            values = [100 * names[f"{label}.{e}.median_error"] for e in shown]
            left.barh(
                [i + offset for i in range(len(shown))], values, 0.38, color=colour, label=label.replace("_", " ")
            )
        left.set_yticks(range(len(shown)), [e.replace("_", " ") for e in shown])
        left.set_xlabel("median error, network left out [%]")
        dress(left)
        for name, marker in (("document", "o"), ("physical", "s")):
            equation = equations(table, of_time=True)[name]
            off = 1 + left_out_errors(equation, table, times, NETWORKS)
            right.semilogx(1e3 * times, off, marker, ms=4, label=name)
        right.axhline(1, color="#444444", lw=0.8)
        right.set(xlabel="time on one thread [ms]", ylabel="predicted over timed")
        dress(right)

    simulated = {e: names[f"simulated_energy.{e}.median_error"] for e in error}
    # Three coefficients must earn their keep: clearly better than one, or clearly worse; between lies chance.
    good = error["document"] <= 0.2 and error["document"] <= 0.8 * error["macs"]
    worse = error["document"] > 1.25 * error["macs"]
    verdicts = (
        Verdict("D18", "time", "holds" if good else "does not hold" if worse else "holds in part",
                tuple(f"time.{e}.median_error" for e in error),
                f"with a network left out the equation misses the time by {error['document']:.0%}, without the share, "
                f"which is in the work already, by {error['components_once']:.0%}, MACs alone by {error['macs']:.0%}, "
                f"counts of `physical` by {error['physical']:.0%}"),
        energy_verdict("D18", joules, of_energy, Verdict(
                "D18", "energy", "not decidable here", tuple(f"simulated_energy.{e}.median_error" for e in error),
                f"simulated energy: the equation {simulated['document']:.0%}, without the share "
                f"{simulated['components_once']:.0%}, MACs alone {simulated['macs']:.0%}, physical "
                f"{simulated['physical']:.1%}; joules need a meter")),
    )  # fmt: skip
    ExperimentResult(tuple(figures), verdicts).save(RESULTS)


if __name__ == "__main__":
    main()
