"""Exact counts of any PyTorch model without running it: MACs, other operations, bytes, launches, in both directions.

Names are loaded when first used, because they need torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from energybench.counting.call import OpCall as OpCall
    from energybench.counting.call import TensorSpec as TensorSpec
    from energybench.counting.conventions import CONVENTIONS as CONVENTIONS
    from energybench.counting.conventions import Ops as Ops
    from energybench.counting.cost import Cost as Cost
    from energybench.counting.count import count_model as count_model
    from energybench.counting.formulas.registry import register_formula as register_formula
    from energybench.counting.optimizer_step import count_optimizer_step as count_optimizer_step
    from energybench.counting.parameters import achieved_flop_per_s as achieved_flop_per_s
    from energybench.counting.parameters import parameter_distance as parameter_distance
    from energybench.counting.parameters import parameter_norms as parameter_norms
    from energybench.counting.policies import POLICIES as POLICIES
    from energybench.counting.target import load_target as load_target
    from energybench.counting.target import parse_input as parse_input

_PUBLIC: Final = {
    "CONVENTIONS": "conventions",
    "Cost": "cost",
    "OpCall": "call",
    "Ops": "conventions",
    "POLICIES": "policies",
    "TensorSpec": "call",
    "achieved_flop_per_s": "parameters",
    "count_model": "count",
    "count_optimizer_step": "optimizer_step",
    "load_target": "target",
    "parameter_distance": "parameters",
    "parameter_norms": "parameters",
    "parse_input": "target",
    "register_formula": "formulas.registry",
}

__all__ = [
    "CONVENTIONS",
    "POLICIES",
    "Cost",
    "OpCall",
    "Ops",
    "TensorSpec",
    "achieved_flop_per_s",
    "count_model",
    "count_optimizer_step",
    "load_target",
    "parameter_distance",
    "parameter_norms",
    "parse_input",
    "register_formula",
]


def __getattr__(name: str) -> Any:
    module = _PUBLIC.get(name)
    if module is None:
        raise AttributeError(f"module 'energybench.counting' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"energybench.counting.{module}"), name)
    globals()[name] = value
    return value
