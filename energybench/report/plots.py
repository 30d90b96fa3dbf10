"""The figures, as plotly's own JSON: built without importing plotly, validated against it in the tests.

A colour that begins with ``$`` is a name that the page replaces by the reader's theme, light or dark. Every axis that
shows an energy says of which kind it is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

from energybench.model.term import Term
from energybench.report.component_shares import NetworkComponents
from energybench.report.power_trace import PowerTrace
from energybench.report.roofline import Roofline
from energybench.report.rows import ReportRow
from energybench.report.shares import MAX_GROUPS, GroupShares
from energybench.report.wording import FAMILY_NAMES, percent, plot_text, plural
from energybench.units import format_si

Figure: TypeAlias = dict[str, Any]

#: Okabe and Ito 2008, told apart with every common colour blindness; the page lightens blue on a dark ground.
FAMILY_COLOURS: Final[Mapping[str, str]] = {
    "cnn": "$blue",
    "rnn": "$vermillion",
    "transformer": "$green",
    "probe": "$purple",
}
_ROLE_COLOURS: Final[Mapping[str, tuple[str, ...]]] = {
    "compute": ("$blue", "$sky", "$vermillion"),
    "memory": ("$orange", "$yellow"),
    "other_flops": ("$green",),
    "launch": ("$purple",),
    "static": ("$grey",),
}
_ALL_COLOURS: Final = ("$blue", "$sky", "$vermillion", "$orange", "$yellow", "$green", "$purple", "$grey")
_PATTERNS: Final = ("", "/", ".", "x")

SPLIT_SYMBOLS: Final[Mapping[str, str]] = {"fit": "circle", "heldout": "diamond-open"}

#: Above this many points a figure is drawn by WebGL: SVG needs seconds for ten thousand.
GL_ROWS: Final = 2000
#: The power figure opens on so many windows: with more, their edges run together.
OPENING_WINDOWS: Final = 24
#: Beyond a signed error of +100 % a linear axis would flatten everything else.
LINEAR_ERROR_LIMIT: Final = 1.0
#: Golden ratio conjugate: its multiples modulo 1 spread evenly, so jitter needs no random numbers.
_GOLDEN: Final = 0.6180339887498949

_LEGEND: Final = {"orientation": "h", "x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom", "itemwidth": 30}


def scatter_figure(rows: Sequence[ReportRow], kind: str) -> Figure:
    """Recorded against estimated energy, both logarithmic, with intervals and the line of equality."""
    shown = [row for row in rows if row.recorded_j > 0 and row.estimated_j > 0]
    values = [v for row in shown for v in (row.recorded_j, row.estimated_j)]
    low, high = (min(values), max(values)) if values else (1e-3, 1.0)
    low, high = low / 1.8, high * 1.8
    traces: list[Figure] = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": "estimate = " + kind,
            "x": [low, high],
            "y": [low, high],
            "line": {"color": "$muted", "width": 1.2, "dash": "dash"},
            "hoverinfo": "skip",
        }
    ]
    for family, split, members in _by_family_and_split(shown):
        colour = FAMILY_COLOURS.get(family, "$grey")
        trace: Figure = {
            "type": _point_type(len(shown)),
            "mode": "markers",
            "name": _trace_name(family, split),
            "x": [row.recorded_j for row in members],
            "y": [row.estimated_j for row in members],
            "customdata": [[plot_text(row.label, 60), percent(row.error_rel, signed=True)] for row in members],
            "hovertemplate": f"<b>%{{customdata[0]}}</b><br>{kind} %{{x:.4s}}J<br>estimated %{{y:.4s}}J"
            "<br>error %{customdata[1]}<extra></extra>",
            "marker": _marker(colour, split),
        }
        if any(row.low_j is not None for row in members):
            trace["error_y"] = {
                "type": "data",
                "symmetric": False,
                "array": [_gap(row.high_j, row.estimated_j) for row in members],
                "arrayminus": [_gap(row.estimated_j, row.low_j) for row in members],
                "color": colour,
                "thickness": 1,
                "width": 0,
            }
        traces.append(trace)
    return {
        "data": traces,
        "layout": {
            "height": 560,
            "legend": dict(_LEGEND),
            "xaxis": _log_axis(f"{kind} energy per call [J]", low, high, "J"),
            "yaxis": _log_axis(f"estimated energy per call [J], fitted to {kind}", low, high, "J"),
            "hovermode": "closest",
        },
    }


def residual_figure(rows: Sequence[ReportRow], kind: str) -> Figure:
    """Signed error by family, a box and all points, held-out rows beside the fitted ones."""
    errors = [row.error_rel for row in rows]
    linear = not errors or max(errors) <= LINEAR_ERROR_LIMIT or min(errors) <= -1
    families = [f for f in FAMILY_COLOURS if any(row.family == f for row in rows)]
    traces: list[Figure] = []
    for family, split, members in _by_family_and_split(rows):
        centre = families.index(family) + (0.22 if split == "heldout" else -0.22)
        colour = FAMILY_COLOURS.get(family, "$grey")
        values = [_error_position(row.error_rel, linear) for row in members]
        if len(members) >= 5:
            traces.append(_box(centre, values, colour))
        traces.append(
            {
                "type": _point_type(len(rows)),
                "mode": "markers",
                "name": _trace_name(family, split),
                "x": [centre + 0.26 * ((i * _GOLDEN) % 1 - 0.5) for i in range(len(members))],
                "y": values,
                "customdata": [[plot_text(row.label, 60), percent(row.error_rel, signed=True)] for row in members],
                "hovertemplate": "<b>%{customdata[0]}</b><br>error %{customdata[1]}<extra></extra>",
                "marker": {**_marker(colour, split), "size": 6},
            }
        )
    y_axis: Figure = {"title": {"text": f"estimated against {kind} energy, signed error"}, "zeroline": False}
    if linear:
        y_axis |= {"ticksuffix": " %"}
    else:
        ticks = _ratio_ticks(1 + min(errors), 1 + max(errors))
        y_axis |= {
            "type": "log",
            "tickvals": [1 + t for t in ticks],
            "ticktext": [percent(t, signed=True) for t in ticks],
        }
    zero = 0 if linear else 1
    return {
        "data": traces,
        "layout": {
            "height": 460,
            "legend": dict(_LEGEND),
            "xaxis": {
                "title": {"text": f"family of the {kind} row"},
                "tickvals": list(range(len(families))),
                "ticktext": [FAMILY_NAMES.get(f, plot_text(f, 20)) for f in families],
                "range": [-0.6, len(families) - 0.4],
                "showgrid": False,
                "zeroline": False,
            },
            "yaxis": y_axis,
            "shapes": [
                {
                    "type": "line",
                    "xref": "paper",
                    "x0": 0,
                    "x1": 1,
                    "y0": zero,
                    "y1": zero,
                    "line": {"color": "$muted", "width": 1.2, "dash": "dash"},
                    "layer": "below",
                }
            ],
            "hovermode": "closest",
        },
    }


def shares_figure(shares: Sequence[GroupShares], terms: Sequence[Term], kind: str) -> Figure:
    """Stacked bars: the share of each term in the estimate, a bar for each network and group of workloads."""
    shown = list(shares[:MAX_GROUPS])
    positions = list(range(len(shown)))
    traces = []
    for term, (colour, pattern) in zip(terms, _term_colours(terms), strict=True):
        traces.append(
            {
                "type": "bar",
                "orientation": "h",
                "name": term.name,
                "y": positions,
                "x": [100 * group.shares[term.name] for group in shown],
                "customdata": [[plot_text(group.group, 60)] for group in shown],
                "hovertemplate": f"<b>%{{customdata[0]}}</b><br>{plot_text(term.name)} %{{x:.1f}} %<extra></extra>",
                "marker": {
                    "color": colour,
                    "line": {"color": "$paper", "width": 1},
                    "pattern": {"shape": pattern, "fgcolor": "$paper", "fillmode": "overlay"},
                },
            }
        )
    return {
        "data": traces,
        "layout": {
            "height": 150 + 30 * len(shown),
            "barmode": "stack",
            "bargap": 0.28,
            "legend": {**_LEGEND, "traceorder": "normal"},
            "xaxis": {
                "title": {"text": f"share of the estimate ({kind})"},
                "range": [0, 100],
                "ticksuffix": " %",
                "zeroline": False,
            },
            "yaxis": {
                "tickvals": positions,
                "ticktext": [plot_text(g.group, 24) + (" ◇" if g.heldout else "") for g in shown],
                "range": [len(shown) - 0.4, -0.6],
                "showgrid": False,
                "zeroline": False,
            },
            "hovermode": "closest",
        },
    }


def roofline_figure(roofline: Roofline, kind: str) -> Figure:
    """Energy per FLOP against intensity, with the fitted cost of FLOPs and bytes below the points."""
    xs = [p.intensity for p in roofline.points]
    balances = [roof.balance for roof in roofline.roofs if roof.balance is not None]
    x_low, x_high = min([*xs, *balances]) / 1.8, max([*xs, *balances]) * 1.8
    curve_x = [x_low * (x_high / x_low) ** (i / 120) for i in range(121)]
    dashes = ("solid", "dash", "dot", "dashdot")
    traces: list[Figure] = []
    floor: list[float] = []
    annotations: list[Figure] = []
    for number, roof in enumerate(roofline.roofs):
        ys = [roof.energy_per_flop_j(x) for x in curve_x]
        if min(ys) <= 0:
            continue
        floor += ys
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": f"FLOPs + bytes, {roof.dtype}",
                "x": curve_x,
                "y": ys,
                "line": {"color": "$ink", "width": 1.6, "dash": dashes[number % len(dashes)]},
                "hovertemplate": f"{roof.dtype}: %{{y:.3s}}J/FLOP at %{{x:.3s}} FLOP/B<extra></extra>",
            }
        )
        if roof.balance is not None:
            traces.append(
                {
                    "type": "scatter",
                    "mode": "markers",
                    "name": f"balance point, {roof.dtype}: {roof.balance:.3g} FLOP/B",
                    "x": [roof.balance],
                    "y": [roof.energy_per_flop_j(roof.balance)],
                    "marker": {"symbol": "x", "size": 11, "color": "$ink"},
                    "hovertemplate": f"balance of {roof.dtype}: {roof.balance:.3g} FLOP/B<extra></extra>",
                }
            )
    for family, split, members in _by_family_and_split([p.row for p in roofline.points]):
        indices = {row.index for row in members}
        points = [p for p in roofline.points if p.row.index in indices]
        traces.append(
            {
                "type": _point_type(len(roofline.points)),
                "mode": "markers",
                "name": _trace_name(family, split),
                "x": [p.intensity for p in points],
                "y": [p.energy_per_flop_j for p in points],
                "customdata": [[plot_text(p.row.label, 60), p.dtype] for p in points],
                "hovertemplate": f"<b>%{{customdata[0]}}</b> %{{customdata[1]}}<br>{kind} %{{y:.3s}}J/FLOP"
                "<br>%{x:.3s} FLOP/B<extra></extra>",
                "marker": _marker(FAMILY_COLOURS.get(family, "$grey"), split),
            }
        )
    ys = [p.energy_per_flop_j for p in roofline.points if p.energy_per_flop_j > 0] + floor
    return {
        "data": traces,
        "layout": {
            "height": 540,
            "legend": dict(_LEGEND),
            "xaxis": _log_axis("intensity [FLOP/B]", x_low, x_high, ""),
            "yaxis": _log_axis(f"{kind} energy per FLOP [J/FLOP]", min(ys) / 1.6, max(ys) * 1.6, "J"),
            "annotations": annotations,
            "hovermode": "closest",
        },
    }


def components_figure(networks: Sequence[NetworkComponents], claims: Sequence[Mapping[str, Any]], kind: str) -> Figure:
    """Grouped bars: each part's share of a network's counted FLOPs, beside the share that the document claims."""
    colours = ("$blue", "$orange", "$green", "$purple", "$sky", "$vermillion", "$yellow")
    positions = list(range(len(claims)))
    shown = networks[: len(colours)]
    traces: list[Figure] = [
        {
            "type": "bar",
            "name": plot_text(network.name, 40) + (" ◇" if network.heldout else ""),
            "x": positions,
            "y": [100 * network.shares[claim["part"]] for claim in claims],
            "customdata": [[plot_text(network.name, 60)] for _ in claims],
            "hovertemplate": "<b>%{customdata[0]}</b><br>%{y:.1f} % of its FLOPs<extra></extra>",
            "marker": {"color": colour, "line": {"color": "$paper", "width": 1}},
        }
        for network, colour in zip(shown, colours, strict=False)
    ]
    traces.append(
        {
            "type": "scatter",
            "mode": "markers",
            "name": "claimed in the document",
            "x": positions,
            "y": [100 * claim["claimed_share"] for claim in claims],
            "hovertemplate": "claimed: %{y:.0f} %<extra></extra>",
            "marker": {"symbol": "line-ew-open", "size": 60, "color": "$ink", "line": {"width": 2.5, "color": "$ink"}},
        }
    )
    return {
        "data": traces,
        "layout": {
            "height": 380,
            "barmode": "group",
            "bargap": 0.35,
            "legend": dict(_LEGEND),
            "xaxis": {
                "title": {"text": f"part of the Transformer ({kind} rows)"},
                "tickvals": positions,
                "ticktext": [claim["name"] for claim in claims],
                "range": [-0.6, len(claims) - 0.4],
                "showgrid": False,
                "zeroline": False,
            },
            "yaxis": {"title": {"text": "share of counted FLOPs"}, "range": [0, 100], "ticksuffix": " %"},
            "hovermode": "closest",
        },
    }


_STRETCHES: Final[Mapping[str, tuple[str, str, float]]] = {
    "between": ("between windows", "$grey", 1.0),
    "idle": ("idle window", "$green", 3.0),
    "work": ("window of work", "$blue", 4.0),
    "discarded": ("discarded window", "$vermillion", 4.0),
}


def power_figure(trace: PowerTrace, kind: str) -> Figure:
    """Mean power between readings as level lines, the windows' edges as bars across their ends."""
    points = _point_type(3 * len(trace.stretches))
    windows = [s for s in trace.stretches if s.stretch != "between"]
    first, last = windows[0].begin_s, windows[min(len(windows), OPENING_WINDOWS) - 1].end_s
    x_axis: Figure = {
        "title": {"text": "time since the first window [s]"},
        "zeroline": False,
        "range": [first - 0.02 * (last - first), last + 0.02 * (last - first)],
    }
    if points == "scatter":  # WebGL has no strip
        x_axis["rangeslider"] = {"visible": True, "thickness": 0.1, "bgcolor": "rgba(0,0,0,0)"}
    traces: list[Figure] = []
    for stretch, (name, colour, width) in _STRETCHES.items():
        members = [s for s in trace.stretches if s.stretch == stretch]
        if not members:
            continue
        figure: Figure = {
            "type": points,
            "mode": "lines" if stretch == "between" else "lines+markers",
            "name": name,
            "x": [v for s in members for v in (s.begin_s, s.end_s, None)],
            "y": [v for s in members for v in (s.power_w, s.power_w, None)],
            "customdata": [
                [
                    plot_text(s.label, 60),
                    f"{s.end_s - s.begin_s:.3g}",
                    "aligned to counter updates" if s.aligned else "not aligned",
                ]
                for s in members
                for _ in range(3)
            ],
            "hovertemplate": f"<b>%{{customdata[0]}}</b><br>{kind} %{{y:.4s}}W over %{{customdata[1]}} s"
            + ("" if stretch == "between" else "<br>edges %{customdata[2]}")
            + "<extra></extra>",
            "line": {"color": colour, "width": width},
            "connectgaps": False,
        }
        if stretch != "between":
            figure["marker"] = {
                "symbol": "line-ns-open",
                "size": 11,
                "color": colour,
                "line": {"width": 1.4, "color": colour},
            }
        traces.append(figure)
    return {
        "data": traces,
        "layout": {
            "height": 460,
            "margin": {"b": 36},  # the strip pushes the title down and the margin does not follow
            "legend": dict(_LEGEND),
            "xaxis": x_axis,
            "yaxis": {"title": {"text": f"{kind} power, mean between readings [W]"}, "rangemode": "tozero"},
            "hovermode": "closest",
        },
    }


