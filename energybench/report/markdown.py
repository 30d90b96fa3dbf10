"""The report as Markdown: the verdict and the tables, for a paper's repository or a merge request."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from energybench.report.wording import FAMILY_NAMES, KIND_BANNERS, percent, percent_level, quantity, shown_name, whole


def markdown_summary(content: Mapping[str, Any]) -> str:
    """Sections in the page's order, from the page's own data."""
    kind = str(content["kind"])
    lines = [f"# {_text(content['title'])}: {kind} energy", ""]
    if banner := KIND_BANNERS.get(kind):
        lines += [f"> **{kind.capitalize()}.** {banner}", ""]
    lines += [f"{sentence}\n" for sentence in content["verdict"]]
    lines += [f"*{_text(note, 400)}*\n" for note in content["notes"]]
    lines += _section("Held-out work", _heldout(content, kind))
    lines += _section("Fitted coefficients", _coefficients(content))
    lines += _section("Errors beside the null models", _errors(content))
    lines += _section("Rows that miss most", _worst(content, kind))
    lines += _section("Parts of the Transformer", _components(content))
    lines += _section("Discarded windows", _discarded(content))
    lines += _section(
        "Provenance", _table(("", ""), [(f["name"], _text(f["value"], 120)) for f in content["provenance"]])
    )
    lines.append(f"Report by energybench {content['energybench_version']}. Every joule here is {kind}.")
    return "\n".join(lines) + "\n"


def _section(title: str, body: Sequence[str]) -> list[str]:
    return [f"## {title}", "", *body, ""] if body else []


def _text(value: object, length: int = 96) -> str:
    """A name from outside, as text that Markdown and HTML leave alone."""
    text = shown_name(value, length).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return "".join(f"\\{c}" if c in "\\`*_[]|#!" else c for c in text)


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]], numbers: Iterable[int] = ()) -> list[str]:
    right = set(numbers)
    body = [f"| {' | '.join(row)} |" for row in rows]
    if not body:
        return []
    rule = "|".join("---:" if i in right else "---" for i in range(len(columns)))
    return [f"| {' | '.join(columns)} |", f"|{rule}|", *body]


def _heldout(content: Mapping[str, Any], kind: str) -> list[str]:
    rows = [
        (
            _text(line["name"]),
            FAMILY_NAMES.get(line["family"], _text(line["family"])),
            quantity(line["recorded_j"], "J"),
            quantity(line["estimated_j"], "J"),
            percent(line["error_rel"], signed=True),
            f"{whole(line['hits'])} of {whole(line['n_intervals'])}" if line["n_intervals"] else "–",
        )
        for line in content["heldout"]
    ]
    columns = ("network or workload", "family", kind, "estimated", "error", "in interval")
    return _table(columns, rows, range(2, 6)) or ["No work was held out."]


def _coefficients(content: Mapping[str, Any]) -> list[str]:
    fit = content["fit"]
    rows = []
    for name, entry in fit["params"].items():
        unit = entry["unit"]
        known = entry["low"] is not None and entry["high"] is not None
        interval = f"{quantity(entry['low'], unit)} … {quantity(entry['high'], unit)}" if known else "–"
        rows.append((f"`{name}`", quantity(entry["value"], unit), interval, str(entry["verdict"])))
    columns = ("coefficient", "value", f"{percent_level(fit['level'])} interval", "verdict")
    return [f"Equation {_text(fit['equation'])}, target {fit['target']}.", "", *_table(columns, rows, (1, 2))]


def _errors(content: Mapping[str, Any]) -> list[str]:
    nulls = list(content["fit"]["null_models"])
    rows = [
        (
            _text(line["name"]) + ("" if line["unseen"] else " (seen by the fit)"),
            whole(line["n"]),
            percent(line["median_ape"]),
            *(percent(line["null_models"].get(null)) for null in nulls),
        )
        for line in content["errors"]
    ]
    body = _table(("median absolute error", "windows", "equation", *nulls), rows, range(1, 3 + len(nulls)))
    if body and not content["accuracy"]:
        body = ["Pipeline check: modelled energy tests the arithmetic and not the accuracy.", "", *body]
    return body


def _worst(content: Mapping[str, Any], kind: str) -> list[str]:
    rows = [
        (
            _text(row["workload"]),
            quantity(row["recorded_j"], "J"),
            quantity(row["estimated_j"], "J"),
            percent(row["error_rel"], signed=True),
            _text(row["explanation"], 300) if row["explanation"] else "–",
        )
        for row in content["worst"]
    ]
    body = _table(("workload", kind, "estimated", "error", "why"), rows, (1, 2, 3))
    if content["term_off"]:
        body += ["", _text(content["term_off"]["text"], 300) + "."]
    return body


def _components(content: Mapping[str, Any]) -> list[str]:
    networks = content["components"]
    rows = [
        (
            claim["name"],
            *(percent(network["shares"][claim["part"]]) for network in networks),
            percent(claim["claimed_share"]),
        )
        for claim in content["claims"]
    ]
    if not networks:
        return []
    columns = ("share of counted FLOPs", *(_text(network["name"]) for network in networks), "claimed")
    return _table(columns, rows, range(1, len(columns)))


def _discarded(content: Mapping[str, Any]) -> list[str]:
    if not content["discarded"]:
        return ["None: every window was valid."]
    return _table(
        ("reason", "windows"), [(_text(r["reason"], 200), whole(r["n"])) for r in content["discarded_reasons"]], (1,)
    )
