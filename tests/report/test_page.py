"""The page as a reader's browser gets it: parsed from the HTML, never taken from the code that wrote it."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from typing import Any

import pandas as pd
import pytest

from energybench.errors import RecordError
from energybench.records.run_record import RunRecord
from energybench.report import ReportData, build_report, save_report
from energybench.report.page import script_json

VOID = {"meta", "br", "link", "img", "hr", "input"}
PREFIXES = {"T": 1e12, "G": 1e9, "M": 1e6, "k": 1e3, "m": 1e-3, "µ": 1e-6, "n": 1e-9, "p": 1e-12, "f": 1e-15}
UNITS = ("J/MAC", "J/FLOP", "J/B", "J/launch", "J", "W", "s")
MARKS = "<script>alert(1)</script>"


@dataclass
class Cell:
    path: str
    value: str
    text: str = ""


@dataclass
class Page(HTMLParser):
    """Elements, visible text and the data cells of a page."""

    html: str
    tags: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    cells: list[Cell] = field(default_factory=list)
    scripts: list[tuple[dict[str, str | None], str]] = field(default_factory=list)
    styles: list[str] = field(default_factory=list)
    text: str = ""
    headings: list[tuple[int, str]] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self._open: list[str] = []
        self.feed(self.html)
        self.close()
        assert self._open == [], "every element is closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append((tag, given))
        if tag not in VOID:
            self._open.append(tag)
        if tag == "data":
            self.cells.append(Cell(given["data-path"] or "", given["value"] or ""))
        elif tag == "script":
            self.scripts.append((given, ""))
        elif tag in ("h1", "h2", "h3"):
            self.headings.append((int(tag[1]), ""))
        elif tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "script" in self._open:
            attrs, text = self.scripts[-1]
            self.scripts[-1] = (attrs, text + data)
            return
        if "style" in self._open:
            self.styles.append(data)
            return
        if "title" in self._open:
            return
        self.text += data
        if "data" in self._open:
            self.cells[-1].text += data
        if self._open and self._open[-1] in ("h1", "h2", "h3"):
            level, text = self.headings[-1]
            self.headings[-1] = (level, text + data)
        if "td" in self._open or "th" in self._open:
            self.rows[-1][-1] += data

    @property
    def data(self) -> dict[str, Any]:
        found = [text for attrs, text in self.scripts if attrs.get("id") == "report-data"]
        assert len(found) == 1
        loaded: dict[str, Any] = json.loads(found[0])
        return loaded

    def of_class(self, name: str) -> list[dict[str, str | None]]:
        return [attrs for _, attrs in self.tags if name in (attrs.get("class") or "").split()]


@pytest.fixture(scope="module")
def page_of(data_of: Callable[..., ReportData]) -> Callable[[str], Page]:
    made: dict[str, Page] = {}

    def of(kind: str) -> Page:
        if kind not in made:
            made[kind] = Page(build_report(data_of(kind)))
        return made[kind]

    return of


def at(data: Any, pointer: str) -> Any:
    for part in pointer.split("/")[1:]:
        part = part.replace("~1", "/").replace("~0", "~")
        data = data[int(part)] if isinstance(data, list) else data[part]
    return data


def number(text: str) -> float:
    """What a reader takes a cell's text to mean."""
    text = text.replace("\N{MINUS SIGN}", "-").replace("\N{NARROW NO-BREAK SPACE}", "")
    head, _, unit = text.partition("\N{NO-BREAK SPACE}")
    if unit == "%":
        return float(head) / 100
    if unit in ("", *UNITS):
        return float(head)
    assert unit[1:] in UNITS
    return float(head) * PREFIXES[unit[0]]


def test_sections_come_in_order(page_of: Callable[[str], Page]) -> None:
    assert [text for _, text in page_of("measured").headings] == [
        "Example Accelerator 80GB",
        "What was found",
        "Measured and estimated energy",
        "Errors by family",
        "Where the joules go",
        "Parts of the Transformer",
        "Fitted coefficients",
        "Errors beside the null models",
        "Energy roofline",
        "Discarded windows",
        "The meter",
        "Provenance",
    ]


def test_headings_step_down_one_level_at_a_time(page_of: Callable[[str], Page]) -> None:
    levels = [level for level, _ in page_of("measured").headings]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


