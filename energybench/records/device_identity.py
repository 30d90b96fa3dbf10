"""What makes two runs runs of one device in one state: names and settings that an environment records."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from energybench.records.environment import Environment

#: Facts of an environment that must agree, by what they are called in a message. The clock *policy* is what was set;
#: clocks and loads of the moment are left to differ. Power limits count as policy: they cap the clock.
CLOCK_POLICY_FACTS: Final[Mapping[str, str]] = {
    "gpu_power_limit_w": "power limit",
    "power_cap_w": "power limit of the device",
    "cpu_governor": "clock policy (governor)",
    "cpu_turbo": "clock policy (turbo)",
    "smt_active": "SMT",
}


def device_identity(environment: Environment | Mapping[str, Any]) -> dict[str, Any]:
    """Device name, UUID and clock policy by what a message calls them, from an environment or its mapping."""
    data = environment.to_dict() if isinstance(environment, Environment) else environment
    facts = data.get("facts") or {}
    return {
        "device name": data.get("device_name"),
        "device UUID": data.get("device_uuid"),
        **{name: facts.get(fact) for fact, name in CLOCK_POLICY_FACTS.items()},
    }


def differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[str]:
    """What two identities disagree on, as ``name (a / b)``; what only one of them knows is no disagreement."""
    return [
        f"{name} ({a[name]} / {b[name]})"
        for name in a
        if name in b and None not in (a[name], b[name]) and a[name] != b[name]
    ]
