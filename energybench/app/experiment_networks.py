"""The published networks for experiments: their counts, for which nothing is allocated or runs, and themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from energybench.counting import count_model
from energybench.records.model_counts import ModelCounts
from energybench.workloads.zoo_rows import published_network

if TYPE_CHECKING:
    from torch import nn

#: Every network of the zoo at the size of its paper: family, and length (of an image's side, or of a sequence).
SIZES: Final[dict[str, tuple[str, int]]] = {
    "vgg16": ("cnn", 224),
    "resnet50": ("cnn", 224),
    "densenet121": ("cnn", 224),
    "mobilenet_v2": ("cnn", 224),
    "convnext_tiny": ("cnn", 224),
    "inception_v3": ("cnn", 299),
    "unet": ("cnn", 256),
    "vit_b16": ("transformer", 224),
    "gpt2_prefill": ("transformer", 128),
    "bert_base": ("transformer", 128),
    "t5_small": ("transformer", 128),
    "whisper_small_encoder": ("transformer", 3000),
    "mixer_b16": ("dense", 224),
    "gru_lm": ("rnn", 64),
    "lstm_lm": ("rnn", 64),
}


def count_published(name: str, batch: int = 1, length: int | None = None, *, training: bool = False) -> ModelCounts:
    """Counts of a network of the zoo, forward or forward and backward. Raises UsageError on an unknown network."""
    import torch

    from energybench.workloads.vendor import ModuleRecipe

    recipe = published_network(name, batch, length if length is not None else SIZES[name][1], training=training).recipe
    assert isinstance(recipe, ModuleRecipe)  # what published_network writes
    with torch.device("meta"):
        model = recipe.factory().train(training)
    inputs = [
        torch.zeros(shape, dtype=torch.int64) if recipe.tokens else torch.empty(shape, device="meta")
        for shape in recipe.shapes
    ]
    return count_model(model, *inputs, backward=training)


def published_module(name: str, batch: int = 1, length: int | None = None, *, seed: int = 0) -> nn.Module:
    """A network of the zoo with drawn weights, to be run. Raises UsageError on an unknown network."""
    import torch

    from energybench.workloads.vendor import ModuleRecipe

    recipe = published_network(name, batch, length if length is not None else SIZES[name][1]).recipe
    assert isinstance(recipe, ModuleRecipe)
    torch.manual_seed(seed)
    return recipe.factory().eval()
