"""Which optional terms of `physical` the records need and the held-out networks do not object to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from energybench.errors import FitError
from energybench.fitting.development import network_error, networks_object
from energybench.fitting.least_squares import RelativeLeastSquares
from energybench.fitting.workload_squares import WorkloadSquares, improves, workload_squares
from energybench.model.observations import Observations
from energybench.model.physical import OPTIONAL_NAMES, missing_columns, physical_equation
from energybench.units import Watt


@dataclass(frozen=True, slots=True)
class ChosenTerms:
    """`kept` join the equation. `refused` the rows asked for, but the held-out networks came out worse with them.

    `untold`: terms that could not be tried -> columns that the records do not carry.
    """

    kept: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    untold: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def refuse_untold(names: Sequence[str], rows: Observations) -> None:
    """Raise FitError where a term that was asked for by name needs what the records do not carry."""
    for name in names:
        if name in OPTIONAL_NAMES and (absent := missing_columns(name, rows.table)):
            raise FitError(
                f"{name} needs {', '.join(absent)}, which not every record with work carries; "
                "leave the term out, or calibrate where the device tells it"
            )


def needed_terms(
    rows: Observations,
    held: Observations | None = None,
    *,
    by_kernel_class: bool = False,
    held_power_w: Watt | None = None,
) -> ChosenTerms:
    """The optional terms that earn their place, one after another, each beside those kept before it.

    The unit is the workload (each idle window by itself): an F-test on the squared means of their relative residuals,
    one coefficient more against one less. A term that its bound holds at 0 explains nothing and is not kept; nor is one
    that no row has, that needs what the records do not carry, or that the rows cannot tell from the terms there are
    (active power without idle windows). Where `held` names enough networks, a term that the rows ask for stays only if
    the networks are not predicted worse, none of them above the power limit `held_power_w`.
    """
    kept: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    without = _square(rows, kept, by_kernel_class=by_kernel_class)

    def missed_with(names: tuple[str, ...]) -> float | None:
        if held is None or len(held) == 0:
            return None
        equation = physical_equation(rows.table, by_kernel_class=by_kernel_class, optional=names)
        return network_error(rows, held, equation, held_power_w=held_power_w)

    error = missed_with(kept)
    untold = {name: absent for name in OPTIONAL_NAMES if (absent := missing_columns(name, rows.table))}
    for name in OPTIONAL_NAMES:
        if name in untold:
            continue
        with_it = _square(rows, (*kept, name), by_kernel_class=by_kernel_class)
        if with_it is None or without is None or not improves(without, with_it):
            continue
        new_error = missed_with((*kept, name))
        if networks_object(error, new_error):
            refused = (*refused, name)
        else:
            kept, without, error = (*kept, name), with_it, new_error
    return ChosenTerms(kept, refused, untold)


def _square(rows: Observations, names: tuple[str, ...], *, by_kernel_class: bool) -> WorkloadSquares | None:
    """What the fit with these terms leaves; None where the last of them is idle."""
    equation = physical_equation(rows.table, by_kernel_class=by_kernel_class, optional=names)
    X = equation.features(rows.table).X
    if names and not X[:, -1].any():
        return None
    estimator = RelativeLeastSquares(nonneg=equation.nonneg).fit(X, rows.energy_j)
    if names and estimator.at_bound_[-1]:
        return None
    return workload_squares(rows, estimator.predict(X), X.shape[1])
