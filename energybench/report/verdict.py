"""The verdict: what was found, in sentences, without a number that the kind of energy cannot carry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from energybench.report.rows import ReportRow, median
from energybench.report.wording import listed, percent, percent_level, plural

if TYPE_CHECKING:
    from energybench.report.data import ReportData


def carries_accuracy(kind: str) -> bool:
    """Whether an error says anything: fitting power × time to power × time does not."""
    return kind != "modelled"


def verdict_sentences(data: ReportData, rows: Sequence[ReportRow], discarded: int) -> list[str]:
    """The findings, most important first."""
    fit = data.fit
    kind = data.kind
    sentences = [
        f"The equation “{fit['equation']}” was fitted to {plural(int(fit['nobs']), 'window')} of {kind} energy"
        f" ({fit.get('target', 'gross')}) and compared with {plural(len(rows), 'row')}."
    ]
    if not carries_accuracy(kind):
        sentences.append(
            "This is a pipeline check, not energy: the energy is a datasheet power times a utilisation, so how closely "
            "the equation follows it says nothing about accuracy, and no accuracy is claimed."
        )
    else:
        sentences += _accuracy(fit, rows, kind, float(data.comparison["level"]))
    sentences += _coefficients(fit)
    misfit = fit.get("misfit")
    if misfit and misfit["present"] and carries_accuracy(kind):
        sentences.append(
            f"The equation misses something: residuals are {misfit['ratio']:.1f} times what the windows’ own "
            "uncertainty explains."
        )
    total = len(data.records)
    if discarded:
        sentences.append(f"{discarded} of {plural(total, 'window')} were discarded as invalid; the reasons are below.")
    else:
        sentences.append(f"None of the {plural(total, 'window')} was discarded.")
    return sentences


def _accuracy(fit: Mapping[str, Any], rows: Sequence[ReportRow], kind: str, level: float) -> list[str]:
    sentences = []
    on = "" if kind == "measured" else f" on {kind} energy"
    validation = fit.get("validation") or {}
    headline = validation.get("headline")
    if headline and headline["median_ape"] is not None:
        sentences.append(
            f"Left out of the fit one {headline['unit']} at a time, the median error{on} is "
            f"{percent(headline['median_ape'])}" + _beside(headline["median_ape"], headline["null_models"])
        )
    held = validation.get("heldout")
    if held and held["median_ape"] is not None:
        groups = len(held["by_group"])
        sentences.append(
            f"On {plural(groups, 'held-out ' + held['unit'])}, which the fit never saw, the median error{on} is "
            f"{percent(held['median_ape'])}"
            + _beside(held["median_ape"], {name: s["median_ape"] for name, s in held["null_models"].items()})
        )
    if not sentences:
        error = median([abs(row.error_rel) for row in rows])
        sentences.append(
            "No rows were left out of the fit, so nothing shows how it does on work it has not seen"
            + (
                f"; on the rows it was fitted to, the median error{on} is {percent(error)}."
                if error is not None
                else "."
            )
        )
    hits = [row.hit for row in rows if row.hit is not None]
    if hits:
        sentences.append(
            f"The {percent_level(level)} interval held the {kind} energy in {sum(hits)} of {plural(len(hits), 'row')} "
            f"({percent(sum(hits) / len(hits))})."
        )
    return sentences


def _beside(error: float, nulls: Mapping[str, float | None]) -> str:
    """The same error of the best null model, and what that makes of the equation."""
    known = {name: value for name, value in nulls.items() if value is not None}
    if not known:
        return "; no null model could be scored on the same rows."
    name = min(known, key=lambda n: known[n])
    best = known[name]
    text = f"; the best null model on the same rows, {name}, has {percent(best)}"
    if error <= 0:
        return text + "."
    if best > error * 1.05:
        return f"{text}, {best / error:.1f} times as much."
    return f"{text}: the equation is no better than that."


def _coefficients(fit: Mapping[str, Any]) -> list[str]:
    by_verdict: dict[str, list[str]] = {}
    for name, entry in fit["params"].items():
        by_verdict.setdefault(str(entry["verdict"]), []).append(name)
    total = len(fit["params"])
    identified = by_verdict.pop("identified", [])
    if len(identified) == total:
        return [f"All {plural(total, 'coefficient')} are identified by these data: {listed(identified)}."]
    text = f"{len(identified)} of {plural(total, 'coefficient')}"
    text += f" are identified by these data ({listed(identified)})" if identified else " are identified by these data"
    rest = [f"{verdict}: {listed(names)}" for verdict, names in by_verdict.items()]
    return [f"{text}; {'; '.join(rest)}."]
