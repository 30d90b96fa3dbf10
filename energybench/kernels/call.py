"""One call of a native kernel, on the CPU or a CUDA device: what every operator's launch shares."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from energybench.errors import NativeModuleError, UsageError
from energybench.kernels import native
from energybench.kernels.arrays import Workspace
from energybench.kernels.registry import check_device, resolve_variant
from energybench.records.op_counts import OpCounts

if TYPE_CHECKING:
    import numpy as np
    import torch

#: torch tensor in, torch tensor out; numpy array in, numpy array out.
TensorT = TypeVar("TensorT", "np.ndarray[Any, np.dtype[Any]]", "torch.Tensor")


def _issued(tallies: Mapping[str, Any] | None) -> OpCounts | None:
    return None if tallies is None else OpCounts.from_dict({**tallies, "traffic_basis": "issued"})


class Call:
    """One kernel call: where it runs, its element type, and the native module's answer."""

    def __init__(
        self,
        operator: str,
        variant: str,
        threads: int | None,
        counting: bool,
        dtype: str,
        arrays: Mapping[str, object],
    ) -> None:
        resolve_variant(operator, variant)
        self.operator, self.counting, self.dtype = operator, counting, dtype
        self.workspace = Workspace(arrays)
        check_device(operator, self.workspace.device)
        self.on_cuda = self.workspace.cuda_index is not None
        if self.on_cuda and threads is not None:
            raise UsageError(f"threads={threads} was given with CUDA tensors; leave it out")
        self.threads = 0 if self.on_cuda else native.resolve_threads(threads)

    def dense(self, array: Any) -> Any:
        return self.workspace.dense(array)

    def allocate(self, name: str, *shape: int) -> Any:
        return self.workspace.allocate(name, shape, self.dtype)

    def run_cpu(self, *arguments: Any) -> OpCounts | None:
        function: Callable[..., Any] = getattr(native.cpu(), self.operator)
        return _issued(function(*arguments, self.threads, self.counting))

    def run_cuda(self, sizes: Sequence[int], arrays: Sequence[Any], *more: Any) -> OpCounts | None:
        function: Callable[..., Any] = getattr(native.cuda(), self.operator)
        addresses = [0 if array is None else int(array.data_ptr()) for array in arrays]
        stream = self.workspace.stream()
        try:
            tallies = function(
                self.dtype, list(sizes), addresses, *more, self.workspace.cuda_index, stream, self.counting
            )
        except RuntimeError as error:
            raise NativeModuleError(f"{self.operator} failed on CUDA: {error}") from error
        return _issued(tallies)
