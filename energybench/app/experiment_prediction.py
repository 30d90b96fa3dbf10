"""Predicting what networks cost from their counts, on networks that the fit has not seen; shared by experiments.

A row is a network at one size. Its cost is its time on this machine, its energy there where there is a meter, or its
energy on a virtual device, which prices every operator apart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from energybench.app.experiment_energy import energy_figures
from energybench.app.experiment_result import Figure
from energybench.app.experiment_timing import time_in_turns
from energybench.counting import count_model
from energybench.fitting.least_squares import RelativeLeastSquares
from energybench.meters.virtual_device import VirtualDevice
from energybench.model.equation import Equation
from energybench.model.features import FeatureTable, FloatArray, feature_row
from energybench.records.model_counts import ModelCounts
from energybench.units import Joule, Second

if TYPE_CHECKING:
    import torch
    from torch import nn

#: Timed rounds of a network; their median stands.
_ROUNDS: Final = 5


@dataclass(frozen=True)
class NetworkRow:
    """One network at one size: `make` builds it, `inputs` its arguments, both from a fixed seed of their own."""

    name: str
    network: str
    family: str
    make: Callable[[], nn.Module]
    inputs: Callable[[], tuple[torch.Tensor, ...]]

    def counts(self) -> ModelCounts:
        """Counts of one forward call, on the meta device but for tokens: nothing large is allocated."""
        import torch

        with torch.device("meta"):
            model = self.make().eval()
        return count_model(model, *(x if x.dtype == torch.int64 else x.to("meta") for x in self.inputs()))

    def time_s(self) -> Second:
        """Median time of one forward call on this machine, with the threads that torch is set to."""
        import torch

        model, inputs = self.make().eval(), self.inputs()
        with torch.inference_mode():
            return time_in_turns({"call": lambda: model(*inputs)}, rounds=_ROUNDS).median_s("call")

    def energy(self) -> list[Figure]:
        """Gross joules of one forward call on this machine, as ``NAME.energy``; empty where it has no meter."""
        import torch

        model, inputs = self.make().eval(), self.inputs()
        with torch.inference_mode():
            return energy_figures({self.name: lambda: model(*inputs)})


def metered(rows: Sequence[NetworkRow]) -> list[Figure]:
    """Joules of every row; empty where this machine has no meter."""
    figures: list[Figure] = []
    for row in rows:
        own = row.energy()
        if not own:
            return []
        figures += own
    return figures


def energies_of(rows: Sequence[NetworkRow], energy: Mapping[str, float]) -> FloatArray:
    """The joules of `metered` in the order of the rows (n,)."""
    return np.array([energy[f"{row.name}.energy"] for row in rows])


def simulated_cost(counts: ModelCounts, scenario: Path) -> tuple[Joule, Second]:
    """Energy and duration of one call on a virtual device, operator by operator."""
    device = VirtualDevice.load(scenario)
    taken_s = sum(device.execute(row.counts, kernel_class=row.kernel_class) for row in counts.rows)
    return device.true_energy_j, taken_s


def table_of(counts: Sequence[ModelCounts], times_s: Sequence[Second] | None = None) -> FeatureTable:
    """Features of the rows, with their durations where an equation needs them."""
    durations = times_s if times_s is not None else [float("nan")] * len(counts)
    return FeatureTable.from_rows(feature_row(c, time_s=t) for c, t in zip(counts, durations, strict=True))


def left_out_errors(equation: Equation, table: FeatureTable, cost: FloatArray, groups: Sequence[str]) -> FloatArray:
    """Relative error of each row (n,), its group left out of the fit; NaN where the equation cannot say.

    One coefficient is the median of cost over count, the best such a model can do against a median error; several are
    fitted by relative, robust, non-negative least squares.
    """
    design = equation.features(table)
    if not design.kept.all():
        raise ValueError(f"{equation.name} describes {int(design.kept.sum())} of {len(table)} rows")
    names = np.asarray(groups)
    errors = np.full(len(cost), np.nan)
    for group in dict.fromkeys(groups):
        train, test = names != group, names == group
        X, y = design.X[train], cost[train]
        if X.shape[1] == 1:
            coef = np.array([np.median(y / X[:, 0])])
        else:
            coef = RelativeLeastSquares(loss="huber", nonneg=equation.nonneg).fit(X, y).coef_
        errors[test] = design.X[test] @ coef / cost[test] - 1
    return errors


def median_by_group(errors: FloatArray, groups: Sequence[str]) -> float:
    """Median over groups of each group's median absolute error: every group counts alike."""
    names = np.asarray(groups)
    return float(np.median([np.median(np.abs(errors[names == g])) for g in dict.fromkeys(groups)]))
