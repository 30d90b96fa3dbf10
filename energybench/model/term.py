"""`Term`: one coefficient of an equation and the feature it multiplies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from energybench.model.features import FeatureTable, FloatArray

#: What a term pays for; estimates are split by it, and a verdict's advice follows from it.
Role: TypeAlias = Literal["compute", "memory", "other_flops", "launch", "static"]


@dataclass(frozen=True)
class Term:
    """One additive term, coefficient · feature.

    `name`         name of the coefficient, with its unit as suffix in `physical`
    `unit`         unit of the coefficient
    `latex`        the term, coefficient included
    `source`       [D-number] or paper
    `feature`      FeatureTable -> (n,) values, in the unit that makes coefficient · feature joules
    `columns`      the counts it reads; MACs beside total FLOPs are refused by these
    `nonneg`       physics forbids a negative coefficient
    `workloads`    what to run so that the coefficient becomes known, where its role does not say it well enough
    `additive`     the feature of a model is the sum of the features of its parts (not so for a product of counts)
    `needs`        columns that not every record carries; a fit refuses the term where a row with work lacks one
    `bound`        what the feature takes where an estimate lacks one of them, in words
    """

    name: str
    unit: str
    description: str
    latex: str
    source: str
    role: Role
    feature: Callable[[FeatureTable], FloatArray]
    columns: tuple[str, ...]
    nonneg: bool = True
    additive: bool = True
    workloads: str = ""
    needs: tuple[str, ...] = ()
    bound: str = ""
