"""`ChosenEquation`: which terms, kernel classes and power limit the records ask for, and the rows that remain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from energybench.fitting.held_power import held_by_limit
from energybench.fitting.kernel_classes import choose_kernel_classes
from energybench.fitting.optional_terms import ChosenTerms, needed_terms, refuse_untold
from energybench.fitting.shrinkage import Shrinkage
from energybench.model.catalogue import equation_for, equation_of_columns
from energybench.model.equation import Equation
from energybench.model.features import BoolArray
from energybench.model.observations import Observations
from energybench.model.physical import CACHE_SAVING
from energybench.units import Watt


@dataclass(frozen=True)
class ChosenEquation:
    """The equation that is fitted, and to what.

    `shrinkage`     how kernel classes are drawn to their mean; None where they are not told apart by "auto"
    `terms`         its optional terms, and those that were not kept
    `held_power_w`  power limit that no prediction exceeds, None where no rows show one
    `given`         rows (n,) that durations, the domain and null models see
    `limited`       which of them the limit holds, shape (n,)
    `rows`          the others, which the equation is fitted to
    """

    equation: Equation
    shrinkage: Shrinkage | None
    terms: ChosenTerms
    held_power_w: Watt | None
    given: Observations
    limited: BoolArray
    rows: Observations


def choose_equation(
    given: Observations,
    heldout: Observations,
    equation: str | Equation | Sequence[str],
    *,
    by_kernel_class: bool | Literal["auto"],
    optional: Sequence[str] | Literal["auto"],
) -> ChosenEquation:
    """Choose what is left to the records; what is asked for by name is taken as it is.

    Args:
        given: the rows to fit.
        heldout: rows that enter no fit, whose networks may object to a term, a limit or classes.
        equation: as in `fit_records`; only of `physical` is anything chosen.
        by_kernel_class: as in `fit_records`.
        optional: as in `fit_records`.

    Raises:
        FitError: a term that was asked for needs what the records do not carry, or an equation that is unknown.
    """
    rows, limited = given, np.zeros(len(given), dtype=np.bool_)
    terms = ChosenTerms(() if optional == "auto" else tuple(optional))
    held_power_w: Watt | None = None
    by_class = by_kernel_class is True
    if optional == "auto" and equation == "physical":
        terms = needed_terms(rows, heldout, by_kernel_class=by_class)
        limit = held_by_limit(rows, heldout, terms=terms.kept, by_kernel_class=by_class)
        if limit is not None:
            held_power_w, limited, terms = limit.power_w, limit.rows, limit.terms
            rows = _without(rows, limited, f"held at {held_power_w:.4g} W by the power limit")
    refuse_untold(terms.kept, rows)
    if CACHE_SAVING not in terms.kept:
        # their traffic costs something else than that of a hot row, and nothing here would price it
        limited = limited[~_cold(given)]
        rows, given = (_without(some, _cold(some), "cold caches") for some in (rows, given))
    shrinkage: Shrinkage | None = None
    chosen = _equation(equation, rows, by_kernel_class=by_class, optional=terms.kept)
    if equation == "physical" and by_kernel_class == "auto":
        split = choose_kernel_classes(rows, heldout, optional=terms.kept, held_power_w=held_power_w)
        if split is not None:
            chosen, shrinkage = split
    return ChosenEquation(chosen, shrinkage, terms, held_power_w, given, limited, rows)


def _equation(
    equation: str | Equation | Sequence[str], rows: Observations, *, by_kernel_class: bool, optional: Sequence[str]
) -> Equation:
    if isinstance(equation, Equation):
        return equation
    if isinstance(equation, str):
        return equation_for(equation, rows.table, by_kernel_class=by_kernel_class, optional=optional)
    return equation_of_columns(equation)


def _cold(rows: Observations) -> BoolArray:
    return rows.table.column("is_cold") > 0


def _without(rows: Observations, some: BoolArray, why: str) -> Observations:
    """The rows but for some, which `left_out` then names with their reason."""
    if not some.any():
        return rows
    return replace(rows.take(~some), left_out={**rows.left_out, why: int(some.sum())})
