"""Everything a page shows, as one JSON-ready mapping: the page holds it whole and every number points into it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from energybench.report import plots
from energybench.report.component_shares import claims, component_rows
from energybench.report.discarded import discarded_windows, reasons
from energybench.report.error_table import error_lines
from energybench.report.explained import explained_misses
from energybench.report.networks import heldout_lines, worst_rows
from energybench.report.power_trace import power_trace
from energybench.report.provenance import meter_facts, provenance, used_environments
from energybench.report.roofline import energy_roofline
from energybench.report.rows import report_rows
from energybench.report.shares import MAX_GROUPS, energy_shares, fitted_equation
from energybench.report.verdict import carries_accuracy, verdict_sentences
from energybench.version import __version__

if TYPE_CHECKING:
    from energybench.report.data import ReportData


def page_content(data: ReportData) -> dict[str, Any]:
    """Sections in the page's order. Raises RecordError where comparison and records do not belong together."""
    rows = report_rows(data)
    discarded = discarded_windows(data)
    shares = energy_shares(data, rows)
    roofline = energy_roofline(data, rows)
    equation = fitted_equation(data)
    trace = power_trace(data)
    components = component_rows(data, rows)
    worst = worst_rows(rows)
    off, explanations = explained_misses(data, rows, worst)
    figures: dict[str, Any] = {}
    if rows:
        figures["scatter"] = plots.scatter_figure(rows, data.kind)
        figures["residuals"] = plots.residual_figure(rows, data.kind)
    if shares:
        figures["shares"] = plots.shares_figure(shares, equation.terms, data.kind)
    if roofline is not None:
        figures["roofline"] = plots.roofline_figure(roofline, data.kind)
    if components:
        figures["components"] = plots.components_figure(components, claims(), data.kind)
    if trace is not None:
        figures["power"] = plots.power_figure(trace, data.kind)
    content = {
        "energybench_version": __version__,
        "title": data.title,
        "kind": data.kind,
        "accuracy": carries_accuracy(data.kind),
        "verdict": verdict_sentences(data, rows, len(discarded)),
        "notes": list(dict.fromkeys([*(data.fit.get("notes") or ()), *(data.comparison.get("notes") or ())])),
        "comparison": {key: value for key, value in data.comparison.items() if key != "rows"},
        "rows": [row.to_dict() for row in rows],
        "heldout": [line.to_dict() for line in heldout_lines(rows)],
        "worst": [{**row.to_dict(), "explanation": text} for row, text in zip(worst, explanations, strict=True)],
        "term_off": None if off is None else off.to_dict(),
        "components": [network.to_dict() for network in components],
        "claims": claims(),
        "power": None
        if trace is None
        else {"stretches": [stretch.to_dict() for stretch in trace.stretches], "left_out": trace.left_out},
        "shares": [group.to_dict() for group in shares],
        "shares_left_out": max(len(shares) - MAX_GROUPS, 0),
        "fit": dict(data.fit),
        "terms": {term.name: {"description": term.description, "source": term.source} for term in equation.terms},
        "errors": [line.to_dict() for line in error_lines(data, rows)],
        "roofline": None
        if roofline is None
        else {
            "roofs": [roof.to_dict() for roof in roofline.roofs],
            "without_work": roofline.without_work,
            "elsewhere": roofline.elsewhere,
        },
        "discarded": [window.to_dict() for window in discarded],
        "discarded_reasons": [{"reason": reason, "n": n} for reason, n in reasons(discarded)],
        "meters": [
            {
                "meter": environment.meter,
                "device": environment.device_name,
                "facts": [fact.to_dict() for fact in meter_facts(environment)],
            }
            for environment in used_environments(data).values()
        ],
        "provenance": [fact.to_dict() for fact in provenance(data)],
        "figures": figures,
        "scatter_words": plots.scatter_words(rows, data.kind),
    }
    finite: dict[str, Any] = _finite(content)
    return finite


def _finite(value: Any) -> Any:
    """The same as plain JSON values: a number that is not finite does not exist, and is None."""
    if isinstance(value, bool | str) or value is None:
        return value
    if isinstance(value, Mapping):
        return {str(k): _finite(v) for k, v in value.items()}
    if isinstance(value, Sequence):
        return [_finite(v) for v in value]
    if hasattr(value, "item"):  # a numpy scalar
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
