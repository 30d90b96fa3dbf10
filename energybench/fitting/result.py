"""`FitResult`: coefficients, how well each is known, and what the fit is worth on rows it has not seen."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from energybench.errors import FitError
from energybench.fitting.clusters import cluster_labels
from energybench.fitting.drift import Drift
from energybench.fitting.influence import left_out_changes
from energybench.fitting.misfit import Misfit
from energybench.fitting.pooled_units import PooledUnits
from energybench.fitting.summary import summary_html, summary_text
from energybench.fitting.validation import Validation
from energybench.fitting.verdict import Finding, Verdict
from energybench.model.domain import Domain
from energybench.model.equation import Equation
from energybench.model.features import FeatureTable, FloatArray
from energybench.model.observations import Observations
from energybench.model.pricing import price_rows
from energybench.model.residual import ResidualLearner
from energybench.model.time_law import TimeLaw
from energybench.records.vocabulary import Kind
from energybench.units import Watt

if TYPE_CHECKING:
    import pandas as pd

#: What stands on everything that was fitted to modelled energy.
PIPELINE_CHECK = "pipeline check, not energy"


@dataclass(frozen=True)
class FitResult:
    """The outcome of `fit_records`.

    `params`             coefficient -> value, in `units`
    `bse`                standard errors, clustered by workload; None where there is none (clamped, or not estimable)
    `domain`             what the fitted rows cover, with those that a power limit holds
    `limits`             upper limit of each clamped coefficient at `level`, None for the others
    `covariance`         (k, k), clamped coefficients included as if free
    `dof`                degrees of freedom of each standard error (Satterthwaite)
    `spread_rel`         relative standard deviation of a prediction for an unseen workload, coefficients apart
    `resid`              recorded − fitted energy in joules, (n,); `resid_rel` the same over the recorded
    `misfit`             None where neither repeats nor window uncertainties say how well the rows were measured
    `notes`              what was left out and what to keep in mind
    `network_scores`     network -> how many predicted standard deviations its windows lie from what never saw them
    `drifts`             run -> steady drift of its power, which was taken out of `rows`
    `shrunken`           coefficients of kernel classes were drawn towards their mean
    `scale_rel`          relative standard uncertainty of the scale that all coefficients share, None where no meter
                         states it; in no interval unless it is asked for
    `pooled`             gains of the units that were pooled, None for one unit
    `residual`           what was learnt of the rows' residuals, where that was asked for and worth it
    `null_models`        coefficient of each null model on `rows` and those that a power limit holds, None where none
    `held_power_w`       power limit that no prediction exceeds, on the meter's scale; None where no rows show one
    """

    equation: Equation
    params: Mapping[str, float]
    units: Mapping[str, str]
    bse: Mapping[str, float | None]
    dof: Mapping[str, float | None]
    limits: Mapping[str, float | None]
    findings: Mapping[str, Finding]
    covariance: FloatArray
    vif: Mapping[str, float | None]
    condition_number: float
    rows: Observations
    domain: Domain
    X: FloatArray
    fittedvalues: FloatArray
    spread_rel: float | None
    n_workloads: int
    converged: bool
    misfit: Misfit | None
    validation: Validation | None
    time_law: TimeLaw | None
    null_models: Mapping[str, float | None]
    level: float
    notes: tuple[str, ...] = field(default=())
    network_scores: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    drifts: Mapping[str, Drift] = field(default_factory=dict)
    shrunken: bool = False
    scale_rel: float | None = None
    pooled: PooledUnits | None = None
    held_power_w: Watt | None = None
    residual: ResidualLearner | None = None

    @property
    def kind(self) -> Kind:
        """Where the joules behind the fit come from."""
        return self.rows.kind

    @property
    def target(self) -> str:
        """`gross`, or `net` of idle."""
        return self.rows.target

    @property
    def nobs(self) -> int:
        """Rows fitted."""
        return len(self.rows)

    @property
    def resid(self) -> FloatArray:
        return self.rows.energy_j - self.fittedvalues

    @property
    def resid_rel(self) -> FloatArray:
        return self.resid / self.rows.energy_j

    @property
    def verdicts(self) -> dict[str, Verdict]:
        """Coefficient -> identified, weak, not identified, or model misfit."""
        return {name: finding.verdict for name, finding in self.findings.items()}

    @property
    def advice(self) -> dict[str, str]:
        """Coefficient -> the verdict's reason and the workloads to add."""
        return {name: str(finding) for name, finding in self.findings.items()}

    def conf_int(
        self, level: float | None = None, *, absolute: bool = False
    ) -> dict[str, tuple[float | None, float | None]]:
        """Two-sided intervals (Student's t); (0, one-sided limit) for a clamped coefficient, None where there is none.

        An interval does not reach below 0 where physics forbids it. With `absolute` the meter's scale is in them too
        (normal law): what a perfect meter would find. Raises FitError where that scale is not stated.
        """
        if absolute and self.scale_rel is None:
            raise FitError("no meter states its gain, so absolute intervals do not exist; give meter_gain_rel")
        level = self.level if level is None else level
        if not 0 < level < 1:
            raise FitError(f"level {level!r} is not between 0 and 1; use 0.95 for a 95 % interval")
        from scipy.stats import norm, t

        result: dict[str, tuple[float | None, float | None]] = {}
        for term in self.equation.terms:
            name = term.name
            se, dof = self.bse[name], self.dof[name]
            if se is not None and dof is not None:
                half = float(t.ppf(0.5 + level / 2, dof)) * se
                if absolute and self.scale_rel is not None:
                    half = math.hypot(half, float(norm.ppf(0.5 + level / 2)) * self.scale_rel * self.params[name])
                low = self.params[name] - half
                result[name] = (max(low, 0.0) if term.nonneg else low, self.params[name] + half)
            elif (limit := self._limit(name, level)) is not None:
                result[name] = (0.0, limit)
            else:
                result[name] = (None, None)
        return result

    def _limit(self, name: str, level: float) -> float | None:
        """One-sided upper limit of a clamped coefficient, scaled from the stored one to another level."""
        stored, dof = self.limits[name], self.dof[name]
        if stored is None or dof is None or level == self.level:
            return stored
        from scipy.stats import t

        return stored * float(t.ppf(level, dof)) / float(t.ppf(self.level, dof))

    def influence(self) -> pd.DataFrame:
        """How many standard errors each coefficient moves when a workload is left out: workloads by coefficients.

        At the fit's own weights and without bounds; NaN where a workload alone carries something, or where a
        coefficient has no standard error. Rows are sorted by their largest move.
        """
        import pandas as pd

        root = 1 / np.maximum(self.fittedvalues, np.finfo(np.float64).tiny)
        names, clusters = np.unique(cluster_labels(self.rows), return_inverse=True)
        changes = left_out_changes(self.X * root[:, None], self.resid * root, clusters)
        errors = np.array([np.nan if self.bse[n] is None else self.bse[n] for n in self.equation.names], dtype=float)
        frame = pd.DataFrame(
            changes / errors, index=pd.Index(names, name="workload"), columns=list(self.equation.names)
        )
        return frame.loc[frame.abs().max(axis=1).sort_values(ascending=False, na_position="first").index]

    def predict(self, table: FeatureTable) -> FloatArray:
        """Energies in joules of the rows that the equation describes, NaN for the others, shape (n,)."""
        priced = price_rows(self.equation, self.params.values(), table, self.held_power_w, self.residual)
        result = np.full(len(table), np.nan)
        result[priced.design.kept] = priced.total_j
        return result

    def to_frame(self) -> pd.DataFrame:
        """Row by row: labels, recorded and fitted energy, signed relative error (fitted − recorded) / recorded."""
        import pandas as pd

        return pd.DataFrame(
            {
                **self.rows.labels,
                "kind": self.kind,
                "recorded_energy_j": self.rows.energy_j,
                "fitted_energy_j": self.fittedvalues,
                "error_rel": -self.resid_rel,
                "time_s": self.rows.time_s,
            }
        )

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready mapping: the payload of ``fit --json``."""
        intervals = self.conf_int()
        return {
            "equation": self.equation.name,
            "kind": self.kind,
            "target": self.target,
            "traffic_basis": self.rows.traffic_basis,
            "device": self.rows.device,
            "meter": self.rows.meter,
            "level": self.level,
            "params": {
                name: {
                    "value": self.params[name],
                    "unit": self.units[name],
                    "bse": self.bse[name],
                    "low": intervals[name][0],
                    "high": intervals[name][1],
                    "verdict": finding.verdict,
                    "advice": str(finding),
                    "vif": self.vif[name],
                }
                for name, finding in self.findings.items()
            },
            "nobs": self.nobs,
            "n_workloads": self.n_workloads,
            "condition_number": _finite(self.condition_number),
            "spread_rel": self.spread_rel,
            "held_power_w": self.held_power_w,
            "residual": None if self.residual is None else self.residual.to_dict(),
            "network_scores": {name: list(scores) for name, scores in self.network_scores.items()},
            "misfit": None if self.misfit is None else self.misfit.to_dict(),
            "validation": None if self.validation is None else self.validation.to_dict(),
            "null_models": dict(self.null_models),
            "time_law": None if self.time_law is None else self.time_law.to_dict(),
            "notes": list(self.notes),
        }

    def summary(self) -> str:
        """The result as text: coefficients, verdicts, diagnostics, errors beside the null models."""
        return summary_text(self)

    def __str__(self) -> str:
        return self.summary()

    def _repr_html_(self) -> str:
        return summary_html(self)


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
