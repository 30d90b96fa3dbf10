"""Values of operators summed by module path."""

from __future__ import annotations

from collections.abc import Sequence

from energybench.model.features import FloatArray


def module_sums(paths: Sequence[str], values: FloatArray, depth: int | None) -> dict[str, float]:
    """Sums of operators' values (n,) per dotted module path, each with its children; ``""`` is the whole model."""
    sums: dict[str, float] = {"": 0.0}
    for path, value in zip(paths, values, strict=True):
        parts = path.split(".") if path else []
        deepest = len(parts) if depth is None else min(depth, len(parts))
        for level in range(deepest + 1):
            name = ".".join(parts[:level])
            sums[name] = sums.get(name, 0.0) + float(value)
    return sums
