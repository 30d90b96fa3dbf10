"""`RunChooser`: the next windows of a calibration, chosen from what was measured so far (``--design optimal``)."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from energybench.design.sequential import next_batch
from energybench.fitting.least_squares import RelativeLeastSquares
from energybench.model.catalogue import equation_for
from energybench.model.features import FeatureTable, feature_row
from energybench.records.model_counts import ModelCounts
from energybench.records.op_counts import OpCounts
from energybench.records.run_record import RunRecord
from energybench.units import Second
from energybench.workloads.workload import Workload

#: Windows chosen at once: the choice is only as good as the last fit, and a fit takes as long as a small part of a row.
BATCH: Final = 10
#: Joules and watts that stand for coefficients before the first window, by what their names begin with; only which
#: rows are unlike each other depends on them. Orders of magnitude of a CPU (Horowitz 2014; Molka et al. 2010).
GUESSES: Final[Mapping[str, float]] = {"mac": 1e-10, "other": 1e-10, "byte": 3e-10, "launch": 2e-5, "static": 10.0}
#: MACs and bytes a second and seconds a launch, likewise, for the first batch alone.
GUESSED_RATES: Final = (5e10, 2e10, 5e-6)
#: Time of an idle row's call stands for any amount of it.
IDLE_S: Final[Second] = 1.0


class RunChooser:
    """Chooses batches of windows that narrow the coefficients, or the estimates of target models, most.

    Args:
        workloads: Candidates; held-out ones are left out.
        targets: Counts of models whose estimate is to be narrow; none for the coefficients themselves.
        windows: Stop after this many windows; None goes on until the budget ends.
    """

    def __init__(
        self,
        workloads: Sequence[Workload],
        *,
        targets: Sequence[ModelCounts | OpCounts] = (),
        windows: int | None = None,
    ) -> None:
        self._candidates = [w for w in workloads if w.split != "heldout"]
        self._targets, self._windows = tuple(targets), windows

    def __call__(self, records: Sequence[RunRecord], skipped: Container[str]) -> list[Workload]:
        """The next windows, none when there are enough."""
        wanted = BATCH if self._windows is None else min(BATCH, self._windows - len(records))
        candidates = [w for w in self._candidates if w.name not in skipped]
        if wanted <= 0 or not candidates:
            return []
        valid = [r for r in records if r.valid]
        time_of = _Times(valid)
        rows = [
            feature_row(w.counts(), time_s=time_of(w.name, w.counts()), kernel_class=w.kernel_class) for w in candidates
        ]
        goals = [
            feature_row(c, time_s=time_of("", c.total if isinstance(c, ModelCounts) else c)) for c in self._targets
        ]
        table = FeatureTable.from_rows([*rows, *goals])
        equation = equation_for("physical", table)
        X = equation.features(table).X
        place = {w.name: i for i, w in enumerate(candidates)}
        coefficients = np.array([GUESSES[name.partition("_")[0]] for name in equation.names])
        misfit_ratio = 1.0
        used = [r for r in valid if r.workload in place]
        taken = np.array([place[r.workload] for r in used], dtype=np.int64)
        if len(set(taken)) > len(equation.names):
            own = X[taken]
            own[:, list(equation.names).index("static_power_w")] = [r.time_s for r in used]
            energy_j = np.array([r.energy_j for r in used])
            fit = RelativeLeastSquares(nonneg=equation.nonneg).fit(own, energy_j)
            coefficients = fit.coef_
            stated_rel = np.array([r.energy_uncertainty_j or 0.0 for r in used]) / energy_j
            misfit_ratio = _misfit_ratio(energy_j / fit.predict(own) - 1, stated_rel, taken, terms=len(coefficients))
        chosen = next_batch(
            X[: len(rows)],
            coefficients,
            wanted,
            run_so_far=np.array([place[r.workload] for r in records if r.workload in place], dtype=np.int64),
            targets=X[len(rows) :] if goals else None,
            misfit_ratio=misfit_ratio,
            errs_alone=np.array([w.is_idle for w in candidates]),
        )
        return [candidates[i] for i in chosen]


def _misfit_ratio(
    residual_rel: NDArray[np.float64], stated_rel: NDArray[np.float64], workload: NDArray[np.int64], *, terms: int
) -> float:
    """Variance of what the equation misses at a workload over that of one window, by moments; 0 where none shows."""
    number = np.bincount(workload)[np.unique(workload)]
    _, code = np.unique(workload, return_inverse=True)
    mean_rel = np.bincount(code, residual_rel) / number
    window2 = float(np.mean(stated_rel**2))
    # the fit took `terms` of the workloads' means for itself
    between2 = float(np.sum(mean_rel**2)) / (len(number) - terms)
    misfit2 = max(0.0, between2 - window2 * float(np.mean(1 / number)))
    return misfit2 / window2 if window2 > 0 else 1.0


class _Times:
    """Time of a call: as measured, or from the best rates seen so far."""

    def __init__(self, records: Sequence[RunRecord]) -> None:
        work = [r for r in records if r.split != "idle"]
        self._measured = {r.workload: r.time_s for r in work}
        mac_rate, byte_rate, launch_s = GUESSED_RATES
        if work:
            mac_rate = max(r.counts.macs / r.time_s for r in work) or mac_rate
            byte_rate = max(r.counts.bytes / r.time_s for r in work) or byte_rate
            launch_s = min(r.time_s / max(1, r.counts.launches) for r in work)
        self._rates = mac_rate, byte_rate, launch_s

    def __call__(self, name: str, counts: OpCounts) -> Second:
        mac_rate, byte_rate, launch_s = self._rates
        guess_s = max(counts.macs / mac_rate, counts.bytes / byte_rate) + counts.launches * launch_s
        return self._measured.get(name, guess_s or IDLE_S)