def scatter_words(rows: Sequence[ReportRow], kind: str) -> str:
    """The scatter plot for somebody who cannot see it."""
    near = sum(abs(row.error_rel) <= 0.1 for row in rows)
    return (
        f"Scatter plot of estimated against {kind} energy per call for {plural(len(rows), 'row')}; "
        f"{near} of them lie within 10 % of the line of equality."
    )


def _by_family_and_split(rows: Sequence[ReportRow]) -> list[tuple[str, str, list[ReportRow]]]:
    groups: dict[tuple[str, str], list[ReportRow]] = {}
    for row in rows:
        groups.setdefault((row.family, row.split), []).append(row)
    order = {family: i for i, family in enumerate(FAMILY_COLOURS)}
    keys = sorted(groups, key=lambda k: (order.get(k[0], len(order)), k[1] == "heldout"))
    return [(family, split, groups[family, split]) for family, split in keys]


def _trace_name(family: str, split: str) -> str:
    name = FAMILY_NAMES.get(family, plot_text(family, 20))
    return f"{name}, held out" if split == "heldout" else name


def _marker(colour: str, split: str) -> Figure:
    held = split == "heldout"
    return {
        "color": colour,
        "symbol": SPLIT_SYMBOLS.get(split, "square"),
        "size": 9 if held else 7,
        "opacity": 1.0 if held else 0.8,
        "line": {"width": 1.6 if held else 0, "color": colour},
    }


