"""Execution policies: what a count assumes about how operators reach the hardware."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from energybench.errors import UsageError


@dataclass(frozen=True)
class ExecutionPolicy:
    """What a policy assumes.

    `keeps_probabilities`  attention stores its softmax for the backward pass (math) or computes it again (flash)
    `fuses`                chains of elementwise operators keep what they pass on in registers
    `caches_weights`       parameters are loaded once a pass
    """

    name: str
    description: str
    keeps_probabilities: bool = False
    fuses: bool = False
    caches_weights: bool = False


_EAGER = ExecutionPolicy(
    "eager", "every operator is a kernel that reads its inputs and writes its outputs; attention as in flash"
)

POLICIES: Final[dict[str, ExecutionPolicy]] = {
    policy.name: policy
    for policy in (
        _EAGER,
        ExecutionPolicy(
            "math-attention",
            "as eager, attention keeps its probabilities for the backward pass",
            keeps_probabilities=True,
        ),
        ExecutionPolicy("fused", "chains of elementwise operators, norms and softmax are one kernel each", fuses=True),
        ExecutionPolicy(
            "cached-weights",
            "as eager, each parameter is loaded once a pass, however often it is used",
            caches_weights=True,
        ),
    )
}


def find_policy(name: str) -> ExecutionPolicy:
    """Raises UsageError on a name that is not in `POLICIES`."""
    try:
        return POLICIES[name]
    except KeyError:
        raise UsageError(f"policy {name!r} is unknown; use one of {', '.join(POLICIES)}") from None
