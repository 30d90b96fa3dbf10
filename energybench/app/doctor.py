"""What this machine can do: meters, compiled kernels, torch; each line observed and, where it fails, the fix."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, cast

from energybench.errors import EnergybenchError
from energybench.meters import discover_meters
from energybench.meters.base import MeterInfo

State = Literal["ok", "limited", "missing"]

_BUILT: Final = "built"
_DEVICE: Final = "built, and a device"
#: A choice: a machine half of which works for others measures them too.
_MOST_LOAD: Final = 0.5


@dataclass(frozen=True, slots=True)
class Finding:
    """One line: a part of the set-up, what was observed, and what mends it, empty when nothing is amiss.

    `limit`  what it is held against: what must be there for it to count as ok
    """

    part: str
    state: State
    observed: str
    remedy: str = ""
    limit: str = ""


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
                {"part": f.part, "state": f.state, "observed": f.observed, "limit": f.limit, "remedy": f.remedy}
                for f in self.findings
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


#: What each meter must have to measure, by the beginning of its name.
_METER_LIMITS: Final = {
    "rapl:perf": "a package counter that moves; paranoid ≤ 0 or CAP_PERFMON",
    "rapl:powercap": "a package zone, energy_uj readable",
    "rapl:msr": "/dev/cpu/*/msr readable",
    "nvml": "driver, Volta or later, whole GPU",
    "amdsmi": "counter within 2× of power",
    "pyrapl": "the package, one die a socket",
    "modelled": "a datasheet power; never measures",
}


def _meter_finding(info: MeterInfo) -> Finding:
    state: State = "missing" if not info.available else "ok" if info.kind == "measured" else "limited"
    limit = next((text for name, text in _METER_LIMITS.items() if info.name.startswith(name)), "a sensor")
    return Finding(f"meter {info.name}", state, info.observed, info.remedy, limit)


def _meter_findings(found: Sequence[MeterInfo]) -> list[Finding]:
    """A line for each meter, and one for all those that most machines lack and this one does."""
    findings = [_meter_finding(info) for info in found if not info.optional]
    absent = ", ".join(info.name for info in found if info.optional)
    if absent:
        text = f"none of {absent} here"
        findings.append(Finding("other meters", "missing", text, "energybench doctor --json: why", "none is needed"))
    return findings


def _native_cpu() -> Finding:
    from energybench import kernels

    try:
        description = kernels.describe_native("cpu")
    except EnergybenchError as error:
        return Finding("kernels cpu", "missing", str(error), "pip install --force-reinstall energybench", _BUILT)
    return Finding("kernels cpu", "ok", description, limit=_BUILT)


def _native_cuda() -> Finding:
    from energybench import kernels

    try:
        description = kernels.describe_native("cuda")
    except EnergybenchError as error:
        return Finding(
            "kernels cuda", "missing", str(error), "on a machine with nvcc: ENERGYBENCH_CUDA=on pip install .", _DEVICE
        )
    state: State = "limited" if "no device" in description else "ok"
    return Finding("kernels cuda", state, description, limit=_DEVICE)


def _torch() -> Finding:
    try:
        import torch
    except ImportError as error:
        return Finding("torch", "missing", f"cannot be imported ({error})", "pip install 'torch>=2.6'", "2.6 or newer")
    cuda = f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPU build"
    observed = f"{torch.__version__}, {cuda}, {torch.get_num_threads()} threads"
    return Finding("torch", "ok", observed, limit="2.6 or newer")


def _hardware_counters() -> Finding:
    from energybench.meters.hardware_counters import describe

    available, observed, remedy = describe()
    state: State = "ok" if available else "missing"
    return Finding("hardware counters", state, observed, remedy, "optional; no virtual CPU")


def _energy_filter() -> Finding:
    from energybench.meters.energy_filter import energy_filter

    remedy = "disable SGX (and energy filtering) in the firmware, or use windows of many seconds"
    state, observed = {
        "on": ("limited", "the CPU adds noise to its energy counters (bit 0 of MSR 0xBC)"),
        "sgx": ("limited", "SGX is enabled, so the CPU adds noise to its energy counters"),
        "off": ("ok", "none"),
        "unknown": ("ok", "this CPU does not say what it is"),
    }[energy_filter()]
    return Finding("RAPL filter", cast("State", state), observed, remedy if state == "limited" else "", "none")


def _load() -> Finding:
    cores = os.cpu_count() or 1
    load = os.getloadavg()[0]
    observed, limit = f"load average {load:.1f} on {cores} cores", f"at most {_MOST_LOAD * cores:g}"
    if load > _MOST_LOAD * cores:
        return Finding("other load", "limited", observed, "stop other work first", limit)
    return Finding("other load", "ok", observed, limit=limit)


def examine(meters: Sequence[MeterInfo] | None = None) -> Diagnosis:
    """Look at everything a calibration needs. `meters` stands in for discovery in tests."""
    found = tuple(discover_meters() if meters is None else meters)
    findings = (
        *_meter_findings(found),
        _native_cpu(),
        _native_cuda(),
        _torch(),
        _energy_filter(),
        _hardware_counters(),
        _load(),
    )
    return Diagnosis(findings, found)
