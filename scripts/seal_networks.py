"""Write the list of sealed networks with the hash of each row. Run once, before any of them is measured.

Usage: python scripts/seal_networks.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import energybench.records.sealed as sealed
from energybench.records.run_directory import write_json_atomic
from energybench.workloads.workload import Workload
from energybench.workloads.zoo_rows import sealed_rows


def description(workload: Workload) -> dict[str, Any]:
    """What a sealed row is, as far as its energy depends on it."""
    return {
        "workload": workload.name,
        "network": workload.network,
        "shape": dict(workload.shape),
        "dtype": workload.dtype,
        "direction": workload.direction,
        "parameters": workload.parameters,
        "macs": workload.counts().macs,
    }


def sealed_list() -> dict[str, Any]:
    """The file's content. The hash over all is in the file, so that one number stands for the list."""
    workloads = {w.name: sealed.sealed_hash(description(w)) for w in sealed_rows()}
    return {"sha256": sealed.sealed_hash(workloads), "workloads": workloads}


if __name__ == "__main__":
    target = Path(sealed.__file__).with_name(sealed.SEALED_NAME)
    write_json_atomic(target, sealed_list())
    print(target, json.loads(target.read_text())["sha256"])
