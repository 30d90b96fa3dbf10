"""The physical equation: Choi, Bedard, Fowler and Vuduc (IPDPS 2013), extended by element types, launches and classes.

E = Σ_d ε_mac(d)·MACs_d + ε_x·other FLOPs + ε_b·bytes + ε_l·launches + P_static·T
[+ P_active·T_active − ε_0·z·MACs
+ ε_p·(N_tile − MACs) + P_u·o·T_active − ε_c·min(bytes, C) − ε_v·(1 − f/f_max)·MACs], all coefficients ≥ 0.

Optional terms join it only where the records need them (`energybench.fitting.optional_terms`). T_active is the duration
of a call that does work and 0 in an idle window: a device with its clocks up draws more than an idle one whatever it
computes. z is the share of zeros among the inputs, N_tile what a tiled kernel multiplies, its padding included, o the
share of units that waves of tiles keep busy, C the size of the last cache (of a call that runs over and over, at most
that much can still be there from the call before, and nothing where its caches are kept cold), f the clock: near the
highest clock, what V² saves is linear in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np

from energybench.errors import FitError
from energybench.model.equation import Equation
from energybench.model.features import MAC_CLASS_COLUMNS, MAC_COLUMNS, FeatureTable, FloatArray
from energybench.model.term import Role, Term
from energybench.records.op_counts import DTYPE_SHORT
from energybench.records.vocabulary import KERNEL_CLASSES

_SOURCE: Final = "Choi et al. 2013"
_DTYPE_OF: Final = {short: dtype for dtype, short in DTYPE_SHORT.items()}
_DTYPES: Final = "|".join(sorted(_DTYPE_OF, key=len, reverse=True))
_MAC_NAME: Final = re.compile(rf"mac_(?P<dtype>{_DTYPES})(?:_(?P<kernel_class>{'|'.join(KERNEL_CLASSES)}))?_j")


def _column_term(name: str, unit: str, description: str, latex: str, source: str, role: Role, column: str) -> Term:
    return Term(name, unit, description, latex, source, role, lambda t: t.column(column), (column,))


_FIXED: Final = {
    "other_flop_j": _column_term(
        "other_flop_j",
        "J/FLOP",
        "arithmetic outside MACs",
        r"\varepsilon_x N_{other}",
        _SOURCE + ", extended",
        "other_flops",
        "other_flops",
    ),
    "byte_j": _column_term(
        "byte_j", "J/B", "memory traffic on the profile's basis", r"\varepsilon_b B", _SOURCE, "memory", "bytes"
    ),
    "launch_j": _column_term(
        "launch_j",
        "J/launch",
        "starting a kernel or a parallel region",
        r"\varepsilon_l N_{launch}",
        _SOURCE + ", extended",
        "launch",
        "launches",
    ),
    "static_power_w": _column_term(
        "static_power_w", "W", "power that is drawn as long as the call lasts", "P_0 T", _SOURCE, "static", "time_s"
    ),
}


#: Terms that stay only where the records need them.
_OPTIONAL: Final = {
    "active_power_w": Term(
        "active_power_w",
        "W",
        "power drawn beyond the static power as long as there is work, whatever the work",
        "P_a T_{active}",
        _SOURCE + ", extended",
        "static",
        lambda t: np.where(t.kernel_class == "idle", 0.0, t.column("time_s")),
        ("time_s",),
    ),
    "zero_saving_j": Term(
        "zero_saving_j",
        "J/MAC",
        "saved by a MAC whose inputs are zeros: fewer bits change",
        r"-\varepsilon_0 z N_{MAC}",
        "arXiv 2212.08805, 2409.18324",
        "compute",
        lambda t: -t.column("zero_share") * t.column("macs"),
        ("zero_share", "macs"),
        workloads="the same matrix products on inputs with other shares of zeros",
    ),
    "padded_mac_j": Term(
        "padded_mac_j",
        "J/MAC",
        "one MAC that a tiled kernel makes on padding",
        r"\varepsilon_p (N_{tile} - N_{MAC})",
        _SOURCE + ", extended",
        "compute",
        lambda t: np.where(t.column("tile_macs") > 0, np.maximum(t.column("tile_macs") - t.column("macs"), 0.0), 0.0),
        ("tile_macs", "macs"),
        workloads="tiled kernels on sizes just above a multiple of their tile",
    ),
    "busy_unit_w": Term(
        "busy_unit_w",
        "W",
        "power of the compute units, all of them busy; drawn as far as waves of tiles keep them busy",
        r"P_u\,o\,T_{active}",
        "AccelWattch (MICRO 2021): idle units draw less",
        "static",
        lambda t: np.where(t.kernel_class == "idle", 0.0, t.column("time_s") * _occupancy(t)),
        ("time_s", "tiles", "waves", "compute_units"),
        workloads="tiled kernels whose last wave is almost empty, and almost full",
        needs=("tiles", "waves", "compute_units"),
        bound="all units busy",
    ),
    "cache_saving_j": Term(
        "cache_saving_j",
        "J/B",
        "saved by a byte that is still in the last cache from the call before",
        r"-\varepsilon_c \min(B, C)",
        "Choi et al. 2014, memory levels",
        "memory",
        lambda t: (
            -np.minimum(t.column("bytes"), np.nan_to_num(t.column("last_cache_bytes"))) * (1 - t.column("is_cold"))
        ),
        ("bytes", "last_cache_bytes", "is_cold"),
        additive=False,
        workloads="the same work on sizes below and far above the last cache",
        needs=("last_cache_bytes",),
        bound="nothing found in the cache",
    ),
    "clock_saving_j": Term(
        "clock_saving_j",
        "J/MAC",
        "saved by a MAC at a clock near zero against the highest: the voltage falls with the clock",
        r"-\varepsilon_v (1 - f/f_{max}) N_{MAC}",
        "V²f, first order about the highest clock",
        "compute",
        lambda t: -(1.0 - _relative_clock(t)) * t.column("macs"),
        ("macs", "clock_mhz", "highest_clock_mhz"),
        workloads="matrix products at several clocks (nvidia-smi --lock-gpu-clocks, or under a power limit)",
        needs=("clock_mhz", "highest_clock_mhz"),
        bound="the highest clock",
    ),
}


def _occupancy(table: FeatureTable) -> FloatArray:
    """Share of units that waves of tiles keep busy, (n,): 1 where the grid is not known, 0 without tiles."""
    tiles, slots = table.column("tiles"), table.column("waves") * table.column("compute_units")
    return np.where(np.isnan(tiles + slots), 1.0, np.divide(tiles, slots, out=np.zeros(len(table)), where=slots > 0))


def _relative_clock(table: FeatureTable) -> FloatArray:
    """Clock over the highest one, (n,), 1 where either is not known; a boost above it counts as the highest."""
    clock = table.column("clock_mhz") / table.column("highest_clock_mhz")
    return np.where(np.isnan(clock), 1.0, np.minimum(clock, 1.0))


#: The term without which rows with cold caches have no place in a fit.
CACHE_SAVING: Final = "cache_saving_j"
#: In the order in which a fit tries them.
OPTIONAL_NAMES: Final = tuple(_OPTIONAL)


def missing_columns(name: str, table: FeatureTable) -> tuple[str, ...]:
    """Columns that an optional term needs and some row with work does not carry."""
    work = table.kernel_class != "idle"
    return tuple(column for column in _OPTIONAL[name].needs if bool(np.isnan(table.column(column)[work]).any()))


def mac_term(dtype: str, kernel_class: str | None = None) -> Term:
    """The MAC term of one element type, of one kernel class only where given."""
    short = DTYPE_SHORT[dtype]
    if kernel_class is None:
        return _column_term(
            f"mac_{short}_j",
            "J/MAC",
            f"one {dtype} multiply-accumulate",
            rf"\varepsilon_{{{short}}} N_{{MAC,{short}}}",
            _SOURCE,
            "compute",
            MAC_COLUMNS[dtype],
        )
    return Term(
        f"mac_{short}_{kernel_class}_j",
        "J/MAC",
        f"one {dtype} multiply-accumulate in a {kernel_class} kernel",
        rf"\varepsilon_{{{short},{kernel_class}}} N_{{MAC,{short},{kernel_class}}}",
        _SOURCE + ", extended",
        "compute",
        lambda t: t.macs_of_class(dtype, kernel_class),
        (MAC_CLASS_COLUMNS[dtype, kernel_class],),
    )


def _rest_term(dtype: str, classes: tuple[str, ...]) -> Term:
    """MACs of an element type in kernels whose class has no coefficient of its own, or is not known."""
    short = DTYPE_SHORT[dtype]
    return Term(
        f"mac_{short}_j",
        "J/MAC",
        f"one {dtype} multiply-accumulate in a kernel without a coefficient of its own: the mean over kernel classes",
        rf"\varepsilon_{{{short}}} N_{{MAC,{short}}}",
        _SOURCE + ", extended",
        "compute",
        lambda t: np.maximum(t.column(MAC_COLUMNS[dtype]) - sum(t.macs_of_class(dtype, k) for k in classes), 0.0),
        (MAC_COLUMNS[dtype],),
    )


def physical_from_names(names: Iterable[str]) -> Equation:
    """`physical` with exactly these coefficients, in this order. Raises FitError on a name that is not its own."""
    names = tuple(names)
    terms: list[Term] = []
    own: dict[str, tuple[str, ...]] = {}
    for found in filter(None, map(_MAC_NAME.fullmatch, names)):
        if found["kernel_class"] is not None:
            own[found["dtype"]] = (*own.get(found["dtype"], ()), found["kernel_class"])
    for name in names:
        if (fixed := _FIXED.get(name) or _OPTIONAL.get(name)) is not None:
            terms.append(fixed)
            continue
        match = _MAC_NAME.fullmatch(name)
        if match is None:
            raise FitError(
                f"{name!r} is no coefficient of the physical equation; use mac_<dtype>_j, "
                f"{', '.join([*_FIXED, *_OPTIONAL])}"
            )
        dtype, kernel_class = _DTYPE_OF[match["dtype"]], match["kernel_class"]
        if kernel_class is None and match["dtype"] in own:
            terms.append(_rest_term(dtype, own[match["dtype"]]))
        else:
            terms.append(mac_term(dtype, kernel_class))
    return Equation(
        "physical",
        tuple(terms),
        r"E = \sum_d \varepsilon_d N_{MAC,d} + \varepsilon_x N_{other} + \varepsilon_b B"
        r" + \varepsilon_l N_{launch} + P_0 T" + "".join(_signed(_OPTIONAL[n].latex) for n in names if n in _OPTIONAL),
        _SOURCE + ", extended",
        "Energy per operation and per byte, with the power drawn for as long as the call lasts.",
    )


def _signed(latex: str) -> str:
    return f" - {latex[1:]}" if latex.startswith("-") else f" + {latex}"


def physical_equation(
    table: FeatureTable, *, by_kernel_class: bool = False, class_mean: bool = False, optional: Sequence[str] = ()
) -> Equation:
    """`physical` with a MAC term for each element type (and kernel class) that the table has.

    With `class_mean` each element type also keeps its own term, for work whose class has none; the kernel classes are
    then to be drawn towards it (`energybench.fitting.shrinkage`), for without it nothing else may tell it. A class that
    any element type has gets a term for each of them, since they may tell of one another.
    """
    if class_mean:
        classes = [k for k in KERNEL_CLASSES if any(table.macs_of_class(d, k).any() for d in table.dtypes)]
        macs = [term.name for d in table.dtypes for term in (mac_term(d), *(mac_term(d, k) for k in classes))]
    elif by_kernel_class:
        macs = [
            mac_term(d, k).name for d in table.dtypes for k in KERNEL_CLASSES if bool(table.macs_of_class(d, k).any())
        ]
    else:
        macs = [mac_term(d).name for d in table.dtypes]
    return physical_from_names([*macs, *_FIXED, *optional])
