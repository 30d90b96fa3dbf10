"""Where formulas are kept and looked up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from energybench.counting.call import OpCall
from energybench.counting.cost import Cost
from energybench.errors import UsageError

#: None: this one call has no count.
Formula: TypeAlias = Callable[[OpCall], Cost | None]

_FORMULAS: Final[dict[str, Formula]] = {}


def register_formula(*operators: str) -> Callable[[Formula], Formula]:
    """Give operators a formula: ``@register_formula("my::op")`` over a function from `OpCall` to `Cost`.

    A name without an overload holds for all overloads, in-place and ``out=`` forms. A later registration wins.
    Raises UsageError on a name without a namespace.
    """
    for name in operators:
        if "::" not in name:
            raise UsageError(f"operator name {name!r} has no namespace; write it as 'my::op'")

    def keep(formula: Formula) -> Formula:
        for name in operators:
            _FORMULAS[name] = formula
        return formula

    return keep


def find_formula(name: str, overload: str = "") -> Formula | None:
    """The formula of ``aten::add_`` overload ``Tensor``: the overload's own, the name's own, the functional form's."""
    base = name[:-1] if name.endswith("_") and not name.endswith("__") else name
    for key in (f"{name}.{overload}", name, f"{base}.{overload}", base):
        formula = _FORMULAS.get(key)
        if formula is not None:
            return formula
    return None


def registered_operators() -> tuple[str, ...]:
    """Names with a formula, sorted."""
    return tuple(sorted(_FORMULAS))
