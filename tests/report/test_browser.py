"""The report in a real browser: Debian's Chromium, driven by Playwright, without a network."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from energybench.records.run_record import RunRecord
from energybench.report import ReportData, save_report
from energybench.report.wording import percent

playwright: Any = pytest.importorskip("playwright.sync_api")

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()
HOSTILE = (
    "<script>window.broken=1</script>",
    "\"><img src=x onerror='window.broken=1'>",
    "</script><script>window.broken=1</script>",
    "%{x} ${1+1} {{ 7*7 }} <b>bold</b>",
    "layer." * 2000,  # 12,000 characters without a space
    "quote ' double \" back ` slash \\ null \0 override \u202e",
)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    if not CHROMIUM.exists():
        if os.environ.get("ENERGYBENCH_BROWSER") == "required":
            pytest.fail("CI must test the report in a browser; install it: apt-get install chromium")
        pytest.skip("no Chromium; install it: apt-get install chromium")
    with playwright.sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield chromium
        chromium.close()


class Opened:
    """A page, and everything it complained about or asked the network for."""

    def __init__(self, browser: Any, path: Path, **context: Any) -> None:
        self.context = browser.new_context(accept_downloads=True, offline=True, **context)
        self.page = self.context.new_page()
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda m: self.complaints.extend([m.text] * (m.type in ("error", "warning"))))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", self._refuse)
        self.page.on("request", lambda r: self.requests.append(r.url))
        self.page.goto(path.as_uri())
        self.page.wait_for_selector("html[data-drawn=yes]")
        self.content = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))

    def _refuse(self, dialog: Any) -> None:
        self.complaints.append("dialog")
        dialog.dismiss()

    def run(self, script: str, argument: Any = None) -> Any:
        return self.page.evaluate(script, argument)


@pytest.fixture
def opened(browser: Any) -> Iterator[Callable[..., Opened]]:
    made: list[Opened] = []

    def open_page(path: Path, **context: Any) -> Opened:
        made.append(Opened(browser, path, **context))
        return made[-1]

    yield open_page
    for one in made:
        one.context.close()


@pytest.fixture(scope="session")
def report_path(data_with_readings: ReportData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("browser") / "report.html"
    save_report(data_with_readings, path)
    return path


@pytest.fixture(scope="module")
def one(browser: Any, report_path: Path) -> Iterator[Opened]:
    """One page for the tests that leave it as it was."""
    page = Opened(browser, report_path)
    yield page
    page.context.close()


def test_every_plot_is_drawn_and_nothing_complains(one: Opened, report_path: Path) -> None:
    drawn = one.run(
        """() => Object.fromEntries([...document.querySelectorAll('.plot')].map(e => [e.dataset.figure, {
            traces: e.data.length,
            shown: e.querySelectorAll('.trace, .bars .point, .boxes .trace').length,
            width: e.querySelector('.main-svg').getBoundingClientRect().width,
            title: e.querySelector('.xtitle')?.textContent || ''}]))"""
    )
    assert set(drawn) == set(one.content["figures"]) == {
        "scatter", "residuals", "shares", "components", "roofline", "power"
    }  # fmt: skip
    for name, plot in drawn.items():
        assert plot["traces"] == len(one.content["figures"][name]["data"])
        assert plot["shown"] > 0, name
        assert plot["width"] > 300
        assert plot["title"], name
    assert one.complaints == []
    assert one.requests == [report_path.as_uri()]


def test_numbers_in_the_page_are_those_in_the_file_beside_it(one: Opened) -> None:
    cells = one.run("() => [...document.querySelectorAll('data[data-path]')].map(e => [e.dataset.path, e.value])")
    assert len(cells) > 100
    for pointer, text in cells:
        value: Any = one.content
        for part in pointer.split("/")[1:]:
            value = value[int(part)] if isinstance(value, list) else value[part.replace("~1", "/").replace("~0", "~")]
        assert (None if text == "" else float(text)) == value, pointer
    assert one.run("() => JSON.parse(document.getElementById('report-data').textContent)") == one.content


def test_hovering_names_the_row_and_its_error(one: Opened) -> None:
    point = one.page.locator(".plot[data-figure=scatter] .scatterlayer .point").last
    point.scroll_into_view_if_needed()
    box = point.bounding_box()
    one.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    label = one.page.locator(".plot[data-figure=scatter] .hoverlayer .hovertext")
    label.wait_for()
    text = label.text_content()
    rows = [r for r in one.content["rows"] if (r["network"] or r["workload"]) in text]
    assert f"{one.content['kind']} " in text
    assert any(f"error {percent(r['error_rel'], signed=True)}" in text.replace(" ", " ") for r in rows), text


def test_a_legend_entry_hides_its_points(one: Opened) -> None:
    visible = "() => document.querySelector('.plot[data-figure=scatter]').data.map(t => t.visible ?? true)"
    assert set(one.run(visible)) == {True}
    before = one.page.locator(".plot[data-figure=scatter] .scatterlayer .point").count()
    one.page.locator(".plot[data-figure=scatter] .legendtoggle").nth(1).click()
    one.page.wait_for_function(f"() => ({visible})().includes('legendonly')")
    assert one.page.locator(".plot[data-figure=scatter] .scatterlayer .point").count() < before
    one.page.wait_for_timeout(400)  # a second click sooner is a double click, which isolates
    one.page.locator(".plot[data-figure=scatter] .legendtoggle").nth(1).click()
    one.page.wait_for_function(f"() => !({visible})().includes('legendonly')")


def test_a_figure_is_saved_as_svg(one: Opened) -> None:
    with one.page.expect_download() as download:
        one.page.locator("[data-save=roofline]").click()
    assert download.value.suggested_filename == f"energybench-roofline-{one.content['kind']}.svg"
    assert "<svg" in Path(download.value.path()).read_text(encoding="utf-8")[:200]


def test_print_makes_pages_with_banner_and_figures(opened: Callable[..., Opened], report_path: Path) -> None:
    one = opened(report_path)
    pdf = one.page.pdf(prefer_css_page_size=True)
    assert pdf[:5] == b"%PDF-"
    assert 4 <= pdf.count(b"/Type /Page\n") + pdf.count(b"/Type /Page ") <= 25
    one.page.emulate_media(media="print")
    assert one.page.locator(".banner").is_visible()
    assert not one.page.locator(".save").first.is_visible()


@pytest.mark.parametrize(("width", "scheme"), [(320, "light"), (390, "dark"), (1280, "light")])
def test_pages_fit_their_screen_and_can_be_read(
    opened: Callable[..., Opened], report_path: Path, width: int, scheme: str
) -> None:
    one = opened(report_path, viewport={"width": width, "height": 800}, color_scheme=scheme)
    assert one.run("() => document.documentElement.scrollWidth") <= width
    contrasts = one.run(
        """() => {
            const light = c => { const [r, g, b] = c.match(/[\\d.]+/g).map(Number).map(v => v / 255)
                .map(v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4); return .2126*r + .7152*g + .0722*b; };
            const ground = light(getComputedStyle(document.body).backgroundColor);
            return ['body', '.reading', '.verdict-mark', 'thead th', 'small'].map(s => {
                const ink = light(getComputedStyle(document.querySelector(s)).color);
                return (Math.max(ink, ground) + .05) / (Math.min(ink, ground) + .05); });
        }"""
    )
    assert min(contrasts) >= 4.5  # WCAG 2.2 AA
    assert one.complaints == []


def test_a_change_of_the_colour_scheme_redraws(opened: Callable[..., Opened], report_path: Path) -> None:
    one = opened(report_path, color_scheme="light")
    ink = "() => document.querySelector('.plot[data-figure=scatter]').layout.font.color"
    before = one.run(ink)
    one.page.emulate_media(color_scheme="dark")
    one.page.wait_for_function(f"before => ({ink})() !== before", arg=before)


@pytest.mark.parametrize("place", ["workload", "network"])
def test_hostile_names_are_inert(
    opened: Callable[..., Opened],
    analyse: Callable[[list[RunRecord]], ReportData],
    records_of: Callable[[str], list[RunRecord]],
    tmp_path: Path,
    place: str,
) -> None:
    records = records_of("simulated")
    held = {r.network for r in records if r.network}
    names = dict(zip(sorted(held if place == "network" else {r.workload for r in records}), HOSTILE, strict=False))
    renamed = [replace(r, **{place: names.get(getattr(r, place), getattr(r, place))}) for r in records]
    data = replace(analyse(renamed), title=HOSTILE[0] + HOSTILE[4])
    save_report(data, tmp_path / "report.html")
    one = opened(tmp_path / "report.html", viewport={"width": 390, "height": 800})
    for plot in one.page.locator(".plot").all():
        plot.scroll_into_view_if_needed()
        plot.hover(position={"x": 150, "y": 200})
    assert one.run("() => window.broken") is None
    assert one.run("() => document.querySelectorAll('main img, main b b, main script').length") == 0
    assert one.run("() => document.documentElement.scrollWidth") <= 390
    assert one.complaints == []
    assert one.requests == [(tmp_path / "report.html").as_uri()]
    assert HOSTILE[0] in one.page.locator("h1").inner_text()


def test_ten_thousand_rows_are_drawn(opened: Callable[..., Opened], large_data: ReportData, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    save_report(large_data, path)
    assert path.stat().st_size < 15_000_000
    one = opened(path)
    points = one.run(
        """() => document.querySelector('.plot[data-figure=scatter]').data
            .filter(t => t.mode === 'markers').reduce((n, t) => n + t.x.length, 0)"""
    )
    assert points == len(one.content["rows"]) > 10_000
    assert [c for c in one.complaints if "WebGL" not in c and "GPU" not in c] == []


def test_the_page_can_be_read_before_plotly_runs(opened: Callable[..., Opened], report_path: Path) -> None:
    one = opened(report_path)
    painted, read, loaded = one.run(
        """() => [performance.getEntriesByName('first-contentful-paint')[0].startTime,
                  performance.getEntriesByType('navigation')[0].domInteractive,
                  performance.getEntriesByName('plotly-loaded')[0].startTime]"""
    )
    assert max(painted, read) < loaded
