"""Held-out rows: the networks of `networks.py` at a size, forward or in training. Importing this needs no torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from energybench.records.op_counts import DTYPE_SHORT
from energybench.records.vocabulary import Family
from energybench.workloads.vendor import ModuleRecipe, Shapes
from energybench.workloads.workload import Workload

if TYPE_CHECKING:
    import torch


def _network(
    network: str,
    family: Family,
    factory: Callable[[], torch.nn.Module],
    shapes: Shapes,
    shape: dict[str, int],
    training: bool,
    dtype: str,
) -> Workload:
    direction = "training" if training else "forward"
    size = "x".join(map(str, shapes[0]))
    short = DTYPE_SHORT[dtype]
    return Workload(
        name=f"network/{network}/{size}/{direction}/{short}",
        kernel_id=f"{network}_{direction}_vendor_{short}",
        family=family,
        split="heldout",
        kernel_class="network",
        implementation="vendor",
        dtype=dtype,
        recipe=ModuleRecipe(factory, shapes, dtype, training),
        direction=direction,
        network=network,
        shape=shape,
    )


def conv_net(N: int = 1, H: int = 64, *, training: bool = False, dtype: str = "float32") -> Workload:
    """The plain CNN on x[N, 3, H, H]."""

    def factory() -> torch.nn.Module:
        from energybench.workloads.networks import ConvNet

        return ConvNet()

    return _network("conv_net", "cnn", factory, ((N, 3, H, H),), {"N": N, "H": H}, training, dtype)


def separable_conv_net(N: int = 1, H: int = 96, *, training: bool = False, dtype: str = "float32") -> Workload:
    """The depthwise-separable CNN on x[N, 3, H, H]."""

    def factory() -> torch.nn.Module:
        from energybench.workloads.networks import SeparableConvNet

        return SeparableConvNet()

    return _network("separable_conv_net", "cnn", factory, ((N, 3, H, H),), {"N": N, "H": H}, training, dtype)


def gru_sequence_model(T: int = 32, B: int = 4, *, training: bool = False, dtype: str = "float32") -> Workload:
    """The recurrent sequence model on x[T, B, 64]."""

    def factory() -> torch.nn.Module:
        from energybench.workloads.networks import GruSequenceModel

        return GruSequenceModel()

    return _network("gru_sequence_model", "rnn", factory, ((T, B, 64),), {"T": T, "B": B}, training, dtype)


def transformer_encoder(B: int = 2, S: int = 64, *, training: bool = False, dtype: str = "float32") -> Workload:
    """The Transformer encoder on x[B, S, 128]."""

    def factory() -> torch.nn.Module:
        from energybench.workloads.networks import TransformerEncoder

        return TransformerEncoder()

    return _network("transformer_encoder", "transformer", factory, ((B, S, 128),), {"B": B, "S": S}, training, dtype)