@pytest.mark.parametrize("kind", ["modelled", "simulated", "replayed"])
def test_what_is_not_measured_has_a_banner(page_of: Callable[[str], Page], kind: str) -> None:
    page = page_of(kind)
    assert len(page.of_class("banner")) == 1
    assert page.text.strip().startswith(kind)
    assert kind in page.data["kind"]


def test_measured_has_no_banner(page_of: Callable[[str], Page]) -> None:
    assert page_of("measured").of_class("banner") == []


def test_banner_is_printed(page_of: Callable[[str], Page]) -> None:
    printed = "".join(page_of("simulated").styles).split("@media print")[1]
    rule = re.search(r"\.banner \{([^}]*)\}", printed)
    assert rule is not None
    assert "none" not in rule[1]


def test_verdict_of_measured_energy_quotes_errors_beside_null_models(page_of: Callable[[str], Page]) -> None:
    page = page_of("measured")
    verdict = " ".join(page.data["verdict"])
    headline = page.data["fit"]["validation"]["headline"]
    assert f"median error is {100 * headline['median_ape']:.1f}\N{NO-BREAK SPACE}%" in verdict
    best = min(headline["null_models"], key=lambda name: headline["null_models"][name])
    assert best in verdict
    assert "held-out network" in verdict
    assert "3 of 93" in verdict


def test_modelled_energy_claims_no_accuracy(page_of: Callable[[str], Page]) -> None:
    page = page_of("modelled")
    verdict = " ".join(page.data["verdict"])
    assert "pipeline check, not energy" in verdict
    assert "%" not in verdict
    assert "median error" not in verdict
    assert page.data["fit"]["validation"]["headline"] is None


def test_simulated_energy_says_so_beside_its_error(page_of: Callable[[str], Page]) -> None:
    verdict = " ".join(page_of("simulated").data["verdict"])
    assert "median error on simulated energy is" in verdict


@pytest.mark.parametrize("kind", ["measured", "modelled", "simulated", "replayed"])
def test_kind_is_on_every_figure(page_of: Callable[[str], Page], kind: str) -> None:
    page = page_of(kind)
    figures = page.data["figures"]
    assert set(figures) == {"scatter", "residuals", "shares", "roofline", "components"}
    for name, figure in figures.items():
        titles = [
            figure["layout"][axis]["title"]["text"] for axis in ("xaxis", "yaxis") if "title" in figure["layout"][axis]
        ]
        assert any(kind in title for title in titles), name
        for title in titles:
            assert "energy" not in title or kind in title
    if kind != "measured":
        assert "measured" not in json.dumps(figures)
    assert sum(attrs["class"] == f"kind kind-{kind}" for attrs in page.of_class("kind")) >= len(figures)


def test_every_number_on_the_page_is_the_one_in_its_data(page_of: Callable[[str], Page]) -> None:
    page = page_of("measured")
    assert len(page.cells) > 150
    seen = set()
    for cell in page.cells:
        value = at(page.data, cell.path)
        seen.add(cell.path.split("/")[1])
        if value is None:
            assert (cell.value, cell.text) == ("", "–")
            continue
        assert float(cell.value) == value
        # three digits are shown at least, and a tenth of a percent
        absolute = 5.1e-4 if cell.text.endswith("%") else 0.0
        assert number(cell.text) == pytest.approx(value, rel=6e-3, abs=absolute), cell
    assert seen == {"heldout", "worst", "fit", "errors", "discarded", "discarded_reasons", "meters"}


def test_page_data_is_what_analysis_wrote(data_of: Callable[..., ReportData], page_of: Callable[[str], Page]) -> None:
    given, shown = data_of("measured"), page_of("measured").data
    assert shown["fit"] == json.loads(json.dumps(given.fit))
    assert len(shown["rows"]) == len(given.comparison["rows"]) == 90
    for row, compared in zip(shown["rows"], given.comparison["rows"], strict=True):
        assert row["recorded_j"] == compared["recorded_energy_j"]
        assert row["estimated_j"] == compared["estimated_energy_j"]
        assert (row["low_j"], row["high_j"]) == (compared["low_j"], compared["high_j"])


