"""What lies beside the page: JSON with its numbers, Markdown, static figures, and the same on a terminal."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from energybench.cli.main import run
from energybench.cli.report_view import show_report
from energybench.errors import UsageError
from energybench.records.run_record import RunRecord
from energybench.report import ReportData, save_report
from energybench.report.content import page_content
from energybench.report.markdown import markdown_summary
from energybench.report.static_figures import draw, save_figures
from energybench.report.wording import percent, quantity


@pytest.fixture(scope="module")
def content(data_with_readings: ReportData) -> dict[str, Any]:
    return page_content(data_with_readings)


def test_json_is_what_the_page_shows(data_with_readings: ReportData, content: dict[str, Any], tmp_path: Path) -> None:
    assert save_report(data_with_readings, tmp_path / "page.html") == content
    assert json.loads((tmp_path / "page.json").read_text(encoding="utf-8")) == content
    html = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert json.loads(html.split('id="report-data">', 1)[1].split("</script>", 1)[0]) == content
    assert (tmp_path / "page.md").read_text(encoding="utf-8") == markdown_summary(content)


def test_markdown_has_the_verdict_and_the_numbers(content: dict[str, Any]) -> None:
    text = markdown_summary(content)
    assert text.startswith("# Example Accelerator 80GB: simulated energy\n")
    assert "> **Simulated.**" in text
    for sentence in content["verdict"]:
        assert sentence in text
    for name, entry in content["fit"]["params"].items():
        line = next(line for line in text.splitlines() if line.startswith(f"| `{name}` |"))
        assert quantity(entry["value"], entry["unit"]) in line
        assert entry["verdict"] in line
    for line in content["errors"]:
        assert percent(line["median_ape"]) in text
    assert "| self-attention |" in text
    assert "70.0\N{NO-BREAK SPACE}%" in text
    tables = [block for block in text.split("\n\n") if block.startswith("|")]
    for table in tables:
        widths = {len(re.split(r"(?<!\\)\|", line)) for line in table.splitlines() if line.startswith("|")}
        assert len(widths) == 1, table[:80]


def test_names_cannot_break_out_of_markdown(
    analyse: Callable[[list[RunRecord]], ReportData], records_of: Callable[[str], list[RunRecord]]
) -> None:
    hostile = "a | b\n# c <img src=x> `d` [e](javascript:f)"
    records = [replace(r, network=hostile if r.network == "encoder" else r.network) for r in records_of("simulated")]
    text = markdown_summary(page_content(analyse(records)))
    assert "<img" not in text
    assert "\n# c" not in text
    assert r"a \| b" in text
    assert r"\[e\]" in text


@pytest.mark.parametrize("kind", ["measured", "simulated", "modelled"])
def test_terminal_says_the_same(
    data_of: Callable[..., ReportData], capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    content = page_content(data_of(kind))
    show_report(content)
    shown = capsys.readouterr().out
    assert ("SIMULATED" in shown, "MODELLED" in shown) == (kind == "simulated", kind == "modelled")
    for sentence in content["verdict"]:
        assert sentence in shown
    for entry in content["fit"]["params"].values():
        assert quantity(entry["value"], entry["unit"]) in shown
    assert ("Pipeline check" in shown) == (kind == "modelled")


def test_static_figures_of_every_plot(content: dict[str, Any], tmp_path: Path) -> None:
    files = save_figures(content, tmp_path / "a", ["svg", "png"])
    assert [f.name for f in files] == [f"{n}-simulated.{x}" for n in content["figures"] for x in ("svg", "png")]
    for file in files[::2]:
        text = file.read_text(encoding="utf-8")
        assert "simulated" in text, file.name  # the axis says what kind of energy it is
        assert "1970" not in text
        assert "mathdefault" not in text, file.name  # a logarithmic axis whose ticks are TeX, which nothing here sets
    assert all(file.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n" for file in files[1::2])
    again = save_figures(content, tmp_path / "b", ["svg"])
    assert [f.read_bytes() for f in again] == [f.read_bytes() for f in files[::2]]
    with pytest.raises(UsageError, match="gif"):
        save_figures(content, tmp_path, ["gif"])


def test_static_figures_hold_the_points_of_the_page(content: dict[str, Any]) -> None:
    from matplotlib.figure import Figure

    for name, described in content["figures"].items():
        axes = Figure().add_subplot()
        draw(axes, described)
        points = [t for t in described["data"] if t["type"] in ("scatter", "scattergl")]
        lines = [line for line in axes.lines if len(line.get_xdata()) and line.get_label()[0] != "_"]
        drawn = {tuple(v for v in map(float, line.get_ydata()) if v == v) for line in axes.lines}
        for trace in points:
            assert tuple(float(v) for v in trace["y"] if v is not None) in drawn, name
        bars = [t for t in described["data"] if t["type"] == "bar"]
        widths = [p.get_width() if name == "shares" else p.get_height() for p in axes.patches]
        expected = [v for t in bars for v in (t["x"] if name == "shares" else t["y"])]
        assert widths == pytest.approx(expected)
        assert len(lines) + len(bars) > 0


def test_the_command_writes_what_it_says(run_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["report", str(run_path), "--figures", "svg", "--terminal"]) == 0
    shown = capsys.readouterr().out
    assert "What was found" not in shown
    assert "SIMULATED" in shown
    assert (run_path / "report.json").exists()
    assert (run_path / "figures" / "scatter-simulated.svg").exists()
    assert run(["report", str(run_path), "--figures", "bmp"]) == 2


def test_logarithmic_axes_have_ticks_that_can_be_read(tmp_path: Path) -> None:
    from energybench.report.paper_style import dress, paper_figure, power_of_ten

    with paper_figure(tmp_path, "log", height_in=2) as figure:
        axes = figure.add_subplot()
        axes.loglog([1e-6, 1e9], [0.02, 3])
        axes.set_xticks([1, 1000], ["one", "many"])  # names of one's own are kept, and bring no ticks between them
        dress(axes)
    text = (tmp_path / "log.svg").read_text(encoding="utf-8")
    assert "mathdefault" not in text
    assert ">many<" in text
    assert [power_of_ten(v) for v in (0.001, 1, 1000, 1e-5, 2e9)] == ["0.001", "1", "1000", "10⁻⁵", "2·10⁹"]
