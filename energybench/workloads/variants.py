"""Variants of a row (values, caches, threads, layout, rung, element type, training) and a step of an optimiser."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from energybench.errors import UsageError
from energybench.records.op_counts import DTYPE_SHORT, OpCounts
from energybench.workloads.inputs import DISTRIBUTIONS, all_finite, torch_dtype
from energybench.workloads.native import NativeRecipe
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


def with_cold_caches(workload: Workload) -> Workload:
    """The same row, each call on operands that are in no cache (`energybench.workloads.rotation`)."""
    return replace(workload, name=f"{workload.name}/cold", caches="cold")


def with_threads(workload: Workload, threads: int) -> Workload:
    """The same row on so many CPU threads, whatever the run's."""
    return replace(workload, name=f"{workload.name}/t{threads}", threads=threads)


def with_channels_last(workload: Workload) -> Workload:
    """A module on images with their channels innermost. Raises UsageError where the row has no images."""
    if not isinstance(workload.recipe, ModuleRecipe) or any(len(s) != 4 for s in workload.recipe.shapes):
        raise UsageError(f"{workload.name} has no images to lay out; use a row of a module on x[N, C, H, W]")
    return replace(
        workload,
        name=f"{workload.name}/nhwc",
        kernel_id=f"{workload.kernel_id}_nhwc",
        recipe=replace(workload.recipe, channels_last=True),
    )


def with_rung(workload: Workload, rung: str) -> Workload:
    """A native row on another rung of its kernel's ladder. Raises UsageError on a row of the vendor's."""
    recipe = _native_recipe(workload)
    return replace(
        workload,
        name=f"{workload.name}/{rung}",
        kernel_id=workload.kernel_id.replace(f"_{recipe.variant}_", f"_{rung}_"),
        recipe=replace(recipe, variant=rung),
    )


def on_cuda(workload: Workload) -> Workload:
    """A native row as a GPU runs it; any other row as it is."""
    if not isinstance(workload.recipe, NativeRecipe):
        return workload
    return replace(workload, recipe=replace(workload.recipe, device="cuda"))


def in_float64(workload: Workload) -> Workload:
    """A native row in double precision; vendor rows take their element type when made. Raises UsageError on these."""
    recipe, short = _native_recipe(workload), DTYPE_SHORT["float64"]
    return replace(
        workload,
        name=f"{workload.name}/{short}",
        kernel_id=workload.kernel_id.replace("_fp32", f"_{short}"),
        dtype="float64",
        recipe=replace(recipe, dtype="float64"),
    )


def _native_recipe(workload: Workload) -> NativeRecipe:
    if not isinstance(workload.recipe, NativeRecipe):
        raise UsageError(f"{workload.name} is no native row; use one of energybench.workloads.native")
    return workload.recipe


class _Step:
    """A step of an optimiser over one parameter. A deep copy has a parameter, gradient and state of its own."""

    def __init__(
        self, make: Callable[[Any], torch.optim.Optimizer], weight: torch.Tensor, gradient: torch.Tensor
    ) -> None:
        import torch

        self._make, self._weight, self._gradient = make, weight, gradient
        parameter = torch.nn.Parameter(weight)
        parameter.grad = gradient
        self._optimizer = make([parameter])

    def __deepcopy__(self, memo: dict[int, Any]) -> _Step:
        return _Step(self._make, self._weight.clone(), self._gradient.clone())

    def run(self) -> None:
        self._optimizer.step()

    def is_finite(self) -> bool:
        return all_finite(self._weight)


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
        return _Step(make[self.optimizer], weight.clone(), gradient.clone())


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
