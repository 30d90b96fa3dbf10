"""Printing: tables for people, JSON for programs, and the kind of every energy in sight."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import typer

from energybench.records.vocabulary import Kind

if TYPE_CHECKING:
    from rich.console import Console

#: What a reader must know before the first number, by kind.
KIND_BANNERS: Mapping[str, str] = {
    "measured": "",
    "modelled": "MODELLED: CPU time times a datasheet power. A pipeline check, not energy.",
    "simulated": "SIMULATED: a virtual device or an injected meter. Nothing here was measured.",
    "replayed": "REPLAYED: derived again from recorded readings.",
}


def console() -> Console:
    """A console on standard output, as wide as the terminal, 120 columns where there is none."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else 120, highlight=False, soft_wrap=not sys.stdout.isatty())


def say(text: str = "") -> None:
    """One line of plain text on standard output."""
    typer.echo(text)


def warn(text: str) -> None:
    """One line on standard error."""
    typer.echo(text, err=True)


def banner(kind: Kind | str) -> None:
    """Say what kind of energy follows, where it is not measured."""
    if text := KIND_BANNERS[kind]:
        say(text)


def emit_json(data: Mapping[str, Any]) -> None:
    """One JSON object on standard output and nothing else; NaN is refused, since JSON has none."""
    typer.echo(json.dumps(data, indent=2, allow_nan=False))


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], *, right: Iterable[str] = ()) -> None:
    """A table; `right` names the columns that hold numbers."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    numeric = set(right)
    grid = Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, title_style="bold")
    for name in columns:
        grid.add_column(name, justify="right" if name in numeric else "left", overflow="fold")
    for row in rows:
        grid.add_row(*(Text("" if cell is None else str(cell)) for cell in row))
    console().print(grid)


def percent(fraction: float | None, *, signed: bool = False) -> str:
    """A fraction as percent for printing; ``–`` where it does not exist."""
    if fraction is None or fraction != fraction:
        return "–"
    return f"{100 * fraction:{'+' if signed else ''}.1f} %"
