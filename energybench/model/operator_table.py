"""The operators of one model as a feature table: what a time law reads, and what a model's energy is shared out by."""

from __future__ import annotations

from typing import Final

import numpy as np

from energybench.model.features import (
    COMPONENT_COLUMNS,
    MAC_COLUMNS,
    SHARE_COLUMNS,
    STATE_COLUMNS,
    FeatureTable,
    FloatArray,
)
from energybench.records.hardware_facts import HARDWARE_COLUMNS
from energybench.records.model_counts import ModelCounts

_SUMMED: Final = (
    "macs",
    "nominal_macs",
    "other_flops",
    "flops",
    "loads",
    "stores",
    "accesses",
    "load_bytes",
    "store_bytes",
    "weight_load_bytes",
)


def operator_table(counts: ModelCounts, whole: FeatureTable) -> FeatureTable:
    """One row per operator row of `counts`, with M, component shares and device state of the only row of `whole`."""
    n = len(counts.rows)
    names = (*_SUMMED, "bytes", "launches", "operators", "calls")
    numbers: dict[str, FloatArray] = {name: np.zeros(n) for name in names}
    for i, row in enumerate(counts.rows):
        numbers["launches"][i] = row.counts.launches
        numbers["operators"][i] = numbers["calls"][i] = row.calls
        for dtype, tallies in row.counts.by_dtype.items():
            for name in _SUMMED:
                numbers[name][i] += getattr(tallies, name)
            if tallies.macs:
                numbers.setdefault(MAC_COLUMNS[dtype], np.zeros(n))[i] = tallies.macs
        if row.component is not None:
            numbers.setdefault(COMPONENT_COLUMNS[row.component], np.zeros(n))[i] = numbers["flops"][i]
    numbers["bytes"] = numbers["load_bytes"] + numbers["store_bytes"]
    flops = float(whole.column("flops")[0])
    for component, name in SHARE_COLUMNS.items():
        part = float(whole.column(COMPONENT_COLUMNS[component])[0])
        numbers[name] = np.full(n, part / flops if flops else 0.0)
    numbers["parameters"] = np.full(n, float(whole.column("parameters")[0]))
    for name in (*STATE_COLUMNS, *HARDWARE_COLUMNS):
        if name in whole:
            numbers[name] = np.full(n, float(whole.column(name)[0]))
    return FeatureTable(numbers, np.array([row.kernel_class for row in counts.rows], dtype=object))
