"""`what_if`: models on several devices, batch sizes and element types, counted once each, priced with all profiles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from energybench.app.amounts import amounts_of, batch_dimension, tensors
from energybench.app.estimate import count_call
from energybench.errors import CountingError, UsageError
from energybench.estimation.what_if import CountedCase, WhatIf
from energybench.estimation.what_if import what_if as price
from energybench.profiles import DeviceProfile

if TYPE_CHECKING:
    import torch

#: A model with its example inputs: positional ones and those by name.
Call = tuple[Any, tuple[Any, ...], Mapping[str, Any]]


def what_if(
    models: Mapping[str, Call],
    profiles: Sequence[DeviceProfile | str | Path],
    *,
    batches: Sequence[int] = (),
    dtypes: Sequence[str] = (),
    backward: bool = False,
    optimizer: str | None = None,
    samples_per_epoch: int | None = None,
) -> WhatIf:
    """Estimate every model on every device at every batch size in every element type, and rank them.

    Args:
        models: Name -> (module, positional inputs, inputs by name).
        profiles: The devices.
        batches: Batch sizes; the inputs' own when empty.
        dtypes: Element types of weights and floating inputs (``bfloat16``); the model's own when empty.
        backward: As in `estimate`.
        optimizer: As in `estimate`.
        samples_per_epoch: As in `estimate`.

    Raises UsageError: an unknown element type, a batch size that is not positive.
    """
    loaded = [p if isinstance(p, DeviceProfile) else DeviceProfile.load(p) for p in profiles]
    if not loaded:
        raise UsageError("no profile was given; name one with --profile")
    cases = [
        _count(name, call, batch, dtype, backward, optimizer, samples_per_epoch)
        for name, call in models.items()
        for dtype in dtypes or (None,)
        for batch in batches or (None,)
    ]
    return price(cases, loaded)


def _count(
    name: str,
    call: Call,
    batch: int | None,
    dtype: str | None,
    backward: bool,
    optimizer: str | None,
    samples_per_epoch: int | None,
) -> CountedCase:
    model, args, kwargs = call
    if batch is not None:
        args, kwargs = with_batch(model, args, kwargs, batch)
    if dtype is not None:
        model, args, kwargs = with_dtype(model, args, kwargs, dtype)
    amounts = amounts_of(model, [args, kwargs], samples_per_epoch=samples_per_epoch)
    shown = dtype or _own_dtype(model)
    try:
        counts = count_call(model, args, kwargs, backward=backward, optimizer=optimizer)
    except CountingError as error:
        return CountedCase(name, amounts.samples, shown, None, amounts, str(error))
    return CountedCase(name, amounts.samples, shown, counts, amounts)


def _own_dtype(model: Any) -> str | None:
    parameter = next(iter(model.parameters()), None) if hasattr(model, "parameters") else None
    return None if parameter is None else str(parameter.dtype).removeprefix("torch.")


def with_batch(model: Any, args: Any, kwargs: Any, batch: int) -> tuple[Any, Any]:
    """The same inputs for another batch size: every tensor of the old size along the batch is given the new one.

    Integer inputs repeat their first sample. Raises UsageError where no batch can be told from the inputs.
    """
    if batch < 1:
        raise UsageError(f"batch size {batch} is not positive; give 1 or more")
    first = next(tensors([args, kwargs]), None)
    dimension = None if first is None else batch_dimension(model, first)
    if first is None or dimension is None:
        raise UsageError("the inputs have no batch dimension, so --batch cannot change it; leave it out")
    old = first.shape[dimension]

    def resized(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.ndim <= dimension or tensor.shape[dimension] != old:
            return tensor
        sizes = list(tensor.shape)
        sizes[dimension] = batch
        return tensor.narrow(dimension, 0, 1).expand(sizes).contiguous()

    return _map(resized, args), _map(resized, kwargs)


def with_dtype(model: Any, args: Any, kwargs: Any, dtype: str) -> tuple[Any, Any, Any]:
    """A twin of the model without weights, and its inputs, in another element type. Raises UsageError."""
    import torch

    from energybench.counting.meta_twin import meta_twin

    wanted = getattr(torch, dtype, None)
    if not isinstance(wanted, torch.dtype) or not wanted.is_floating_point:
        raise UsageError(f"element type {dtype!r} is unknown or not floating; use float32, float16 or bfloat16")

    def cast(tensor: torch.Tensor) -> torch.Tensor:
        return tensor.to(wanted) if tensor.is_floating_point() else tensor

    return meta_twin(model).to(wanted), _map(cast, args), _map(cast, kwargs)


def _map(function: Any, value: Any) -> Any:
    import torch

    if isinstance(value, torch.Tensor):
        return function(value)
    if isinstance(value, Mapping):
        return {key: _map(function, item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_map(function, item) for item in value)
    return value
