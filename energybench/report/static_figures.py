"""The page's figures as SVG, PDF or PNG for a paper: the same numbers, drawn by matplotlib from the same description.

`paper_style` has their look and writes them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from energybench.errors import UsageError
from energybench.report.paper_style import COLOURS, dress, paper_figure
from energybench.report.wording import shown_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FORMATS: Final = ("svg", "pdf", "png")
PIXELS_PER_IN: Final = 100
MAX_MARKER: Final = 16

#: The names that the figures' descriptions use.
_COLOURS: Final[Mapping[str, str]] = {f"${name}": value for name, value in COLOURS.items()}
_MARKERS: Final[Mapping[str, str]] = {
    "circle": "o",
    "diamond-open": "D",
    "square": "s",
    "x": "x",
    "line-ns-open": "|",
    "line-ew-open": "_",
}
_DASHES: Final[Mapping[str, str]] = {"solid": "-", "dash": "--", "dot": ":", "dashdot": "-."}
_HATCHES: Final[Mapping[str, str]] = {"": "", "/": "//", ".": "..", "x": "xx"}
_TAGS: Final = re.compile(r"<[^>]*>")


def save_figures(content: Mapping[str, Any], directory: Path, formats: Sequence[str]) -> list[Path]:
    """Write every figure of a page's content as ``NAME-KIND.FORMAT`` into `directory`; the files in order.

    Raises UsageError: an unknown format, matplotlib absent. RecordError: a file that cannot be written.
    """
    for wanted in formats:
        if wanted not in FORMATS:
            raise UsageError(f"figures cannot be written as {wanted!r}; use {', '.join(FORMATS)}")
    written: list[Path] = []
    for name, described in content["figures"].items():
        height_in = described["layout"]["height"] / PIXELS_PER_IN
        with paper_figure(
            directory, f"{name}-{content['kind']}", formats, height_in=height_in, written=written
        ) as figure:
            draw(figure.add_subplot(), described)
    return written


def draw(axes: Axes, described: Mapping[str, Any]) -> None:
    """Draw one figure's description on axes."""
    layout = described["layout"]
    _axis(axes, "x", layout["xaxis"])
    _axis(axes, "y", layout["yaxis"])
    bars = [t for t in described["data"] if t["type"] == "bar"]
    for number, trace in enumerate(bars):
        _bar(axes, trace, number, len(bars), stacked=layout.get("barmode") == "stack", before=bars[:number])
    for trace in described["data"]:
        if trace["type"] == "box":
            _box(axes, trace)
        elif trace["type"] != "bar":
            _points(axes, trace)
    for shape in layout.get("shapes", ()):
        line = shape["line"]
        axes.axhline(shape["y0"], color=_colour(line["color"]), lw=0.8, ls=_DASHES[line.get("dash", "solid")], zorder=0)
    if layout["yaxis"].get("rangemode") == "tozero":
        axes.set_ylim(bottom=0)  # after drawing, which sets the top
    dress(axes)


def _text(value: object) -> str:
    plain = _TAGS.sub("", str(value)).replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    return shown_name(plain)


def _colour(value: str) -> str:
    return _COLOURS.get(value, value if value.startswith("#") else "none")


def _axis(axes: Axes, which: str, described: Mapping[str, Any]) -> None:
    axis = getattr(axes, f"{which}axis")
    logarithmic = described.get("type") == "log"
    if logarithmic:
        getattr(axes, f"set_{which}scale")("log")
    if "title" in described:
        axis.set_label_text(_text(described["title"]["text"]))
    if "range" in described:
        low, high = described["range"]
        getattr(axes, f"set_{which}lim")(*((10**low, 10**high) if logarithmic else (low, high)))
    if "tickvals" in described:
        axis.set_ticks(described["tickvals"], [_text(t) for t in described["ticktext"]])
        axis.set_ticks([], minor=True)
    elif "ticksuffix" in described:
        axis.set_major_formatter(lambda value, _: f"{value:g}{described['ticksuffix']}")


def _points(axes: Axes, trace: Mapping[str, Any]) -> None:
    marker, line = trace.get("marker", {}), trace.get("line", {})
    colour = _colour(marker.get("color") or line.get("color") or "$ink")
    xs = [float("nan") if v is None else v for v in trace["x"]]
    ys = [float("nan") if v is None else v for v in trace["y"]]
    options: dict[str, Any] = {"color": colour, "label": _text(trace["name"]), "ls": "none"}
    if "lines" in trace["mode"]:
        options |= {"ls": _DASHES[line.get("dash", "solid")], "lw": 0.7 * line.get("width", 1)}
    if "markers" in trace["mode"]:
        symbol = marker.get("symbol", "circle")
        options |= {"marker": _MARKERS[symbol], "ms": min(0.6 * marker.get("size", 6), MAX_MARKER), "mew": 0.8}
        if symbol.endswith("-open"):
            options["mfc"] = "none"
    error = trace.get("error_y")
    if error is not None:
        axes.errorbar(xs, ys, yerr=[error["arrayminus"], error["array"]], ecolor=colour, elinewidth=0.5, **options)
    else:
        axes.plot(xs, ys, **options)


def _bar(
    axes: Axes, trace: Mapping[str, Any], number: int, count: int, *, stacked: bool, before: Sequence[Mapping[str, Any]]
) -> None:
    marker = trace["marker"]
    options = {
        "color": _colour(marker["color"]),
        "edgecolor": "white",
        "linewidth": 0.5,
        "hatch": _HATCHES[marker.get("pattern", {}).get("shape", "")],
        "label": _text(trace["name"]),
    }
    if stacked:
        left = [sum(t["x"][i] for t in before) for i in range(len(trace["x"]))]
        axes.barh(trace["y"], trace["x"], left=left, height=0.72, **options)
    else:
        width = 0.65 / count
        axes.bar([x + (number - (count - 1) / 2) * width for x in trace["x"]], trace["y"], width=width, **options)


def _box(axes: Axes, trace: Mapping[str, Any]) -> None:
    line = {"color": _colour(trace["line"]["color"]), "linewidth": 0.8}
    statistics = {
        "med": trace["median"][0],
        "q1": trace["q1"][0],
        "q3": trace["q3"][0],
        "whislo": trace["lowerfence"][0],
        "whishi": trace["upperfence"][0],
    }
    axes.bxp(
        [statistics], positions=trace["x"], widths=[trace["width"]], showfliers=False, manage_ticks=False,
        boxprops=line, medianprops=line, whiskerprops=line, capprops=line,
    )  # fmt: skip
