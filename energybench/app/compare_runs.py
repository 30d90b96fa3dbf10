"""Join the records of two runs to their paired difference."""

from __future__ import annotations

from pathlib import Path

from energybench.estimation.run_difference import RunDifference, run_difference
from energybench.records.frame import load_records


def compare_run_files(before: Path, after: Path) -> RunDifference:
    """Load both runs and compare them. Raises RecordError."""
    return run_difference(load_records(before), load_records(after))
