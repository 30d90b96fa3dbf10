"""The formula table: one function per operator, from an `OpCall` to its `Cost`, grouped by loop nest.

Importing this package registers every formula.
"""

from energybench.counting.formulas import (
    attention,
    convolution,
    copying,
    gemm,
    indexing,
    losses,
    normalisation,
    optimisers,
    pointwise,
    pooling,
    quantised,
    recurrent,
    reduction,
    sparse,
    transforms,
)
from energybench.counting.formulas.registry import find_formula, register_formula, registered_operators

__all__ = [
    "attention",
    "convolution",
    "copying",
    "find_formula",
    "gemm",
    "indexing",
    "losses",
    "normalisation",
    "optimisers",
    "pointwise",
    "pooling",
    "quantised",
    "recurrent",
    "reduction",
    "register_formula",
    "registered_operators",
    "sparse",
    "transforms",
]
