"""What a person wants to see of profiles, as data: one of them, all of them, and what is doubtful about one."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from energybench.errors import ProfileError
from energybench.profiles.profile import DeviceProfile
from energybench.profiles.store import SUFFIX, find_profile, profile_directories, read_json
from energybench.units import format_si

#: MACs of wider types cost more on every device we know of; a profile that says otherwise deserves a look.
_MAC_ORDER: Final = ("mac_fp64_j", "mac_fp32_j", "mac_tf32_j", "mac_bf16_j", "mac_fp8e4m3_j")


@dataclass(frozen=True)
class ProfileListing:
    """One installed profile; `problem` says why it cannot be used, empty where it can."""

    name: str
    path: Path
    device: str
    kind: str
    equation: str
    created_utc: str
    problem: str = ""


def list_profiles() -> list[ProfileListing]:
    """Every profile that a name can reach, those that cannot be loaded with the reason; earlier directories win."""
    found: dict[str, ProfileListing] = {}
    for directory in profile_directories():
        for path in sorted(directory.glob("*" + SUFFIX)) if directory.is_dir() else ():
            if path.stem in found:
                continue
            try:
                p = DeviceProfile.load(path)
            except ProfileError as error:
                found[path.stem] = ProfileListing(path.stem, path, "", "", "", "", str(error))
            else:
                found[path.stem] = ProfileListing(path.stem, path, p.device, p.kind, p.equation_name, p.created_utc)
    return [found[name] for name in sorted(found)]


def show_profile(profile: DeviceProfile) -> dict[str, Any]:
    """`facts` as (label, text) pairs, `coefficients` as rows of text, `doubts` and `notes` as sentences."""
    headline = (profile.validation or {}).get("headline")
    facts = [
        ("name", profile.name),
        ("device", profile.device),
        ("energy", f"{profile.kind}, {profile.target}"),
        ("meter", _meter_text(profile)),
        ("equation", profile.equation_name),
        ("traffic", profile.traffic_basis),
        ("power limit", "none seen" if profile.held_power_w is None else f"holds work at {profile.held_power_w:.4g} W"),
        ("residual learner", "none" if profile.residual is None else f"{len(profile.residual.weights)} workloads"),
        ("fitted to", f"{profile.diagnostics['nobs']} rows of {profile.diagnostics['n_workloads']} workloads"),
        ("error", f"{headline['name']}: median {headline['median_ape']:.1%}" if headline else "no headline"),
        ("element types", ", ".join(profile.domain.dtypes) or "none"),
        ("created", f"{profile.created_utc} by energybench {profile.energybench_version}"),
        ("records", ", ".join(f"{r.name} {r.sha256[:12]}" for r in profile.records) or "not recorded"),
    ]
    coefficients = [
        {
            "name": name,
            "value": format_si(c.value, c.unit),
            "bse": "–" if c.bse is None else format_si(c.bse, c.unit),
            "interval": _interval_text(c.low, c.high, c.unit),
            "verdict": c.verdict,
            "advice": c.advice,
        }
        for name, c in profile.coefficients.items()
    ]
    return {"facts": facts, "coefficients": coefficients, "doubts": doubts(profile), "notes": list(profile.notes)}


def validate_profile(path_or_name: Path | str) -> list[str]:
    """What is doubtful about a profile; empty where nothing is. Raises ProfileError where it does not load."""
    path = find_profile(path_or_name)
    return doubts(DeviceProfile.from_dict(read_json(path), origin=str(path)))


def doubts(profile: DeviceProfile) -> list[str]:
    """Sentences on what physics or statistics make doubtful."""
    result = []
    if profile.kind != "measured":
        result.append(f"its energy is {profile.kind}, not measured")
    result += [f"{name} is {c.verdict}" for name, c in profile.coefficients.items() if c.verdict != "identified"]
    misfit = profile.diagnostics["misfit"]
    if misfit is not None and misfit["present"]:
        result.append(f"model misfit: residuals are {misfit['ratio']:.1f} times what the measurement explains")
    macs = [(name, profile.coefficients[name]) for name in _MAC_ORDER if name in profile.coefficients]
    for (wide, a), (narrow, b) in pairwise(macs):
        if b.low is not None and a.high is not None and b.low > a.high:
            result.append(f"{narrow} is above {wide}, though the narrower type should cost less")
    if profile.time_law is None:
        result.append("it has no time law: an estimate needs a measured time")
    if profile.meter_gain_rel is None:
        result.append("the meter's gain is unknown: absolute joules carry an unknown scale error")
    return result


def _meter_text(profile: DeviceProfile) -> str:
    gain = profile.meter_gain_rel
    return profile.meter + ("" if gain is None else f", gain ±{gain:.1%}")


def _interval_text(low: float | None, high: float | None, unit: str) -> str:
    if low is None or high is None:
        return "–"
    return f"{format_si(low, unit)} … {format_si(high, unit)}"
