"""What the text that a record keeps of its inputs' distribution says about zeros.

Forms: ``none`` (no inputs), ``normal(0,1)``, ``zeros``, and any of them with a share of the elements set to zero:
``normal(0,1) zeros=0.5``. Values alone move the energy of a large matrix product by 40–67 % at equal counts
(arXiv 2212.08805, 2409.18324), zeros most of all.
"""

from __future__ import annotations

import re
from typing import Final

_SHARE: Final = re.compile(r"\bzeros(?:=(?P<share>[0-9.]+))?\s*$")


def zero_share(distribution: str | None) -> float:
    """Share of zeros among the inputs, 0…1. A text that says nothing of zeros has none."""
    found = _SHARE.search(distribution or "")
    if found is None:
        return 0.0
    return 1.0 if found["share"] is None else min(float(found["share"]), 1.0)