def test_scatter_shows_every_row_once(page_of: Callable[[str], Page]) -> None:
    data = page_of("measured").data
    traces = [t for t in data["figures"]["scatter"]["data"] if t["mode"] == "markers"]
    points = sorted(pair for t in traces for pair in zip(t["x"], t["y"], strict=True))
    assert points == sorted((row["recorded_j"], row["estimated_j"]) for row in data["rows"])
    symbols = {t["name"]: t["marker"]["symbol"] for t in traces}
    assert symbols["CNN"] != symbols["CNN, held out"]
    colours = [t["marker"]["color"] for t in traces]
    assert len(set(colours)) == 4
    low = [y - below for t in traces for y, below in zip(t["y"], t["error_y"]["arrayminus"], strict=True)]
    assert sorted(low) == pytest.approx(sorted(row["low_j"] for row in data["rows"]), rel=1e-9)


def test_shares_add_up_and_follow_the_coefficients(page_of: Callable[[str], Page]) -> None:
    data = page_of("measured").data
    assert {g["group"] for g in data["shares"] if g["heldout"]} == {
        "small-cnn",
        "separable-cnn",
        "gru-language-model",
        "encoder",
    }
    for group in data["shares"]:
        assert sum(group["shares"].values()) == pytest.approx(1, rel=1e-12)
    mac_j = data["fit"]["params"]["mac_fp32_j"]["value"]
    estimates = [row["estimated_j"] for row in data["rows"] if row["network"] == "small-cnn"]
    expected = sum(560_000_000 * mac_j / estimate for estimate in estimates) / len(estimates)
    small = next(g for g in data["shares"] if g["group"] == "small-cnn")
    assert small["shares"]["mac_fp32_j"] == pytest.approx(expected, rel=1e-9)
    copy = next(g for g in data["shares"] if g["group"] == "copy")
    assert copy["shares"]["mac_fp32_j"] == 0
    assert copy["shares"]["byte_j"] > 0.2


def test_balance_point_is_where_bytes_cost_as_much_as_flops(page_of: Callable[[str], Page]) -> None:
    data = page_of("measured").data
    params = data["fit"]["params"]
    (roof,) = data["roofline"]["roofs"]
    assert roof["balance_flop_per_b"] == pytest.approx(2 * params["byte_j"]["value"] / params["mac_fp32_j"]["value"])
    curve = next(t for t in data["figures"]["roofline"]["data"] if t["mode"] == "lines")
    assert curve["y"][-1] < curve["y"][0]
    drawn = sum(len(t["x"]) for t in data["figures"]["roofline"]["data"] if "customdata" in t)
    assert drawn + data["roofline"]["without_work"] + data["roofline"]["elsewhere"] == 90


def test_error_table_agrees_with_the_comparison_and_the_null_models(
    data_of: Callable[..., ReportData], page_of: Callable[[str], Page]
) -> None:
    given, lines = data_of("measured"), page_of("measured").data["errors"]
    by_name = {line["name"]: line for line in lines}
    for name, split in (("Held-out rows", "heldout"), ("Fitted rows", "fit")):
        line, expected = by_name[name], given.comparison["by_split"][split]
        assert line["n"] == expected["n"]
        assert line["median_ape"] == pytest.approx(expected["median_ape"], rel=1e-12)
    assert by_name["Held-out rows"]["unseen"]
    assert not by_name["Fitted rows"]["unseen"]
    held = given.records[(given.records["split"] == "heldout") & given.records["valid"].astype(bool)]
    macs_only = given.fit["null_models"]["macs-only"] * held["macs"] / held["energy_j"] - 1
    assert by_name["Held-out rows"]["null_models"]["macs-only"] == pytest.approx(macs_only.abs().median(), rel=1e-12)
    tdp = 400.0 * held["time_s"] / held["energy_j"] - 1
    assert by_name["Held-out rows"]["null_models"]["tdp"] == pytest.approx(tdp.abs().median(), rel=1e-12)
    assert [line["section"] for line in lines] == sorted((line["section"] for line in lines), reverse=True)


def test_worst_rows_come_first(page_of: Callable[[str], Page]) -> None:
    data = page_of("measured").data
    errors = sorted((abs(row["error_rel"]) for row in data["rows"]), reverse=True)
    assert [abs(row["error_rel"]) for row in data["worst"]] == errors[:10]