def _point_type(count: int) -> str:
    return "scattergl" if count > GL_ROWS else "scatter"


def _gap(high: float | None, low: float | None) -> float:
    return max(high - low, 0.0) if high is not None and low is not None else 0.0


def _box(centre: float, values: list[float], colour: str) -> Figure:
    ordered = sorted(values)
    return {
        "type": "box",
        "x": [centre],
        "q1": [_quantile(ordered, 0.25)],
        "median": [_quantile(ordered, 0.5)],
        "q3": [_quantile(ordered, 0.75)],
        "lowerfence": [_quantile(ordered, 0.05)],
        "upperfence": [_quantile(ordered, 0.95)],
        "width": 0.34,
        "line": {"color": colour, "width": 1.2},
        "fillcolor": "rgba(0,0,0,0)",
        "boxpoints": False,
        "showlegend": False,
        "hoverinfo": "skip",
    }


def _quantile(ordered: Sequence[float], share: float) -> float:
    """Linear interpolation between order statistics."""
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


def _error_position(error_rel: float, linear: bool) -> float:
    return 100 * error_rel if linear else 1 + error_rel


def _ratio_ticks(low: float, high: float) -> list[float]:
    """Signed errors that lie well on a logarithmic axis of estimated / recorded."""
    candidates = [-0.99, -0.9, -0.5, 0.0, 1.0, 9.0, 99.0, 999.0, 9999.0]
    inside = [c for c in candidates if low / 1.6 <= 1 + c <= high * 1.6]
    return inside or [0.0]


