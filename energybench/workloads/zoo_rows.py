"""Held-out rows of the published networks in `zoo/`: six for development, ten that are sealed.

Development rows may be looked at while an equation is chosen. Sealed rows are scored once, when it is; they are listed
and hashed in ``energybench/records/sealed_networks.json``, and a fit refuses them. Importing this needs no torch.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from energybench.errors import UsageError
from energybench.records.op_counts import DTYPE_SHORT
from energybench.records.vocabulary import Family
from energybench.workloads.vendor import ModuleRecipe, Shapes
from energybench.workloads.workload import INPUT_DISTRIBUTION, Workload

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Published:
    """A network of the zoo.

    `module` `attribute`  where its class lies
    `shapes`              shapes of its inputs for a batch size and a length (of a sequence, or of an image's side)
    `vocabulary`          inputs are tokens below this number; 0 for normal values
    `arguments`           of its class, for a batch size and a length
    """

    family: Family
    module: str
    attribute: str
    shapes: Callable[[int, int], Shapes]
    vocabulary: int = 0
    arguments: Callable[[int, int], dict[str, Any]] = field(default=lambda N, S: {})


def _image(N: int, S: int) -> Shapes:
    return ((N, 3, S, S),)


def _tokens(N: int, S: int) -> Shapes:
    return ((N, S),)


def _tokens_first(N: int, S: int) -> Shapes:
    return ((S, N),)


_C, _S = "convolutional", "sequence"
#: Networks that may be looked at while an equation is chosen.
DEVELOPMENT: Final[dict[str, Published]] = {
    "vgg16": Published("cnn", _C, "Vgg16", _image),
    "mobilenet_v2": Published("cnn", _C, "MobileNetV2", _image),
    "vit_b16": Published("transformer", _S, "VitB16", _image),
    "mixer_b16": Published("transformer", _S, "MixerB16", _image),
    "gpt2_prefill": Published("transformer", _S, "Gpt2", _tokens, 50257),
    "gru_lm": Published("rnn", _S, "RecurrentLanguageModel", _tokens_first, 10_000, lambda N, S: {"cell": "gru"}),
}
#: Networks that are scored once.
SEALED: Final[dict[str, Published]] = {
    "resnet50": Published("cnn", _C, "ResNet50", _image),
    "convnext_tiny": Published("cnn", _C, "ConvNextTiny", _image),
    "inception_v3": Published("cnn", _C, "InceptionV3", _image),
    "densenet121": Published("cnn", _C, "DenseNet121", _image),
    "unet": Published("cnn", _C, "UNet", _image),
    "bert_base": Published("transformer", _S, "BertBase", _tokens, 30522),
    "gpt2_decode": Published(
        "transformer", _S, "Gpt2", lambda N, S: ((N, 1),), 50257, lambda N, S: {"batch": N, "cached": S}
    ),
    "whisper_small_encoder": Published("transformer", _S, "WhisperSmallEncoder", lambda N, S: ((N, 80, S),)),
    "t5_small": Published("transformer", _S, "T5Small", lambda N, S: ((N, S), (N, S // 4)), 32128),
    "lstm_lm": Published("rnn", _S, "RecurrentLanguageModel", _tokens_first, 10_000, lambda N, S: {"cell": "lstm"}),
}


def published_network(name: str, N: int, S: int, *, dtype: str = "float32", training: bool = False) -> Workload:
    """The row of one network: batch size N, length S, forward or one training step without the optimiser.

    Raises UsageError on an unknown network.
    """
    network = {**DEVELOPMENT, **SEALED}.get(name)
    if network is None:
        raise UsageError(f"network {name!r} is unknown; use one of {', '.join((*DEVELOPMENT, *SEALED))}")
    direction = "training" if training else "forward"
    short = DTYPE_SHORT[dtype]
    return Workload(
        name=f"network/{name}/n{N}s{S}/{direction}/{short}",
        kernel_id=f"{name}_{direction}_vendor_{short}",
        family=network.family,
        split="heldout",
        kernel_class="network",
        implementation="vendor",
        dtype=dtype,
        recipe=ModuleRecipe(
            functools.partial(_build, network, N, S), network.shapes(N, S), dtype, training, tokens=network.vocabulary
        ),
        direction=direction,
        network=name,
        shape={"N": N, "S": S},
        input_distribution="uniform tokens" if network.vocabulary else INPUT_DISTRIBUTION,
    )


def _build(network: Published, N: int, S: int) -> torch.nn.Module:
    module = importlib.import_module(f"energybench.workloads.zoo.{network.module}")
    built: torch.nn.Module = getattr(module, network.attribute)(**network.arguments(N, S))
    return built


def development_rows() -> list[Workload]:
    """Six networks in three configurations each."""
    row, half = published_network, "bfloat16"
    return [
        row("vgg16", 32, 224),
        row("vgg16", 128, 224, dtype=half),
        row("vgg16", 16, 224, dtype="float16", training=True),
        row("mobilenet_v2", 256, 224, dtype="float16"),
        row("mobilenet_v2", 1, 224),
        row("mobilenet_v2", 64, 224, dtype=half, training=True),
        row("vit_b16", 64, 224, dtype=half),
        row("vit_b16", 8, 224),
        row("vit_b16", 32, 224, dtype=half, training=True),
        row("mixer_b16", 64, 224, dtype="float16"),
        row("mixer_b16", 4, 224),
        row("mixer_b16", 32, 224, training=True),
        row("gpt2_prefill", 8, 1024, dtype=half),
        row("gpt2_prefill", 1, 128),
        row("gpt2_prefill", 4, 512, dtype=half, training=True),
        row("gru_lm", 64, 64),
        row("gru_lm", 256, 32, dtype="float16"),
        row("gru_lm", 64, 32, training=True),
    ]


def sealed_rows() -> list[Workload]:
    """Ten networks in three or four configurations each: a fraction of batch × element type × direction."""
    row, half = published_network, "bfloat16"
    return [
        row("resnet50", 1, 224, dtype="float16"),
        row("resnet50", 64, 224),
        row("resnet50", 256, 224, dtype=half),
        row("resnet50", 64, 224, dtype=half, training=True),
        row("convnext_tiny", 128, 224, dtype=half),
        row("convnext_tiny", 16, 224),
        row("convnext_tiny", 32, 224, dtype="float16", training=True),
        row("inception_v3", 64, 299, dtype="float16"),
        row("inception_v3", 8, 299),
        row("inception_v3", 32, 299, dtype=half, training=True),
        row("densenet121", 64, 224, dtype=half),
        row("densenet121", 4, 224),
        row("densenet121", 32, 224, training=True),
        row("unet", 8, 256, dtype=half),
        row("unet", 2, 256),
        row("unet", 4, 256, dtype="float16", training=True),
        row("bert_base", 64, 128, dtype=half),
        row("bert_base", 1, 128, dtype="float16"),
        row("bert_base", 16, 384),
        row("bert_base", 32, 128, dtype=half, training=True),
        row("gpt2_decode", 1, 512, dtype=half),
        row("gpt2_decode", 32, 512, dtype=half),
        row("gpt2_decode", 128, 128),
        row("whisper_small_encoder", 8, 3000, dtype="float16"),
        row("whisper_small_encoder", 1, 3000),
        row("whisper_small_encoder", 4, 3000, dtype=half, training=True),
        row("t5_small", 32, 256, dtype=half),
        row("t5_small", 2, 256),
        row("t5_small", 16, 256, training=True),
        row("lstm_lm", 64, 64, dtype="float16"),
        row("lstm_lm", 16, 64),
        row("lstm_lm", 128, 32, dtype=half),
        row("lstm_lm", 64, 32, training=True),
    ]
