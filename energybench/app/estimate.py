"""`estimate`: count a model here, price its counts with a profile made anywhere."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from energybench.estimation import Amounts, EnergyEstimate, estimate_counts
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
    optimizer: str | None = None,
    samples: int | None = None,
    tokens: int | None = None,
    samples_per_epoch: int | None = None,
    **example_kwargs: Any,
) -> EnergyEstimate:
    """Estimate the energy of one call, or of one training step.

    Args:
        model_or_counts: A torch module, counted on the meta device with the example inputs, or counts made before.
        profile: The device: a profile, its path, or its name.
        example_inputs: What the module is called with; only shapes and element types of floating tensors matter.
        time_s: Measured time of one call; predicted when left out, and the estimate says which.
        backward: Forward and backward.
        optimizer: ``sgd``, ``momentum`` or ``adam``: a whole training step, backward included.
        samples: The batch size, read off the inputs when left out.
        tokens: Of the whole batch, likewise.
        samples_per_epoch: Size of the data set, for the energy of an epoch.
        example_kwargs: Keyword arguments of the module.

    Raises:
        ProfileMismatch: The profile has no coefficient for an element type of the model.
        CountingError: The model cannot be counted.
        ProfileError: The profile is absent or damaged.
        UsageError: An unknown optimiser, inputs that the model refuses.
    """
    if not isinstance(profile, DeviceProfile):
        profile = DeviceProfile.load(profile)
    if isinstance(model_or_counts, ModelCounts | OpCounts):
        return estimate_counts(
            model_or_counts, profile, time_s=time_s, amounts=Amounts(samples, tokens, samples_per_epoch)
        )
    from energybench.app.amounts import amounts_of

    counts = count_call(model_or_counts, example_inputs, example_kwargs, backward=backward, optimizer=optimizer)
    amounts = amounts_of(
        model_or_counts,
        [example_inputs, example_kwargs],
        samples=samples,
        tokens=tokens,
        samples_per_epoch=samples_per_epoch,
    )
    return estimate_counts(counts, profile, time_s=time_s, amounts=amounts)


def count_call(
    model: Any, args: Any, kwargs: Any, *, backward: bool = False, optimizer: str | None = None
) -> ModelCounts:
    """Counts of one call, with the backward pass and the optimiser's step where they are asked for."""
    from energybench.counting import count_model, count_optimizer_step

    counts = count_model(model, *args, backward=backward or optimizer is not None, **kwargs)
    if optimizer is None:
        return counts
    step = count_optimizer_step(model, optimizer)
    return replace(counts, rows=(*counts.rows, *step.rows))
