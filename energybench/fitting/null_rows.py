"""`NullRows`: what null models are fitted to, which is more than the equation where a power limit holds rows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from energybench.model.features import BoolArray
from energybench.model.null_table import NullTable
from energybench.model.observations import Observations


@dataclass(frozen=True)
class NullRows:
    """Rows of a fit, and those that left it because a power limit holds them.

    A null model knows nothing of a limit: it takes what was measured. Without the rows that draw most it would be
    another model on such a device than on one that tells its clock.

    `rows`    all of them, n
    `fitted`  which are the equation's too, in the same order, shape (n,)
    """

    rows: Observations
    fitted: BoolArray

    @cached_property
    def _table(self) -> NullTable:
        return NullTable.of(self.rows.table, self.rows.target)

    def fit(self, left_out: BoolArray | None = None) -> dict[str, float | None]:
        """Coefficients of the null models from the rows with work, some (n,) left out."""
        train = ~self.rows.idle if left_out is None else ~(self.rows.idle | left_out)
        return self._table.take(train).fit(self.rows.energy_j[train])