def _log_axis(title: str, low: float, high: float, unit: str) -> Figure:
    """A logarithmic axis whose ticks are written with SI prefixes: one a decade, 1 2 5 where it is short."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    decades = math.log10(high / low)
    steps = (1, 2, 5) if decades < 2 else (1,)
    stride = max(1, round(decades / 8))
    ticks = [s * 10.0**e for e in range(first, last + 1) for s in steps if (e - first) % stride == 0]
    ticks = [t for t in ticks if low <= t <= high]
    # a bare number (intensity) reads better without prefixes until it grows large
    texts = [format_si(t, unit, digits=3) if unit or t >= 1e4 else f"{t:g}" for t in ticks]
    return {
        "type": "log",
        "title": {"text": title},
        "range": [math.log10(low), math.log10(high)],
        "tickvals": ticks,
        "ticktext": texts,
        "zeroline": False,
    }


def _term_colours(terms: Sequence[Term]) -> list[tuple[str, str]]:
    """A colour for each term by what it pays for, patterned where colours run out."""
    used: set[tuple[str, str]] = set()
    result = []
    for term in terms:
        choices = [(c, p) for p in _PATTERNS for c in (*_ROLE_COLOURS[term.role], *_ALL_COLOURS)]
        reserved = {c for role, colours in _ROLE_COLOURS.items() if role != term.role for c in colours[:1]}
        chosen = next((c for c in choices if c not in used and (c[0] not in reserved or c[1])), choices[0])
        used.add(chosen)
        result.append(chosen)
    return result
