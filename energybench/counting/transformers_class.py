"""A model class of Hugging Face transformers as a TARGET: its default configuration and inputs that fit it.

``transformers:BertModel`` is then as good a target as a factory of one's own. The library is never imported here: a
class is recognised by what its base class documents, `config_class` and `main_input_name`.
"""

from __future__ import annotations

from typing import Any, Final

import torch
from torch import nn

from energybench.errors import UsageError

#: Tokens of an example text: a paragraph, and within every model's reach.
TOKENS: Final = 128
#: Tokens that the decoder of an encoder–decoder model has written so far.
DECODER_TOKENS: Final = 16
#: Side of an example image where the configuration names none, as for ImageNet.
IMAGE_SIZE: Final = 224


def is_transformers_class(factory: Any) -> bool:
    """Whether `factory` is such a class."""
    return (
        isinstance(factory, type)
        and issubclass(factory, nn.Module)
        and getattr(factory, "config_class", None) is not None
        and isinstance(getattr(factory, "main_input_name", None), str)
    )


def with_default_configuration(cls: Any) -> tuple[nn.Module, dict[str, torch.Tensor]]:
    """The model in evaluation mode with its default configuration, on the current device, and inputs of one sample."""
    config = cls.config_class()
    return cls(config).eval(), default_inputs(cls, config)


def default_inputs(cls: Any, config: Any) -> dict[str, torch.Tensor]:
    """Inputs by name: a text of 128 tokens, an image, or a stretch of audio features. Raises UsageError for others."""
    name = str(cls.main_input_name)
    inputs: dict[str, torch.Tensor] = {}
    if name == "input_ids":
        longest = getattr(config, "max_position_embeddings", None) or TOKENS
        inputs[name] = torch.zeros(1, min(TOKENS, longest), dtype=torch.long, device="cpu")
    elif name == "pixel_values":
        size = getattr(config, "image_size", IMAGE_SIZE)
        height, width = (size, size) if isinstance(size, int) else tuple(size)[-2:]
        inputs[name] = torch.empty(1, getattr(config, "num_channels", 3), height, width, device="meta")
    elif name == "input_features" and hasattr(config, "max_source_positions"):
        # Whisper's stem halves the frames
        frames = 2 * config.max_source_positions
        inputs[name] = torch.empty(1, config.num_mel_bins, frames, device="meta")
    else:
        raise UsageError(f"no example inputs are known for {cls.__name__} ({name}); give them with --input")
    if getattr(config, "is_encoder_decoder", False):
        inputs["decoder_input_ids"] = torch.zeros(1, DECODER_TOKENS, dtype=torch.long, device="cpu")
    return inputs


__all__ = ["default_inputs", "is_transformers_class", "with_default_configuration"]
