"""`StepEstimate`: what a training loop should have taken after so many calls, updates and seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from energybench.estimation import estimate_counts
from energybench.profiles import DeviceProfile
from energybench.records.model_counts import ModelCounts
from energybench.records.vocabulary import Kind
from energybench.units import Joule, Second, Watt


@dataclass(frozen=True)
class StepEstimate:
    """Energy of a training loop, linear in what it did, so that a running total costs three multiplications.

    `call_j`    forward and backward of one batch, power over time apart
    `update_j`  one step of the optimiser, likewise; None where its kind is not counted
    `static_w`  the power that is drawn as long as the loop runs
    """

    call_j: Joule
    update_j: Joule | None
    static_w: Watt
    kind: Kind
    profile: str
    notes: tuple[str, ...] = ()

    def energy_j(self, calls: int, updates: int, time_s: Second) -> Joule:
        """After so many batches and optimiser steps in this time."""
        return calls * self.call_j + updates * (self.update_j or 0.0) + self.static_w * time_s

    @classmethod
    def of(
        cls,
        model: Any,
        profile: DeviceProfile,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        *,
        optimizer: Any = None,
        backward: bool = True,
    ) -> StepEstimate:
        """Count one call of `model`, and the step of a torch optimiser or of one by name.

        Raises ProfileMismatch, CountingError, UsageError, as `energybench.estimate`.
        """
        from energybench.counting import count_model, count_optimizer_step

        call_j, static_w, notes = _dynamic(count_model(model, *args, backward=backward, **kwargs), profile)
        name = optimizer_name(optimizer)
        update_j = None
        if name is not None:
            update_j = _dynamic(count_optimizer_step(model, name), profile)[0]
        elif optimizer is not None:
            notes += (f"the step of {type(optimizer).__name__} is not counted",)
        return cls(call_j, update_j, static_w, profile.kind, profile.name, notes)


def _dynamic(counts: ModelCounts, profile: DeviceProfile) -> tuple[Joule, Watt, tuple[str, ...]]:
    """Energy apart from power over time, that power, and the estimate's notes."""
    at_one_second = estimate_counts(counts, profile, time_s=1.0)
    static_w = sum(
        energy_j
        for term, energy_j in zip(profile.equation.terms, at_one_second.by_term().values(), strict=True)
        if "time_s" in term.columns
    )
    return at_one_second.energy_j - static_w, static_w, at_one_second.notes


def optimizer_name(optimizer: Any) -> str | None:
    """The counted optimiser that a torch optimiser is: ``sgd``, ``momentum`` or ``adam``; None for any other.

    AdamW decays weights by one multiply-add more a parameter, which is far below its traffic and left out.
    """
    if optimizer is None or isinstance(optimizer, str):
        return optimizer
    # a wrapper (accelerate's, a scheduler's) holds the optimiser under this name
    inner = getattr(optimizer, "optimizer", optimizer)
    name = type(inner).__name__.lower()
    if name == "sgd":
        groups = getattr(inner, "param_groups", ())
        return "momentum" if any(group.get("momentum") for group in groups) else "sgd"
    return "adam" if name in ("adam", "adamw") else None
