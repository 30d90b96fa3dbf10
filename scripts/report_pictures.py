"""Pictures of a report for the README and the docs: python scripts/report_pictures.py runs/virtual/report.html.

Needs playwright and Debian's chromium, as the browser tests do.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

IMAGES = Path(__file__).resolve().parent.parent / "docs/images"
ARGUMENTS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()


def picture(browser: Any, page_path: Path, name: str, first: str, last: str, **context: Any) -> None:
    """A picture from the top of one element to the bottom of another."""
    tab = browser.new_context(**context).new_page()
    tab.goto(page_path.as_uri())
    tab.wait_for_selector("html[data-drawn=yes]")
    tab.add_style_tag(content=".banner { position: static !important; }")
    begin, end = (tab.locator(selector).first.bounding_box() for selector in (first, last))
    width = tab.viewport_size["width"]
    area = {"x": 0, "y": begin["y"], "width": width, "height": end["y"] + end["height"] - begin["y"] + 12}
    tab.screenshot(path=IMAGES / f"{name}.png", full_page=True, clip=area)
    tab.context.close()


def main() -> None:
    """Write them all."""
    path = Path(sys.argv[1]).resolve()
    desktop = {"viewport": {"width": 1100, "height": 900}}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=ARGUMENTS)
        picture(browser, path, "report", "body", "#scatter", **desktop)
        picture(browser, path, "report_power", "#power-title", "#power", **desktop)
        picture(browser, path, "report_roofline_dark", "#roofline-title", "#roofline", **desktop, color_scheme="dark")
        picture(browser, path, "report_phone", "body", "#scatter", viewport={"width": 390, "height": 800})
        browser.close()


if __name__ == "__main__":
    main()
