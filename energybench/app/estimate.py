"""`estimate`: count a model here, price its counts with a profile made anywhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from energybench.estimation import EnergyEstimate, estimate_counts
from energybench.profiles import DeviceProfile
from energybench.records.model_counts import ModelCounts
from energybench.records.op_counts import OpCounts
from energybench.units import Second

if TYPE_CHECKING:
    import torch


def estimate(
    model_or_counts: torch.nn.Module | ModelCounts | OpCounts,
    profile: DeviceProfile | str | Path,
    *example_inputs: Any,
    time_s: Second | None = None,
    backward: bool = False,
    **example_kwargs: Any,
) -> EnergyEstimate:
    """Estimate the energy of one call.

    `model_or_counts` is a torch module, counted on the meta device with `example_inputs`, or counts made before.
    `time_s` is the measured time of one call; it is predicted when left out, and the estimate says which.

    Raises ProfileMismatch when the profile has no coefficient for a dtype of the model, CountingError when the model
    cannot be counted, ProfileError when the profile is absent or damaged.
    """
    if not isinstance(profile, DeviceProfile):
        profile = DeviceProfile.load(profile)
    if isinstance(model_or_counts, ModelCounts | OpCounts):
        return estimate_counts(model_or_counts, profile, time_s=time_s)
    from energybench.counting import count_model

    counts = count_model(model_or_counts, *example_inputs, backward=backward, **example_kwargs)
    return estimate_counts(counts, profile, time_s=time_s)