def test_heldout_table_has_medians_of_its_windows(page_of: Callable[[str], Page]) -> None:
    data = page_of("measured").data
    assert [line["name"] for line in data["heldout"]] == ["small-cnn", "separable-cnn", "encoder", "gru-language-model"]
    for line in data["heldout"]:
        rows = [row for row in data["rows"] if row["network"] == line["name"]]
        assert line["n"] == len(rows) == 3
        assert line["recorded_j"] == sorted(row["recorded_j"] for row in rows)[1]
        assert line["hits"] == sum(row["low_j"] <= row["recorded_j"] <= row["high_j"] for row in rows)


def test_no_roofline_without_joules_per_operation(data_of: Callable[..., ReportData]) -> None:
    from energybench.fitting import fit_records

    given = data_of("measured")
    fit = fit_records(given.records, "cnn", families=["cnn"]).to_dict()
    rows = [row for row in given.comparison["rows"] if row["family"] == "cnn"]
    page = Page(build_report(replace(given, fit=fit, comparison={**given.comparison, "rows": rows})))
    assert "Energy roofline" not in [text for _, text in page.headings]
    assert "roofline" not in page.data["figures"]


def test_discarded_windows_are_listed_with_reasons(page_of: Callable[[str], Page]) -> None:
    page = page_of("measured")
    listed = [row for row in page.rows if row and row[0].endswith("-bad")]
    assert [row[3] for row in listed] == [
        "thermal slowdown: clock 1,230 MHz of 1,755 MHz",
        "foreign load 0.42 CPUs (limit 0.10)",
        "foreign load 0.31 CPUs (limit 0.10)",
    ]
    assert page.data["discarded_reasons"] == [
        {"reason": "foreign load", "n": 2},
        {"reason": "thermal slowdown", "n": 1},
    ]
    assert not any(row["row_id"].endswith("-bad") for row in page.data["rows"])


def test_provenance_names_the_machine_and_the_meter(page_of: Callable[[str], Page]) -> None:
    page = page_of("measured")
    facts = {fact["name"]: fact["value"] for fact in page.data["provenance"]}
    assert facts["Kind of energy"] == "measured"
    assert facts["driver"] == "560.35"
    assert facts["Git commit"].startswith("0123456789")
    assert facts["Seed"] == 11
    assert "governor" not in facts
    for value in facts.values():
        assert str(value) in page.text
    assert ["Idle power, standard deviation", "–"] in page.rows
    assert ["Update period", "100.0\N{NO-BREAK SPACE}ms"] in page.rows


