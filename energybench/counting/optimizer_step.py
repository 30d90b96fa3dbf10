"""The optimiser's step: what updating every parameter once costs, as one fused kernel."""

from __future__ import annotations

from typing import Final

from torch import nn

from energybench.counting.conventions import ops
from energybench.counting.cost import dtype_name
from energybench.errors import UsageError
from energybench.records.model_counts import ModelCounts, OperatorCounts
from energybench.records.op_counts import OpCounts

#: Optimiser → convention, and tensors of state a parameter has (momentum; first and second moment).
OPTIMIZERS: Final[dict[str, tuple[str, int]]] = {
    "sgd": ("sgd", 0),
    "momentum": ("sgd_momentum", 1),
    "adam": ("adam", 2),
}


def count_optimizer_step(model: nn.Module, optimizer: str, *, weight_decay: bool = False) -> ModelCounts:
    """One step of ``sgd``, ``momentum`` or ``adam`` over the parameters that need a gradient, as torch's fused step.

    Each parameter, its gradient and its state are read once, the parameter and its state written once; state has the
    parameter's element type. Shared parameters count once. Raises UsageError on another optimiser.
    """
    if optimizer not in OPTIMIZERS:
        raise UsageError(f"optimizer {optimizer!r} is unknown; use one of {', '.join(OPTIMIZERS)}")
    convention, states = OPTIMIZERS[optimizer]
    work = ops(convention).plus(ops("weight_decay")) if weight_decay else ops(convention)
    everything = list(model.parameters())
    counts: list[OpCounts] = []
    for p in (p for p in everything if p.requires_grad):
        n, size = p.numel(), p.dtype.itemsize
        counts.append(
            OpCounts.single(
                dtype_name(p.dtype),
                **work.times(n)._asdict(),
                loads=(2 + states) * n,
                stores=(1 + states) * n,
                load_bytes=(2 + states) * n * size,
                store_bytes=(1 + states) * n * size,
                weight_load_bytes=n * size,
            )
        )
    total = OpCounts.sum([*counts, OpCounts(launches=1 if counts else 0)])
    row = OperatorCounts(f"optimizer.{optimizer}", "", "optimizer", "optimizer", 1, total)
    return ModelCounts(
        rows=(row,) if counts else (),
        parameters=sum(p.numel() for p in everything),
        parameter_bytes=sum(p.numel() * p.dtype.itemsize for p in everything),
    )


__all__ = ["count_optimizer_step"]
