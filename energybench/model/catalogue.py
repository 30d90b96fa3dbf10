"""All equations by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from energybench.errors import FitError
from energybench.model.document import CNN, CNN_LITERAL, CNN_TOTAL_FLOPS, RNN, TRANSFORMER
from energybench.model.equation import Equation
from energybench.model.features import FeatureTable, FloatArray
from energybench.model.null_models import NULL_MODELS
from energybench.model.physical import physical_equation, physical_from_names
from energybench.model.term import Role, Term

DOCUMENT_EQUATIONS: Final[Mapping[str, Equation]] = MappingProxyType(
    {e.name: e for e in (CNN, CNN_LITERAL, CNN_TOTAL_FLOPS, RNN, TRANSFORMER)}
)
EQUATION_NAMES: Final = (*DOCUMENT_EQUATIONS, "physical", *NULL_MODELS)

_COLUMN_UNITS: Final[Mapping[str, tuple[str, str, Role]]] = MappingProxyType(
    {
        "macs": ("mac_j", "J/MAC", "compute"),
        "nominal_macs": ("nominal_mac_j", "J/MAC", "compute"),
        "other_flops": ("other_flop_j", "J/FLOP", "other_flops"),
        "flops": ("flop_j", "J/FLOP", "compute"),
        "accesses": ("access_j", "J/access", "memory"),
        "bytes": ("byte_j", "J/B", "memory"),
        "load_bytes": ("load_byte_j", "J/B", "memory"),
        "store_bytes": ("store_byte_j", "J/B", "memory"),
        "weight_load_bytes": ("weight_load_byte_j", "J/B", "memory"),
        "launches": ("launch_j", "J/launch", "launch"),
        "operators": ("operator_j", "J/operator", "launch"),
        "parameters": ("parameter_j", "J/parameter", "memory"),
        "time_s": ("static_power_w", "W", "static"),
    }
)


def equation_for(
    name: str, table: FeatureTable, *, by_kernel_class: bool = False, optional: Sequence[str] = ()
) -> Equation:
    """The named equation, with the terms that the table's element types need. Raises FitError on an unknown name."""
    if name in DOCUMENT_EQUATIONS:
        return DOCUMENT_EQUATIONS[name]
    if name == "physical":
        return physical_equation(table, by_kernel_class=by_kernel_class, optional=optional)
    if name in NULL_MODELS:
        if NULL_MODELS[name].fixed is not None:
            raise FitError(f"the {name} model has nothing to fit; it stands beside every fit's validation already")
        return NULL_MODELS[name].equation()
    raise FitError(f"no equation is called {name!r}; use one of {', '.join(EQUATION_NAMES)}")


def equation_of_columns(columns: Iterable[str]) -> Equation:
    """An equation with one coefficient per count column, for trying out one's own.

    Raises FitError on an unknown column and on MACs beside total FLOPs.
    """
    terms: list[Term] = []
    for column in columns:
        if column not in _COLUMN_UNITS:
            raise FitError(f"no count is called {column!r}; use some of {', '.join(_COLUMN_UNITS)}")
        name, unit, role = _COLUMN_UNITS[column]
        terms.append(
            Term(
                name,
                unit,
                column,
                name,
                "chosen columns",
                role,
                _reader(column),
                (column,),
                additive=column != "parameters",
            )
        )
    if not terms:
        raise FitError("an equation needs at least one column; name some of " + ", ".join(_COLUMN_UNITS))
    return Equation(
        "columns:" + "+".join(t.columns[0] for t in terms),
        tuple(terms),
        "E = " + " + ".join(f"{t.name} {t.columns[0]}" for t in terms),
        "chosen columns",
        "One coefficient per chosen count.",
    )


def _reader(column: str) -> Callable[[FeatureTable], FloatArray]:
    return lambda table: table.column(column)


def equation_from_terms(name: str, term_names: Iterable[str]) -> Equation:
    """The equation that a profile names, with the profile's coefficients. Raises FitError where they do not belong."""
    names = tuple(term_names)
    if name == "physical":
        return physical_from_names(names)
    if name in DOCUMENT_EQUATIONS:
        equation = DOCUMENT_EQUATIONS[name]
    elif name in NULL_MODELS and NULL_MODELS[name].fixed is None:
        equation = NULL_MODELS[name].equation()
    elif name.startswith("columns:"):
        equation = equation_of_columns(name.removeprefix("columns:").split("+"))
    else:
        raise FitError(f"no equation is called {name!r}; use one of {', '.join(EQUATION_NAMES)}")
    if equation.names != names:
        raise FitError(
            f"equation {name} has the coefficients {', '.join(equation.names)}, not {', '.join(names)}; refit"
        )
    return equation
