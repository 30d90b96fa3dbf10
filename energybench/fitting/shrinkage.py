"""Coefficients of kernel classes drawn towards their element type's mean: a hierarchical fit as extra rows.

Each class's coefficient is taken as drawn about the mean of its element type. As rows of a least-squares problem that
is one row per class, (ε_class − ε_mean)·λ/ε = 0: with λ → ∞ all classes share one coefficient, with λ → 0 each stands
alone (ridge regression towards the mean; λ is the ratio of the rows' relative error to the classes' relative spread).
A class that no row had, and work whose class is not known, are priced at the mean.

Element types may share what is particular to a class: that a convolution costs 1.3 of the mean in float32 says
something about bfloat16, where fewer workloads were run. One more row for each class and pair of element types asks the
relative deviations to agree, (ε_dc − ε_d̄)/ε_d − (ε_d'c − ε_d̄')/ε_d' = 0, where ε_d is the element type's coefficient
without classes and ε_d̄ its mean in this fit. It weighs `ACROSS` times the row towards the mean, as it must to matter:
classes differ from their mean by more than element types differ in that.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import numpy as np

from energybench.model.features import BoolArray, FloatArray

#: What cross-validation chooses among; beyond 1 the classes are one, below 0.01 they are free.
STRENGTHS: Final = (1.0, 0.3, 0.1, 0.03, 0.01)

#: Weight of a row across element types over a row towards the mean: a deviation is then shared to 99 % (10² to 1).
ACROSS: Final = 10.0

_MEAN: Final = re.compile(r"mac_[a-z0-9]+_j")


@dataclass(frozen=True)
class Shrinkage:
    """Extra rows of the weighted problem, target 0.

    `rows`  (p, k): λ/ε in the class's column, −λ/ε in that of its mean; with `of(…, across=True)` also those that draw
            the classes of two element types together
    """

    rows: FloatArray

    @classmethod
    def of(
        cls, names: Sequence[str], means: Mapping[str, float], strength: float, *, across: bool = False
    ) -> Shrinkage:
        """Rows for the terms `names`; `means` holds each element type's coefficient without classes, in J/MAC."""
        rows: list[FloatArray] = []
        deviations: dict[str, list[FloatArray]] = {}
        for i, mean in enumerate(names):
            if not _MEAN.fullmatch(mean) or means.get(mean, 0.0) <= 0:
                continue
            stem = mean.removesuffix("j")
            for j, name in enumerate(names):
                if j != i and name.startswith(stem):
                    row = np.zeros(len(names))
                    row[j], row[i] = strength / means[mean], -strength / means[mean]
                    rows.append(row)
                    deviations.setdefault(name.removeprefix(stem), []).append(row)
        if across:
            for of_class in deviations.values():
                rows += [ACROSS * (one - other) for one, other in combinations(of_class, 2)]
        return cls(np.array(rows).reshape(len(rows), len(names)))

    def carried(self, present: BoolArray) -> BoolArray:
        """Columns (k,) that rows carry, or that hang on one that rows carry."""
        reached = present.copy()
        for _ in range(2):  # class to mean, mean to class
            for row in self.rows:
                ends = row != 0
                if (reached & ends).any():
                    reached |= ends
        return reached
