"""A part of a page that a benchmark writes: what stands between two comments that name it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def write_part(page: Path, name: str, lines: Sequence[str]) -> None:
    """Replace what stands between ``<!-- name: begin -->`` and ``<!-- name: end -->``; ValueError without them."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    text = page.read_text(encoding="utf-8")
    head, found, rest = text.partition(begin)
    _, closed, tail = rest.partition(end)
    if not (found and closed):
        raise ValueError(f"{page} has no place for {name}; add the lines {begin} and {end}")
    page.write_text("\n".join([head + begin, *lines, end + tail]), encoding="utf-8")
