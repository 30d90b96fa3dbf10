"""Variants of the vendor's rows: other input values, a training step of one operator, a step of an optimiser."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from energybench.errors import UsageError
from energybench.records.op_counts import DTYPE_SHORT, OpCounts
from energybench.workloads.inputs import DISTRIBUTIONS, all_finite, torch_dtype
from energybench.workloads.vendor import ModuleRecipe, OperatorRecipe
from energybench.workloads.workload import Runnable, Tally, Workload

if TYPE_CHECKING:
    import torch


def with_values(workload: Workload, distribution: str) -> Workload:
    """The same operator on inputs of another distribution. Raises UsageError where the row cannot take them."""
    if not isinstance(workload.recipe, OperatorRecipe) or distribution not in DISTRIBUTIONS:
        raise UsageError(
            f"{workload.name} cannot run on {distribution!r}; use an operator row and a known distribution"
        )
    return replace(
        workload,
        name=f"{workload.name}/{distribution.replace(' ', '_')}",
        recipe=replace(workload.recipe, distribution=distribution),
        input_distribution=distribution,
    )


def with_backward(workload: Workload) -> Workload:
    """Forward and backward of one module. Raises UsageError where the row is no module."""
    if not isinstance(workload.recipe, ModuleRecipe):
        raise UsageError(f"{workload.name} has no backward pass here; use a row that is a torch module")
    return replace(
        workload,
        name=f"{workload.name}/training",
        kernel_id=workload.kernel_id.replace("_forward_", "_training_"),
        recipe=replace(workload.recipe, training=True),
        direction="training",
    )


class _Step:
    def __init__(self, optimizer: torch.optim.Optimizer, parameters: list[torch.Tensor]) -> None:
        self._optimizer, self._parameters = optimizer, parameters

    def run(self) -> None:
        self._optimizer.step()

    def is_finite(self) -> bool:
        return all_finite(self._parameters)


@dataclass(frozen=True, slots=True)
class OptimizerRecipe:
    """One fused step of ``sgd``, ``momentum`` or ``adam`` over one tensor."""

    optimizer: str
    elements: int
    dtype: str

    def tally(self) -> Tally:
        """As `count_optimizer_step` counts it."""
        import torch

        from energybench.counting import count_optimizer_step

        with torch.device("meta"):
            model = torch.nn.Linear(self.elements, 1, bias=False, dtype=torch_dtype(self.dtype))
        counted = count_optimizer_step(model, self.optimizer)
        return Tally(counted.total, "model", parameters=self.elements, operators=1)

    def issued_counts(self) -> OpCounts | None:
        """The kernel is torch's."""
        return None

    def build(self, device: str, threads: int | None, seed: int) -> Runnable:
        """Parameters and gradients on the device. The learning rate is tiny, so that values stay what they are."""
        import torch

        make: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
            "sgd": lambda p: torch.optim.SGD(p, lr=1e-12, fused=True),
            "momentum": lambda p: torch.optim.SGD(p, lr=1e-12, momentum=0.9, fused=True),
            "adam": lambda p: torch.optim.Adam(p, lr=1e-12, fused=True),
        }
        generator = torch.Generator().manual_seed(seed)
        values = torch.randn((2, self.elements), generator=generator)
        weight, gradient = values.to(device=device, dtype=torch_dtype(self.dtype)).unbind(0)
        parameter = torch.nn.Parameter(weight.clone())
        parameter.grad = gradient.clone()
        return _Step(make[self.optimizer]([parameter]), [parameter.detach()])


def optimizer_step(optimizer: str, elements: int, *, dtype: str = "float32") -> Workload:
    """A step over `elements` parameters."""
    short = DTYPE_SHORT[dtype]
    return Workload(
        name=f"vendor/{optimizer}/e{elements}/{short}",
        kernel_id=f"{optimizer}_optimizer_vendor_{short}",
        family="probe",
        split="fit",
        kernel_class="optimizer",
        implementation="vendor",
        dtype=dtype,
        recipe=OptimizerRecipe(optimizer, elements, dtype),
        direction="optimizer",
        shape={"elements": elements},
    )
