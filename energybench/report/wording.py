"""The words of a report: kinds, numbers with units, names from outside made harmless."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from energybench.records.vocabulary import IMPLEMENTATIONS
from energybench.units import format_si

#: Shown on top of every page, and in print, where energy was not measured.
KIND_BANNERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "modelled": "Pipeline check, not energy. Each value is a datasheet power times a utilisation. "
        "Nothing on this page was measured.",
        "simulated": "A virtual device or an injected meter gave these values. Nothing on this page was measured.",
        "replayed": "These values were derived again from the readings of an earlier run; "
        "no meter was read for this one.",
    }
)

FAMILY_NAMES: Final[Mapping[str, str]] = MappingProxyType(
    {"cnn": "CNN", "rnn": "RNN", "transformer": "Transformer", "probe": "Probe"}
)

#: Longest name that a table cell or a plot shows; the whole name stays in the page's data.
NAME_LENGTH: Final = 96

NOTHING: Final = "–"


def shown_name(name: object, length: int = NAME_LENGTH) -> str:
    """A name from outside as one short printable line.

    Control characters, lone surrogates and direction overrides become U+FFFD; what is longer than `length` loses its
    middle.
    """
    text = "".join(c if unicodedata.category(c)[0] != "C" else "\N{REPLACEMENT CHARACTER}" for c in str(name))
    if len(text) <= length:
        return text
    tail = length // 3
    return f"{text[: length - tail - 1]}…{text[-tail:]}"


def plot_text(name: object, length: int = NAME_LENGTH) -> str:
    """A name for plotly, which reads a few HTML tags in texts and ``%{…}`` nowhere but in templates."""
    return shown_name(name, length).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def quantity(value: float | None, unit: str, *, digits: int = 4) -> str:
    """A number with an SI prefix, a dash where there is none; the unit ``1`` and no unit are written plain."""
    if value is None:
        return NOTHING
    if unit in ("", "1"):
        return f"{value:.{digits}g}"
    number, _, rest = format_si(value, unit, digits=digits).partition(" ")
    return f"{_padded(number, digits)}\N{NO-BREAK SPACE}{rest}"


def _padded(number: str, digits: int) -> str:
    """A decimal number with its zeros kept, so that a column shows one precision: 95 with four digits is 95.00."""
    held = len(number.lstrip("-0.").replace(".", ""))
    if not number.lstrip("-").replace(".", "", 1).isdigit() or held in (0, digits) or held > digits:
        return number
    return number + ("" if "." in number else ".") + "0" * (digits - held)


def percent(value: float | None, *, signed: bool = False) -> str:
    """A fraction as a percentage with three digits or so; a dash where there is none."""
    if value is None:
        return NOTHING
    scaled = 100 * value
    digits = 0 if abs(scaled) >= 99.95 else 1 if abs(scaled) >= 0.95 else 2
    text = f"{scaled:{'+' if signed else ''}.{digits}f}".replace("-", "−")
    return f"{text}\N{NO-BREAK SPACE}%"


def percent_level(level: float) -> str:
    """The level of an interval: ``90 %``."""
    return f"{100 * level:g}\N{NO-BREAK SPACE}%"


def whole(value: int) -> str:
    """A whole number, thousands set apart by thin spaces."""
    return f"{value:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def plural(count: int, noun: str) -> str:
    """A count with its noun: ``1 row``, ``64 rows``."""
    return f"{whole(count)}\N{NO-BREAK SPACE}{noun}{'' if count == 1 else 's'}"


def listed(names: list[str]) -> str:
    """Names as running text: ``a, b and c``."""
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)


def group_of(workload: str) -> str:
    """The group of a workload: ``vendor/copy`` of ``vendor/copy/e16384``, ``conv2d`` of ``conv2d/n1c3h224``."""
    parts = workload.split("/")
    return "/".join(parts[:2]) if parts[0] in IMPLEMENTATIONS else parts[0]