def test_nothing_is_loaded_from_elsewhere(page_of: Callable[[str], Page]) -> None:
    page = page_of("measured")
    for tag, attrs in page.tags:
        assert tag not in {"link", "iframe", "object", "embed", "base", "form", "img"}
        for name in ("src", "href", "srcset", "action", "poster", "data"):
            assert name not in attrs, (tag, attrs)
    css = "".join(page.styles)
    assert "url(" not in css
    assert "@import" not in css
    policy = next(
        a["content"] for t, a in page.tags if t == "meta" and a.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    assert "http" not in policy
    plotly = [text for attrs, text in page.scripts if "plotly.js v" in text[:200]]
    assert len(plotly) == 1


def test_hostile_names_are_inert(
    analyse: Callable[..., ReportData], records_of: Callable[[str], list[RunRecord]]
) -> None:
    long = "n" * 10_000
    names = {
        "net/small-cnn": MARKS,
        "net/encoder": '"><img src=x onerror=alert(1)>',
        "net/gru-language-model": long,
        "net/separable-cnn": "{{ 7*7 }}\u202e$ink%{x}</script><!--\ud800\x00",
    }
    records = [
        replace(r, network=names.get(r.workload, r.network), workload=names.get(r.workload, r.workload))
        for r in records_of("simulated")
    ]
    data = replace(analyse(records), title=MARKS, manifest={"design": MARKS, "status": '" onload="x'})
    html = build_report(data)
    page = Page(html)
    html.encode("utf-8")
    assert len(page.scripts) == 3
    assert not any(tag == "img" or any(name.startswith("on") for name in attrs) for tag, attrs in page.tags)
    assert html.count("<!--") == html.split('id="report-data">')[0].count("<!--") + page.scripts[1][1].count("<!--")
    assert MARKS in page.text
    assert "49" not in page.headings[0][1]
    assert max(len(word) for row in page.rows for cell in row for word in cell.split()) <= 300
    assert long in {row["network"] for row in page.data["rows"]}
    ticks = page.data["figures"]["shares"]["layout"]["yaxis"]["ticktext"]
    assert max(map(len, ticks)) < 60
    assert not any("<" in text for text in ticks)
    hovers = [
        text for t in page.data["figures"]["scatter"]["data"] for pair in t.get("customdata", []) for text in pair
    ]
    assert not any("<" in text for text in hovers)


def test_script_json_has_nothing_that_html_reads() -> None:
    value = {"</script><script>": ["<!--", "&lt;", "\u2028", 1e-300, None, True]}
    text = script_json(value)
    assert not set(text) & set("<>&\u2028")
    assert json.loads(text) == value


def test_kinds_never_mix(data_of: Callable[..., ReportData]) -> None:
    measured, modelled = data_of("measured"), data_of("modelled")
    with pytest.raises(RecordError, match="fit is of kind 'modelled' and the records are measured"):
        replace(measured, fit=modelled.fit)
    with pytest.raises(RecordError, match="comparison is of kind 'modelled'"):
        replace(measured, comparison=modelled.comparison)
    with pytest.raises(RecordError, match="mix the kinds measured, modelled"):
        replace(measured, records=pd.concat([measured.records, modelled.records]))
    with pytest.raises(RecordError, match="no records"):
        replace(measured, records=measured.records.iloc[:0])


def test_comparison_of_another_run_is_refused(data_of: Callable[..., ReportData]) -> None:
    given = data_of("measured")
    with pytest.raises(RecordError, match="not among the records"):
        build_report(replace(given, records=given.records.iloc[3:]))


def test_without_heldout_rows_the_page_says_so(
    analyse: Callable[..., ReportData], records_of: Callable[[str], list[RunRecord]]
) -> None:
    page = Page(build_report(analyse([r for r in records_of("measured") if r.network is None and r.valid])))
    assert "No work was held out" in page.text
    assert "None: every window was valid." in page.text
    assert "None of the" in page.text
    assert "held-out" not in " ".join(page.data["verdict"])


@pytest.mark.parametrize("kind", ["measured", "simulated"])
def test_figures_are_figures_to_plotly(page_of: Callable[[str], Page], kind: str) -> None:
    import plotly.graph_objects as go

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: plain(v) for k, v in value.items()}
        if isinstance(value, list):
            return [plain(v) for v in value]
        return "#123456" if isinstance(value, str) and re.fullmatch(r"\$[a-z]+", value) else value

    for figure in page_of(kind).data["figures"].values():
        assert len(go.Figure(plain(figure)).data) == len(figure["data"])


def test_theme_knows_every_colour_name(page_of: Callable[[str], Page]) -> None:
    page = page_of("measured")
    script = page.scripts[-1][1]
    used = set(re.findall(r'"(\$[a-z]+)"', json.dumps(page.data["figures"])))
    assert used
    for name in used:
        assert f"{name}:" in script


def test_large_reports_stay_small(large_data: ReportData) -> None:
    html = build_report(large_data)
    rows = large_data.comparison["rows"]
    assert len(rows) > 10_000
    assert len(html.encode("utf-8")) < 15_000_000
    page = Page(html)
    points = [t for t in page.data["figures"]["scatter"]["data"] if t["mode"] == "markers"]
    assert sum(len(t["x"]) for t in points) == len(rows)
    assert {t["type"] for t in points} == {"scattergl"}


def test_save_is_whole_or_nothing(data_of: Callable[..., ReportData], tmp_path: Any) -> None:
    path = tmp_path / "report.html"
    save_report(data_of("measured"), path)
    assert path.read_text(encoding="utf-8") == build_report(data_of("measured"))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["report.html", "report.json", "report.md"]
    with pytest.raises(RecordError, match="cannot be written"):
        save_report(data_of("measured"), path / "report.html")  # a file is no directory
    assert sorted(p.name for p in tmp_path.iterdir()) == ["report.html", "report.json", "report.md"]
