"""A fit as text for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from energybench.units import format_si

if TYPE_CHECKING:
    from energybench.fitting.result import FitResult
    from energybench.fitting.validation import SplitScore


def _quantity(value: float | None, unit: str) -> str:
    return "–" if value is None else format_si(value, unit)


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def summary_text(fit: FitResult) -> str:
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
    lines += _validation_lines(fit)
    lines += [f"note: {note}" for note in fit.notes]
    return "\n".join(lines)


def _validation_lines(fit: FitResult) -> list[str]:
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
