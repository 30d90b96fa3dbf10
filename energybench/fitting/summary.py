"""A fit as text for a terminal, and as tables for a notebook."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from energybench.fitting.misfit import Misfit
from energybench.fitting.validation import SplitScore, Validation
from energybench.fitting.verdict import Finding, Verdict
from energybench.model.equation import Equation
from energybench.model.observations import Observations
from energybench.notebook import html_lines, html_table
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


def coefficient_rows(fit: SummarisedFit) -> list[tuple[str, str, str, str, str]]:
    """Name, value, standard error, interval and verdict of every coefficient, as text with units."""
    table = []
    for name, (low, high) in fit.conf_int().items():
        unit = fit.units[name]
        if low is None or high is None:
            interval = "–"
        elif fit.limits[name] is not None:
            interval = f"≤ {format_si(high, unit)}"
        else:
            interval = f"{format_si(low, unit)} … {format_si(high, unit)}"
        value, error = _quantity(fit.params[name], unit), _quantity(fit.bse[name], unit)
        table.append((name, value, error, interval, str(fit.findings[name].verdict)))
    return table


def score_rows(validation: Validation) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Column names, and for every split that was made its name, the equation's error and each null model's."""
    splits: list[SplitScore | None] = [
        validation.leave_one_out,
        *validation.leave_one_family_out.values(),
        validation.random_split,
        validation.heldout,
    ]
    present = [s for s in splits if s is not None]
    nulls = list(present[0].null_models) if present else []
    rows = [(s.name, _percent(s.median_ape), *(_percent(s.null_models[n][0]) for n in nulls)) for s in present]
    return ("error, median of groups", "equation", *nulls), rows


def _heading_lines(fit: SummarisedFit) -> list[str]:
    return [
        f"{fit.equation.name} · {fit.equation.source} · {fit.kind} energy, {fit.target}",
        f"{fit.rows.device} · {fit.rows.meter} · {fit.rows.traffic_basis} traffic · "
        f"{fit.nobs} rows of {fit.n_workloads} workloads",
    ]


def _coefficient_columns(fit: SummarisedFit) -> tuple[str, str, str, str, str]:
    return ("coefficient", "value", "std. error", f"{fit.level:.0%} interval", "verdict")


def _diagnostic_lines(fit: SummarisedFit) -> list[str]:
    lines = [f"{name}: {text}" for name, text in fit.advice.items() if fit.verdicts[name] != "identified"]
    largest = max((v for v in fit.vif.values() if v is not None), default=None)
    vif = "beyond measure" if largest is None else f"{largest:.3g}"
    lines.append(f"condition number {fit.condition_number:.3g}, largest variance inflation {vif}")
    if fit.misfit is not None and fit.misfit.present:
        worst = ", ".join(f"{name} {error:+.1%}" for name, error in fit.misfit.worst.items())
        lines.append(f"model misfit: residuals are {fit.misfit.ratio:.1f} times the measurement's own; worst {worst}")
    return lines + _influence_lines(fit)


def summary_text(fit: SummarisedFit) -> str:
    """Lines of at most about 120 characters; every energy carries the fit's kind."""
    lines = [*_heading_lines(fit), ""]
    table = [_coefficient_columns(fit), *coefficient_rows(fit)]
    widths = [max(len(row[i]) for row in table) for i in range(4)]
    for row in table:
        cells = [row[0].ljust(widths[0]), *(row[i].rjust(widths[i]) for i in (1, 2, 3)), row[4]]
        lines.append("  ".join(cells))
    lines += ["", *_diagnostic_lines(fit), *_headline_lines(fit.validation)]
    if fit.validation is not None and not fit.validation.note:
        columns, scores = score_rows(fit.validation)
        if scores:
            lines.append("")
        lines += [
            f"{row[0]:<26}{row[1]:>10}" + "".join(f"{c:>17}" for c in row[2:]) for row in [columns, *scores] if scores
        ]
    lines += [f"note: {note}" for note in fit.notes]
    return "\n".join(lines)


def summary_html(fit: SummarisedFit) -> str:
    """The same for a notebook: the coefficients and the errors as tables."""
    page = html_lines(_heading_lines(fit)) + html_table(_coefficient_columns(fit), coefficient_rows(fit))
    page += html_lines([*_diagnostic_lines(fit), *_headline_lines(fit.validation)])
    if fit.validation is not None and not fit.validation.note:
        columns, scores = score_rows(fit.validation)
        page += html_table(columns, scores) if scores else ""
    return page + html_lines(f"note: {note}" for note in fit.notes)


def _influence_lines(fit: SummarisedFit) -> list[str]:
    """The workload that moves a coefficient most, where it moves one by more than its standard error."""
    moves = fit.influence().abs()
    largest = moves.max(axis=1, skipna=True).dropna()
    if largest.empty or (most := float(largest.max())) <= 1.0:
        return []
    workload = str(largest.index[int(largest.to_numpy().argmax())])
    coefficient = str(moves.columns[int(moves.loc[workload].fillna(0.0).to_numpy().argmax())])
    return [f"without {workload}, {coefficient} would move by {most:.1f} standard errors"]


def _headline_lines(validation: Validation | None) -> list[str]:
    if validation is None:
        return ["not validated"]
    if validation.note:
        return [validation.note]
    if validation.headline is None:
        return []
    return [f"{validation.headline['name']}: median error {_percent(validation.headline['median_ape'])}"]
