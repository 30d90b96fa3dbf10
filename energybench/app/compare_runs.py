"""Join the records of two runs to their paired difference."""

from __future__ import annotations

from pathlib import Path

from energybench.estimation.run_difference import RunDifference, domain_change, run_difference
from energybench.records.frame import records_files, records_frame
from energybench.records.run_directory import RunDirectory, read_records
from energybench.records.run_record import RunRecord
from energybench.units import Joule


def compare_run_files(before: Path, after: Path) -> RunDifference:
    """Load both runs and compare them, by workload and by meter domain. Raises RecordError."""
    files = [records_files([run])[0] for run in (before, after)]
    runs = [read_records(file) for file in files]
    difference = run_difference(records_frame(runs[0]), records_frame(runs[1]))
    domains = [_domain_energies(run, file.parent) for run, file in zip(runs, files, strict=True)]
    return difference.with_domains(
        {name: domain_change(domains[0][name], domains[1][name]) for name in domains[0] if name in domains[1]}
    )


def _domain_energies(records: list[RunRecord], path: Path) -> dict[str, dict[str, list[Joule]]]:
    """Domain -> workload -> energies per call of the valid windows that did work; empty without the run's readings.

    A domain's energy is that of the whole window between two counter updates, a record's total that of the calls alone;
    so the domain is given the calls' share of the total, else the waiting at the edges would count as a difference.
    """
    directory = RunDirectory(path)
    if not directory.readings_path.exists():
        return {}
    readings = directory.read_readings()
    result: dict[str, dict[str, list[Joule]]] = {}
    for record in records:
        if not record.valid or record.split == "idle" or record.row_id not in readings:
            continue
        summed = [d.name for d in readings[record.row_id].domains if d.parent is None and d.in_total]
        window_j = sum(record.domains[name].energy_j for name in summed if name in record.domains)
        if window_j > 0:
            for name, value in record.domains.items():
                energy_j = value.energy_j * record.energy_j / window_j
                result.setdefault(name, {}).setdefault(record.workload, []).append(energy_j)
    return result
