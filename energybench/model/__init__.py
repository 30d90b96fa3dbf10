"""Features and equations: what an energy is thought to be made of. Written once, used by fitting and by estimation."""

from energybench.model.catalogue import (
    DOCUMENT_EQUATIONS,
    EQUATION_NAMES,
    equation_for,
    equation_from_terms,
    equation_of_columns,
)
from energybench.model.equation import DesignMatrix, Equation
from energybench.model.features import FeatureTable, feature_row
from energybench.model.null_models import NULL_MODELS, NullModel
from energybench.model.physical import physical_equation
from energybench.model.term import Role, Term
from energybench.model.time_law import TimeLaw

__all__ = [
    "DOCUMENT_EQUATIONS",
    "EQUATION_NAMES",
    "NULL_MODELS",
    "DesignMatrix",
    "Equation",
    "FeatureTable",
    "NullModel",
    "Role",
    "Term",
    "TimeLaw",
    "equation_for",
    "equation_from_terms",
    "equation_of_columns",
    "feature_row",
    "physical_equation",
]
