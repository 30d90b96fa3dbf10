"""A report on a terminal: the page's verdict and tables, from the page's own data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from energybench.cli.console import banner, say, table
from energybench.report.wording import FAMILY_NAMES, percent, percent_level, quantity, shown_name, whole


def show_report(content: Mapping[str, Any]) -> None:
    """Verdict first, then coefficients, held-out work, errors beside null models, misses, discarded windows."""
    kind = str(content["kind"])
    banner(kind)
    say(f"{shown_name(content['title'])}: {kind} energy")
    say()
    for sentence in content["verdict"]:
        say(sentence)
    for note in content["notes"]:
        say(f"note: {shown_name(note, 400)}")
    _coefficients(content)
    _heldout(content, kind)
    _errors(content)
    _worst(content, kind)
    _components(content)
    if content["discarded"]:
        rows = [(shown_name(r["reason"], 100), whole(r["n"])) for r in content["discarded_reasons"]]
        table("Discarded windows", ("reason", "windows"), rows, right=("windows",))


def _coefficients(content: Mapping[str, Any]) -> None:
    fit = content["fit"]
    rows = []
    for name, entry in fit["params"].items():
        unit = entry["unit"]
        known = entry["low"] is not None and entry["high"] is not None
        interval = f"{quantity(entry['low'], unit)} … {quantity(entry['high'], unit)}" if known else "–"
        rows.append((shown_name(name), quantity(entry["value"], unit), interval, entry["verdict"]))
    level = f"{percent_level(fit['level'])} interval"
    columns = ("coefficient", "value", level, "verdict")
    table(f"Fitted coefficients ({content['kind']})", columns, rows, right=("value", level))


def _heldout(content: Mapping[str, Any], kind: str) -> None:
    rows = [
        (
            shown_name(line["name"], 40),
            FAMILY_NAMES.get(line["family"], shown_name(line["family"])),
            quantity(line["recorded_j"], "J"),
            quantity(line["estimated_j"], "J"),
            percent(line["error_rel"], signed=True),
            f"{whole(line['hits'])} of {whole(line['n_intervals'])}" if line["n_intervals"] else "–",
        )
        for line in content["heldout"]
    ]
    if not rows:
        say("No work was held out: nothing here shows how the equation does on networks it has not seen.")
        return
    right = (kind, "estimated", "error", "in interval")
    table("Held-out work", ("network or workload", "family", *right), rows, right=right)


def _errors(content: Mapping[str, Any]) -> None:
    nulls = list(content["fit"]["null_models"])
    rows = [
        (
            shown_name(line["name"], 40) + ("" if line["unseen"] else " (seen)"),
            whole(line["n"]),
            percent(line["median_ape"]),
            *(percent(line["null_models"].get(null)) for null in nulls),
        )
        for line in content["errors"]
    ]
    right = ("windows", "equation", *nulls)
    table("Median absolute error", ("rows", *right), rows, right=right)
    if not content["accuracy"]:
        say("Pipeline check: modelled energy tests the arithmetic and not the accuracy.")


def _worst(content: Mapping[str, Any], kind: str) -> None:
    rows = [
        (
            shown_name(row["workload"], 48),
            quantity(row["recorded_j"], "J"),
            quantity(row["estimated_j"], "J"),
            percent(row["error_rel"], signed=True),
            shown_name(row["explanation"], 160) if row["explanation"] else "–",
        )
        for row in content["worst"]
    ]
    right = (kind, "estimated", "error")
    if rows:
        table("Rows that miss most", ("workload", *right, "why"), rows, right=right)
    if content["term_off"]:
        say(shown_name(content["term_off"]["text"], 300))


def _components(content: Mapping[str, Any]) -> None:
    networks = content["components"]
    if not networks:
        return
    rows = [
        (
            claim["name"],
            *(percent(network["shares"][claim["part"]]) for network in networks),
            percent(claim["claimed_share"]),
        )
        for claim in content["claims"]
    ]
    right = (*(shown_name(network["name"], 24) for network in networks), "claimed")
    table("Parts of the Transformer, share of counted FLOPs", ("part", *right), rows, right=right)
