"""The page: template, styles, script, data and plotly in one HTML file that needs no network."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from energybench.errors import RecordError
from energybench.records.atomic_file import write_text_atomic
from energybench.report.content import page_content
from energybench.report.data import ReportData
from energybench.report.markdown import markdown_summary
from energybench.report.plots import GL_ROWS
from energybench.report.wording import (
    FAMILY_NAMES,
    KIND_BANNERS,
    NOTHING,
    percent,
    percent_level,
    plural,
    quantity,
    shown_name,
    whole,
)

if TYPE_CHECKING:
    from markupsafe import Markup

_TEMPLATES: Final = "templates"


def build_report(data: ReportData) -> str:
    """The page as HTML text, plotly.js included once (about 5 MB)."""
    return render_page(page_content(data))


def render_page(content: Mapping[str, Any]) -> str:
    """The page that shows what `page_content` found."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    environment = Environment(
        loader=PackageLoader("energybench.report", _TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    cells = _Cells(content)
    environment.globals.update(
        quantity=cells.quantity,
        percentage=cells.percentage,
        count=cells.count,
        plural=plural,
        percent_level=percent_level,
        family_name=lambda family: FAMILY_NAMES.get(family, shown_name(family)),
    )
    environment.filters["name"] = shown_name
    return environment.get_template("report.html.j2").render(
        page=content,
        banner=KIND_BANNERS.get(content["kind"]),
        data_json=Markup(script_json(content)),
        style=Markup(_template_text("report.css")),
        script=Markup(_template_text("report.js")),
        plotly=Markup(get_plotlyjs()),
        # WebGL plots compile their shaders' callers at run time, which a stricter policy forbids
        script_policy="'unsafe-inline' 'unsafe-eval'" if len(content["rows"]) > GL_ROWS else "'unsafe-inline'",
    )


def save_report(data: ReportData, path: Path | str) -> dict[str, Any]:
    """Write the page, and beside it its numbers as JSON and a summary in Markdown, under the page's name.

    Each so that a reader sees the old file or the new one, never half of it. Returns what the page shows.
    Raises RecordError where a file cannot be written.
    """
    path = Path(path)
    content = page_content(data)
    page = render_page(content)
    numbers = json.dumps(content, indent=1, ensure_ascii=True, allow_nan=False) + "\n"
    for beside, text in (
        (path.with_suffix(".json"), numbers),
        (path.with_suffix(".md"), markdown_summary(content)),
        (path, page),
    ):
        try:
            write_text_atomic(beside, text)
        except OSError as error:
            raise RecordError(f"{beside} cannot be written ({error.strerror}); choose another --out") from error
    return content


def script_json(value: Any) -> str:
    """JSON that is inert inside a script element: nothing in it can end the element or open another."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _template_text(name: str) -> str:
    return files("energybench.report").joinpath(_TEMPLATES, name).read_text(encoding="utf-8")


class _Cells:
    """Numbers on the page: each is looked up in the page's data and says where it lies there.

    A cell is ``<data value="1.1e-11" data-path="/fit/params/mac_fp32_j/value">11 pJ/MAC</data>``; the path is a JSON
    pointer (RFC 6901).
    """

    def __init__(self, content: Mapping[str, Any]) -> None:
        self._content = content

    def quantity(self, parts: Sequence[str | int], unit: str, digits: int = 4) -> Markup:
        """A number with its unit and an SI prefix."""
        value = self._value(parts)
        return self._cell(parts, value, quantity(value, unit, digits=digits))

    def percentage(self, parts: Sequence[str | int], signed: bool = False) -> Markup:
        """A fraction as a percentage."""
        value = self._value(parts)
        return self._cell(parts, value, percent(value, signed=signed))

    def count(self, parts: Sequence[str | int]) -> Markup:
        """A whole number."""
        value = self._value(parts)
        return self._cell(parts, value, NOTHING if value is None else whole(int(value)))

    def _value(self, parts: Sequence[str | int]) -> Any:
        value: Any = self._content
        for part in parts:
            value = value[part]
        return value

    @staticmethod
    def _cell(parts: Sequence[str | int], value: float | None, text: str) -> Markup:
        from markupsafe import Markup

        pointer = "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)
        given = "" if value is None else repr(value)
        return Markup('<data value="{}" data-path="{}">{}</data>').format(given, pointer, text)
