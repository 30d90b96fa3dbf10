"""The look of every static figure, and how its file is written: the same numbers give the same bytes.

Matplotlib is an optional part of the installation (``pip install 'energybench[figures]'``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from energybench.errors import RecordError, UsageError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Two columns of a paper, and a resolution that print accepts.
WIDTH_IN: Final = 6.9
PNG_DPI: Final = 300

#: Okabe and Ito's colours, on white.
COLOURS: Final[Mapping[str, str]] = {
    "blue": "#0072B2",
    "sky": "#56B4E9",
    "vermillion": "#D55E00",
    "orange": "#E69F00",
    "yellow": "#F0E442",
    "green": "#009E73",
    "purple": "#CC79A7",
    "ink": "#000000",
    "muted": "#444444",
    "grid": "#dddddd",
    "paper": "#ffffff",
    "grey": "#999999",
}
#: For series in order: told apart in print and by colour-blind eyes.
SERIES: Final = tuple(COLOURS[name] for name in ("blue", "vermillion", "green", "orange", "sky", "purple", "grey"))

_SUPERSCRIPT: Final = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@contextmanager
def paper_figure(
    directory: Path,
    name: str,
    formats: Sequence[str] = ("svg",),
    *,
    height_in: float,
    written: list[Path] | None = None,
) -> Iterator[Figure]:
    """A figure to draw on, written as ``NAME.FORMAT`` into `directory` afterwards; `written` collects the files.

    Raises UsageError: matplotlib absent. RecordError: a file that cannot be written.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UsageError("static figures need matplotlib; install it: pip install 'energybench[figures]'") from error
    from cycler import cycler
    from matplotlib import rc_context

    # text stays text in SVG, and a name with a dollar sign is no formula
    style = {"svg.fonttype": "none", "text.parse_math": False, "font.size": 8, "svg.hashsalt": "energybench"}
    with rc_context({**style, "axes.prop_cycle": cycler(color=SERIES)}):
        figure = Figure(figsize=(WIDTH_IN, height_in), layout="constrained")
        FigureCanvasAgg(figure)
        yield figure
        for wanted in formats:
            path = directory / f"{name}.{wanted}"
            # no date inside: the same run gives the same file
            stamp: dict[str, Any] = {} if wanted == "png" else {"Date" if wanted == "svg" else "CreationDate": None}
            try:
                directory.mkdir(parents=True, exist_ok=True)
                figure.savefig(path, dpi=PNG_DPI, metadata=stamp)
            except OSError as error:
                raise RecordError(f"{path} cannot be written ({error.strerror}); choose another folder") from error
            if written is not None:
                written.append(path)


def power_of_ten(value: float) -> str:
    """A tick of a logarithmic axis without markup: 0.001 … 1000 as they are, 10⁻⁵ and 2·10⁹ beyond."""
    if value <= 0 or 0.0009 < value < 9000:
        return f"{value:g}"
    mantissa, exponent = f"{value:.0e}".split("e")
    power = "10" + str(int(exponent)).translate(_SUPERSCRIPT)
    return power if mantissa == "1" else f"{mantissa}·{power}"


def dress(axes: Axes, *, legend_columns: int = 4) -> None:
    """Light grid behind the marks, no box, readable powers of ten, and a legend above where anything is named."""
    from matplotlib.ticker import FuncFormatter, LogFormatter

    for axis in (axes.xaxis, axes.yaxis):
        # a logarithmic axis writes TeX, which is not parsed here
        if isinstance(axis.get_major_formatter(), LogFormatter):
            axis.set_major_formatter(FuncFormatter(lambda value, _: power_of_ten(value)))
        if isinstance(axis.get_minor_formatter(), LogFormatter):
            axis.set_minor_formatter(FuncFormatter(lambda value, _: ""))
    axes.grid(True, color=COLOURS["grid"], lw=0.5)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=legend_columns, frameon=False, fontsize=7)
