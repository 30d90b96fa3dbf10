"""Where a page's numbers come from: the machine, the meter, the versions, the files behind them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from energybench.records.environment import Environment
    from energybench.report.data import ReportData

#: Entries of ``run.json`` that come first, with their names on the page.
_MANIFEST: Final = {
    "design": "Design",
    "seed": "Seed",
    "status": "Status",
    "started_utc": "Started (UTC)",
    "ended_utc": "Ended (UTC)",
    "budget_s": "Budget [s]",
}


@dataclass(frozen=True)
class Fact:
    """A name and what is known under it."""

    name: str
    value: str | int | float | bool

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready mapping."""
        return {"name": self.name, "value": self.value}


@dataclass(frozen=True)
class MeterFact:
    """One characteristic of the meter, `value` None where it was not found."""

    name: str
    value: float | None
    unit: str

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready mapping."""
        return {"name": self.name, "value": self.value, "unit": self.unit}


def used_environments(data: ReportData) -> dict[str, Environment]:
    """Environments that the records refer to, in the order of their first record."""
    hashes = dict.fromkeys(str(h) for h in data.records["environment_sha256"])
    return {h: data.environments[h] for h in hashes if h in data.environments}


def meter_facts(environment: Environment) -> list[MeterFact]:
    """What characterising the meter found."""
    found = environment.characteristics
    if found is None:
        return []
    return [
        MeterFact("Update period", found.update_period_s, "s"),
        MeterFact("Resolution", found.resolution_j, "J"),
        MeterFact("Read latency, median", found.read_latency_p50_s, "s"),
        MeterFact("Read latency, 99th percentile", found.read_latency_p99_s, "s"),
        MeterFact("Idle power", found.idle_power_w, "W"),
        MeterFact("Idle power, standard deviation", found.idle_power_stdev_w, "W"),
    ]


def provenance(data: ReportData) -> list[Fact]:
    """Kind, device, meter, design, seed, versions, commit, hashes: everything needed to find or repeat the run."""
    frame = data.records
    facts = [Fact("Kind of energy", data.kind)]
    for name, column in (("Device", "device"), ("Meter", "meter"), ("Run", "run_id")):
        facts.append(Fact(name, ", ".join(dict.fromkeys(str(v) for v in frame[column]))))
    facts.append(Fact("Traffic basis", ", ".join(dict.fromkeys(str(v) for v in frame["traffic_basis"]))))
    facts.append(Fact("Equation", f"{data.fit['equation']}, target {data.fit.get('target', 'gross')}"))
    for key, name in _MANIFEST.items():
        if _plain(data.manifest.get(key)):
            facts.append(Fact(name, data.manifest[key]))
    for sha256, environment in used_environments(data).items():
        facts += _environment_facts(sha256, environment)
    facts += [Fact(f"SHA-256 of {source['name']}", str(source["sha256"])) for source in data.profile.get("records", ())]
    for key, name in (("energybench_version", "Fitted with energybench"), ("created_utc", "Fitted (UTC)")):
        if _plain(data.profile.get(key)):
            facts.append(Fact(name, data.profile[key]))
    if data.created_utc is not None:
        facts.append(Fact("Report made (UTC)", data.created_utc))
    return facts


def _environment_facts(sha256: str, environment: Environment) -> list[Fact]:
    facts = [Fact("Device name", environment.device_name)]
    if environment.device_uuid is not None:
        facts.append(Fact("Device UUID", environment.device_uuid))
    facts += [Fact(name.replace("_", " "), value) for name, value in environment.facts.items() if value is not None]
    facts += [Fact(f"Version of {name}", version) for name, version in environment.versions.items()]
    if environment.git_commit is not None:
        facts.append(Fact("Git commit", environment.git_commit))
    facts.append(Fact("SHA-256 of the environment", sha256))
    return facts


def _plain(value: object) -> bool:
    return isinstance(value, str | int | float | bool)
