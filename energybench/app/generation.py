"""`estimate_generation`: count a causal language model's prefill and decode steps, and price them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from energybench.errors import UsageError
from energybench.estimation import Amounts, estimate_counts
from energybench.estimation.generation import DecodeStep, Generation, step_contexts
from energybench.profiles import DeviceProfile
from energybench.records.model_counts import ModelCounts

if TYPE_CHECKING:
    import torch


def estimate_generation(
    model: torch.nn.Module,
    profile: DeviceProfile | str | Path,
    *,
    prompt_tokens: int = 512,
    new_tokens: int = 128,
    batch: int = 1,
    name: str | None = None,
) -> Generation:
    """Energy of answering `batch` prompts: prefill and decode apart, with the key–value cache's traffic.

    Args:
        model: A causal language model that takes ``input_ids``, ``past_key_values`` and ``use_cache`` and returns
            ``past_key_values``, as those of Hugging Face transformers do. Counted on the meta device.
        profile: The device.
        prompt_tokens: Of each sequence.
        new_tokens: Of each sequence, one decode step each.
        batch: Sequences side by side.
        name: Shown for the model.

    Raises:
        UsageError: The model keeps no cache, or has no room for so many tokens.
        ProfileMismatch, CountingError: As `estimate`.
    """
    if not isinstance(profile, DeviceProfile):
        profile = DeviceProfile.load(profile)
    contexts = step_contexts(prompt_tokens, new_tokens)
    if batch < 1:
        raise UsageError(f"batch size {batch} is not positive; give 1 or more")
    room = getattr(getattr(model, "config", None), "max_position_embeddings", None)
    if isinstance(room, int) and contexts[-1] + 1 > room:
        raise UsageError(
            f"{prompt_tokens} + {new_tokens} tokens are more than the model's {room} positions; ask for fewer"
        )
    from energybench.counting.meta_twin import meta_twin

    twin = meta_twin(model).eval()
    per_token = cache_bytes_per_token(twin)
    prefill = _count(twin, batch, prompt_tokens, 0)
    steps = []
    for context in contexts:
        counts = _count(twin, batch, 1, context)
        steps.append(
            DecodeStep(
                context,
                estimate_counts(counts, profile, amounts=Amounts(batch, batch)),
                cache_read_bytes=per_token * batch * context,
                cache_write_bytes=per_token * batch,
            )
        )
    return Generation(
        model=name or type(model).__name__,
        batch=batch,
        prompt_tokens=prompt_tokens,
        new_tokens=new_tokens,
        cache_bytes_per_token=per_token,
        prefill=estimate_counts(prefill, profile, amounts=Amounts(batch, batch * prompt_tokens)),
        steps=(steps[0], steps[1], steps[2]),
    )


def _count(twin: Any, batch: int, tokens: int, context: int) -> ModelCounts:
    from energybench.counting import count_model

    cached = _cache(twin, batch, context) if context else None
    more = {} if cached is None else {"past_key_values": cached}
    return count_model(twin, input_ids=_ids(batch, tokens), use_cache=True, **more)


def _ids(batch: int, tokens: int) -> Any:
    import torch

    return torch.zeros(batch, tokens, dtype=torch.long, device="meta")


def _cache(twin: Any, batch: int, context: int) -> Any:
    """The cache that the model itself makes of `context` tokens, on the meta device. Raises UsageError."""
    import torch

    refusal = (
        "the model keeps no key–value cache (past_key_values with use_cache=True); "
        "give a causal language model of transformers, or estimate one call"
    )
    try:
        with torch.no_grad(), torch.device("meta"):
            outputs = twin(input_ids=_ids(batch, context), use_cache=True)
    except (TypeError, RuntimeError, ValueError) as error:
        raise UsageError(f"{refusal} ({type(error).__name__})") from error
    cache = outputs.get("past_key_values") if isinstance(outputs, Mapping) else None
    if cache is None or not cache_tensors(cache):
        raise UsageError(refusal)
    return cache


def cache_tensors(cache: Any) -> list[torch.Tensor]:
    """Keys and values of a cache: of transformers' `Cache` by layer, or nested tuples of tensors."""
    import torch

    if isinstance(cache, torch.Tensor):
        return [cache]
    if isinstance(cache, tuple | list):
        return [t for item in cache for t in cache_tensors(item)]
    layers = getattr(cache, "layers", None)
    if layers is not None:
        found = [getattr(layer, part, None) for layer in layers for part in ("keys", "values")]
        return [t for t in found if isinstance(t, torch.Tensor)]
    return []


def cache_bytes_per_token(twin: Any) -> int:
    """Bytes that one token of one sequence adds to the cache: what a second token adds to that of one."""
    one, two = (sum(t.numel() * t.dtype.itemsize for t in cache_tensors(_cache(twin, 1, n))) for n in (1, 2))
    return two - one
