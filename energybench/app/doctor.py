"""What this machine can do: meters, compiled kernels, torch; each line observed and, where it fails, the fix."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from energybench.errors import EnergybenchError
from energybench.meters import discover_meters
from energybench.meters.base import MeterInfo

State = Literal["ok", "limited", "missing"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: a part of the set-up, what was observed, and what mends it, empty when nothing is amiss."""

    part: str
    state: State
    observed: str
    remedy: str = ""


@dataclass(frozen=True)
class Diagnosis:
    """All findings, and whether any meter here measures energy."""

    findings: tuple[Finding, ...]
    meters: tuple[MeterInfo, ...]

    @property
    def measures(self) -> bool:
        """True when at least one available meter reads real hardware."""
        return any(m.available and m.kind == "measured" for m in self.meters)

    @property
    def verdict(self) -> str:
        """One sentence."""
        working = [m.name for m in self.meters if m.available and m.kind == "measured"]
        if working:
            return f"This machine measures energy with: {', '.join(working)}."
        return (
            "No meter on this machine measures energy. Follow a fix above, or check the pipeline without energy: "
            "energybench quickstart"
        )

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready mapping."""
        return {
            "measures": self.measures,
            "verdict": self.verdict,
            "findings": [
                {"part": f.part, "state": f.state, "observed": f.observed, "remedy": f.remedy} for f in self.findings
            ],
            "meters": [
                {
                    "name": m.name,
                    "available": m.available,
                    "kind": m.kind,
                    "observed": m.observed,
                    "remedy": m.remedy,
                    "domains": [d.to_dict() for d in m.domains],
                }
                for m in self.meters
            ],
        }


def _meter_finding(info: MeterInfo) -> Finding:
    state: State = "missing" if not info.available else "ok" if info.kind == "measured" else "limited"
    return Finding(f"meter {info.name}", state, info.observed, info.remedy)


def _meter_findings(found: Sequence[MeterInfo]) -> list[Finding]:
    """A line for each meter, and one for all those that most machines lack and this one does."""
    findings = [_meter_finding(info) for info in found if not info.optional]
    absent = ", ".join(info.name for info in found if info.optional)
    if absent:
        findings.append(Finding("other meters", "missing", f"none of {absent} here", "energybench doctor --json: why"))
    return findings


def _native_cpu() -> Finding:
    from energybench import kernels

    try:
        description = kernels.describe_native("cpu")
    except EnergybenchError as error:
        return Finding("kernels cpu", "missing", str(error), "pip install --force-reinstall energybench")
    return Finding("kernels cpu", "ok", description)


def _native_cuda() -> Finding:
    from energybench import kernels

    try:
        description = kernels.describe_native("cuda")
    except EnergybenchError as error:
        return Finding(
            "kernels cuda", "missing", str(error), "on a machine with nvcc: ENERGYBENCH_CUDA=on pip install ."
        )
    state: State = "limited" if "no device" in description else "ok"
    return Finding("kernels cuda", state, description)


def _torch() -> Finding:
    try:
        import torch
    except ImportError as error:
        return Finding("torch", "missing", f"cannot be imported ({error})", "pip install 'torch>=2.6'")
    cuda = f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPU build"
    return Finding("torch", "ok", f"{torch.__version__}, {cuda}, {torch.get_num_threads()} threads")


def _hardware_counters() -> Finding:
    from energybench.meters.hardware_counters import describe

    available, observed, remedy = describe()
    return Finding("hardware counters", "ok" if available else "missing", observed, remedy)


def _load() -> Finding:
    cores = os.cpu_count() or 1
    load = os.getloadavg()[0]
    if load > 0.5 * cores:
        return Finding("other load", "limited", f"load average {load:.1f} on {cores} cores", "stop other work first")
    return Finding("other load", "ok", f"load average {load:.1f} on {cores} cores")


def examine(meters: Sequence[MeterInfo] | None = None) -> Diagnosis:
    """Look at everything a calibration needs. `meters` stands in for discovery in tests."""
    found = tuple(discover_meters() if meters is None else meters)
    findings = (*_meter_findings(found), _native_cpu(), _native_cuda(), _torch(), _hardware_counters(), _load())
    return Diagnosis(findings, found)
