"""`RunChooser`: the next windows of a calibration, chosen from what was measured so far (``--design optimal``)."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import Final

import numpy as np

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
#: A workload comes a second time after so many windows, a third time after twice as many: repeats share the equation's
#: misfit at their workload, and a fit takes its interval from how many workloads agree, not from how many windows.
WINDOWS_PER_REPEAT: Final = 80
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
        windows: Stop after this many windows; None goes on until the budget ends or every candidate is used up.
        most_each: Windows of one workload at most; by `WINDOWS_PER_REPEAT` when None. Idle windows have no limit.
    """

    def __init__(
        self,
        workloads: Sequence[Workload],
        *,
        targets: Sequence[ModelCounts | OpCounts] = (),
        windows: int | None = None,
        most_each: int | None = None,
    ) -> None:
        self._candidates = [w for w in workloads if w.split != "heldout"]
        self._targets, self._windows, self._most_each = tuple(targets), windows, most_each

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
        taken = [place[r.workload] for r in valid if r.workload in place]
        if len(set(taken)) > len(equation.names):
            own = np.array([X[i] for i in taken])
            own[:, list(equation.names).index("static_power_w")] = [r.time_s for r in valid if r.workload in place]
            energy_j = np.array([r.energy_j for r in valid if r.workload in place])
            coefficients = RelativeLeastSquares(nonneg=equation.nonneg).fit(own, energy_j).coef_
        tried = np.array([place[r.workload] for r in records if r.workload in place], dtype=np.int64)
        most = self._most_each or 1 + len(records) // WINDOWS_PER_REPEAT
        # every idle window errs by itself
        most_each = np.array([len(records) + wanted if w.is_idle else most for w in candidates])
        chosen = next_batch(
            X[: len(rows)],
            coefficients,
            wanted,
            run_so_far=tried,
            targets=X[len(rows) :] if goals else None,
            most_each=most_each,
        )
        return [candidates[i] for i in chosen]


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
