"""A fit as text for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from energybench.fitting.misfit import Misfit
from energybench.fitting.validation import SplitScore, Validation
from energybench.fitting.verdict import Finding, Verdict
from energybench.model.equation import Equation
from energybench.model.observations import Observations
from energybench.records.vocabulary import Kind
from energybench.units import format_si

if TYPE_CHECKING:
    import pandas as pd


class SummarisedFit(Protocol):
    """What a summary reads of a fit; `FitResult` has it."""

    @property
    def equation(self) -> Equation: ...
    @property
    def kind(self) -> Kind: ...
    @property
    def target(self) -> str: ...
    @property
    def rows(self) -> Observations: ...
    @property
    def nobs(self) -> int: ...
    @property
    def n_workloads(self) -> int: ...
    @property
    def level(self) -> float: ...
    @property
    def params(self) -> Mapping[str, float]: ...
    @property
    def units(self) -> Mapping[str, str]: ...
    @property
    def bse(self) -> Mapping[str, float | None]: ...
    @property
    def limits(self) -> Mapping[str, float | None]: ...
    @property
    def findings(self) -> Mapping[str, Finding]: ...
    @property
    def verdicts(self) -> Mapping[str, Verdict]: ...
    @property
    def advice(self) -> Mapping[str, str]: ...
    @property
    def vif(self) -> Mapping[str, float | None]: ...
    @property
    def condition_number(self) -> float: ...
    @property
    def misfit(self) -> Misfit | None: ...
    @property
    def validation(self) -> Validation | None: ...
    @property
    def notes(self) -> tuple[str, ...]: ...
    def influence(self) -> pd.DataFrame: ...
    def conf_int(self, level: float | None = None) -> dict[str, tuple[float | None, float | None]]: ...


def _quantity(value: float | None, unit: str) -> str:
    return "–" if value is None else format_si(value, unit)


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def summary_text(fit: SummarisedFit) -> str:
    """Lines of at most about 120 characters; every energy carries the fit's kind."""
    lines = [
        f"{fit.equation.name} · {fit.equation.source} · {fit.kind} energy, {fit.target}",
        f"{fit.rows.device} · {fit.rows.meter} · {fit.rows.traffic_basis} traffic · "
        f"{fit.nobs} rows of {fit.n_workloads} workloads",
        "",
    ]
    table = [("coefficient", "value", "std. error", f"{fit.level:.0%} interval", "verdict")]
    for name, (low, high) in fit.conf_int().items():
        unit = fit.units[name]
        if low is None or high is None:
            interval = "–"
        elif fit.limits[name] is not None:
            interval = f"≤ {format_si(high, unit)}"
        else:
            interval = f"{format_si(low, unit)} … {format_si(high, unit)}"
        table.append(
            (
                name,
                _quantity(fit.params[name], unit),
                _quantity(fit.bse[name], unit),
                interval,
                fit.findings[name].verdict,
            )
        )
    widths = [max(len(row[i]) for row in table) for i in range(4)]
    for row in table:
        cells = [row[0].ljust(widths[0]), *(row[i].rjust(widths[i]) for i in (1, 2, 3)), row[4]]
        lines.append("  ".join(cells))
    lines.append("")
    lines += [f"{name}: {text}" for name, text in fit.advice.items() if fit.verdicts[name] != "identified"]
    largest = max((v for v in fit.vif.values() if v is not None), default=None)
    vif = "beyond measure" if largest is None else f"{largest:.3g}"
    lines.append(f"condition number {fit.condition_number:.3g}, largest variance inflation {vif}")
    if fit.misfit is not None and fit.misfit.present:
        worst = ", ".join(f"{name} {error:+.1%}" for name, error in fit.misfit.worst.items())
        lines.append(f"model misfit: residuals are {fit.misfit.ratio:.1f} times the measurement's own; worst {worst}")
    lines += _influence_lines(fit)
    lines += _validation_lines(fit)
    lines += [f"note: {note}" for note in fit.notes]
    return "\n".join(lines)


def _influence_lines(fit: SummarisedFit) -> list[str]:
    """The workload that moves a coefficient most, where it moves one by more than its standard error."""
    moves = fit.influence().abs()
    largest = moves.max(axis=1, skipna=True).dropna()
    if largest.empty or (most := float(largest.max())) <= 1.0:
        return []
    workload = str(largest.index[int(largest.to_numpy().argmax())])
    coefficient = str(moves.columns[int(moves.loc[workload].fillna(0.0).to_numpy().argmax())])
    return [f"without {workload}, {coefficient} would move by {most:.1f} standard errors"]


def _validation_lines(fit: SummarisedFit) -> list[str]:
    validation = fit.validation
    if validation is None:
        return ["not validated"]
    if validation.note:
        return [validation.note]
    lines = []
    if validation.headline is not None:
        lines.append(f"{validation.headline['name']}: median error {_percent(validation.headline['median_ape'])}")
    splits: list[SplitScore | None] = [
        validation.leave_one_out,
        *validation.leave_one_family_out.values(),
        validation.random_split,
        validation.heldout,
    ]
    present = [s for s in splits if s is not None]
    if present:
        nulls = list(present[0].null_models)
        lines.append("")
        lines.append(f"{'error, median of groups':<26}{'equation':>10}" + "".join(f"{n:>17}" for n in nulls))
        for split in present:
            row = "".join(f"{_percent(split.null_models[n][0]):>17}" for n in nulls)
            lines.append(f"{split.name:<26}{_percent(split.median_ape):>10}" + row)
    return lines
