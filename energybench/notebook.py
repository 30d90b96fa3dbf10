"""HTML for notebooks: small tables and lines of text, everything from outside escaped."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

_NUMBER = ' style="text-align:right"'


def html_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, caption: str = "") -> str:
    """A table: the first column holds names, the others numbers with their units."""
    head = "".join(f"<th{_NUMBER if i else ''}>{html.escape(c)}</th>" for i, c in enumerate(columns))
    body = "".join(
        "<tr>" + "".join(f"<td{_NUMBER if i else ''}>{html.escape(str(c))}</td>" for i, c in enumerate(row)) + "</tr>"
        for row in rows
    )
    title = f"<caption>{html.escape(caption)}</caption>" if caption else ""
    return f"<table>{title}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def html_lines(lines: Iterable[str]) -> str:
    """Lines of text as paragraphs."""
    return "".join(f"<p>{html.escape(line)}</p>" for line in lines)
