"""The parts of a Transformer: their shares as counted and as priced, beside what the document claims [D17]."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any, Final

from energybench.records.vocabulary import COMPONENTS, Component
from energybench.units import Joule

#: Shares of "the computing resources" that the document claims [D17]. They add up to 210 %, so not all can hold.
CLAIMED_SHARES: Final[Mapping[str, float]] = MappingProxyType(
    {"self_attention": 0.70, "multi_head": 0.80, "feed_forward": 0.60}
)
COMPONENT_NAMES: Final[Mapping[str, str]] = MappingProxyType(
    {"self_attention": "self-attention", "multi_head": "multi-head attention", "feed_forward": "feed-forward"}
)


@dataclass(frozen=True, slots=True)
class ComponentShare:
    """One part of a Transformer. Shares are fractions of the whole model; None of an energy or work that is 0."""

    component: Component
    energy_j: Joule
    energy_share: float | None
    flops_share: float | None
    claimed_share: float

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready mapping."""
        return asdict(self)


def component_shares(
    energies_j: Mapping[Component, Joule],
    flops: Mapping[str, int],
    *,
    energy_j: Joule,
    total_flops: int,
) -> tuple[ComponentShare, ...]:
    """The parts that the model has, in the document's order; empty where it is no Transformer."""
    return tuple(
        ComponentShare(
            component,
            energies_j[component],
            energies_j[component] / energy_j if energy_j > 0 else None,
            flops.get(component, 0) / total_flops if total_flops else None,
            CLAIMED_SHARES[component],
        )
        for component in COMPONENTS
        if component in energies_j
    )
