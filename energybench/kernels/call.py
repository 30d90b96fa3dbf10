"""One call of a native kernel, on the CPU or a CUDA device: what every operator's launch shares."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from energybench.errors import NativeModuleError, UsageError
from energybench.kernels import native
from energybench.kernels.arrays import Workspace, address_of
from energybench.kernels.ladder import AUTO, choose_rung, refuse_what_cannot_run
from energybench.kernels.repeat import (
    PreparedCall,
    Trace,
    arrays_in,
    entry_of,
    native_failure,
    places_by_address,
    remember,
)
from energybench.records.op_counts import OpCounts

if TYPE_CHECKING:
    import numpy as np
    import torch

    from energybench.kernels.operator import Operator

#: torch tensor in, torch tensor out; numpy array in, numpy array out.
TensorT = TypeVar("TensorT", "np.ndarray[Any, np.dtype[Any]]", "torch.Tensor")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a launch returns: its outputs, the tallies of a counting run (else None), and the rung that ran."""

    outputs: tuple[Any, ...]
    counts: OpCounts | None
    variant: str


def _issued(tallies: Mapping[str, Any] | None) -> OpCounts | None:
    return None if tallies is None else OpCounts.from_dict({**tallies, "traffic_basis": "issued"})


class Call:
    """One kernel call: where it runs, its rung and element type, and the native module's answer."""

    def __init__(
        self,
        operator: Operator,
        variant: str,
        threads: int | None,
        counting: bool,
        dtype: str,
        trace: Trace | None,
        arrays: Mapping[str, object],
    ) -> None:
        self.name, self.counting, self.dtype, self.trace = operator.name, counting, dtype, trace
        self.function = operator.runs or operator.name
        self.workspace = Workspace(arrays)
        device = self.workspace.device
        self.variant = choose_rung(self.name, operator.ladders, variant, device)
        refuse_what_cannot_run(self.name, operator.ladders, self.variant, device)
        self.on_cuda = self.workspace.cuda_index is not None
        if self.on_cuda and threads is not None:
            raise UsageError(f"threads={threads} was given with CUDA tensors; leave it out")
        self.threads = 0 if self.on_cuda else native.resolve_threads(threads)

    def dense(self, array: Any) -> Any:
        """The same values where the kernel can read them."""
        return self.workspace.dense(array)

    def allocate(self, name: str, *shape: int, dtype: str | None = None) -> Any:
        """Memory for a result or for scratch, of the call's element type unless `dtype` says otherwise."""
        memory = self.workspace.allocate(name, shape, dtype or self.dtype)
        if self.trace is not None:
            self.trace.memory.append(memory)
        return memory

    def run_cpu(self, *arguments: Any, function: str | None = None) -> OpCounts | None:
        """Run the operator's native function, or another one of that name."""
        native_function: Callable[..., Any] = getattr(native.cpu(), function or self.function)
        whole = (*arguments, self.variant, self.threads, self.counting)
        if self.trace is not None:
            self.trace.calls.append((native_function, whole))
        try:
            return _issued(native_function(*whole))
        except RuntimeError as error:
            raise native_failure(self.name, error) from error

    def run_cuda(self, sizes: Sequence[int], arrays: Sequence[Any], *more: Any) -> OpCounts | None:
        rung = "" if self.variant == "naive" else f"_{self.variant}"
        function: Callable[..., Any] = getattr(native.cuda(), self.function + rung)
        addresses = [0 if array is None else int(array.data_ptr()) for array in arrays]
        stream = self.workspace.stream()
        try:
            tallies = function(
                self.dtype, list(sizes), addresses, *more, self.workspace.cuda_index, stream, self.counting
            )
        except RuntimeError as error:
            raise NativeModuleError(f"{self.name} failed on CUDA: {error}") from error
        return _issued(tallies)

    def finish(self, counts: OpCounts | None, *outputs: Any) -> Outcome:
        """The outcome, with results of the caller's kind; an output that was not asked for is None and stays so."""
        if self.trace is not None:
            self.trace.outputs = outputs
        results = (None if output is None else self.workspace.result(output) for output in outputs)
        return Outcome(tuple(results), counts, self.variant)


#: What a launch is given to begin its `Call` with: its arrays by name.
Begin: TypeAlias = Callable[[Mapping[str, object]], Call]


def launch(
    operator: Operator,
    *arrays: Any,
    counting: bool = False,
    variant: str = AUTO,
    threads: int | None = None,
    trace: Trace | None = None,
    **options: Any,
) -> Outcome:
    """Run a kernel, plain or counting, after every check."""
    shape, dtype = operator.read_shape(*arrays, **options)
    begin: Begin = partial(Call, operator, variant, threads, counting, dtype, trace)
    return operator.launch(begin, shape, *arrays, **options)


def run_checked(operator: Operator, *arrays: Any, threads: int | None = None, **options: Any) -> tuple[Any, ...]:
    """The outputs of the plain kernel after every check; calls like this one need none again (`Operator.run`)."""
    if not operator.repeatable:
        return launch(operator, *arrays, threads=threads, **options).outputs
    trace = Trace()
    outputs = launch(operator, *arrays, threads=threads, trace=trace, **options).outputs
    remember(operator.name, trace, arrays, options, threads)
    if isinstance(operator.run, partial):
        entry = entry_of(operator.name, operator.run)
        if entry is not None:
            operator.enter_by(entry)
    return outputs


def prepare_call(operator: Operator, *arrays: Any, **options: Any) -> PreparedCall:
    """Check a call, make it once, and keep it with its arrays. Raises UsageError where its like cannot be kept."""
    if not operator.repeatable:
        raise UsageError(f"a call of {operator.name} cannot be prepared; call it each time")
    trace = Trace()
    outcome = launch(operator, *arrays, trace=trace, **options)
    if not trace.calls:
        raise UsageError(f"a call of {operator.name} on CUDA cannot be prepared; call it each time")
    known = places_by_address(trace, arrays)
    for array in (array for _, arguments in trace.calls for array in arrays_in(arguments)):
        if known.get(address_of(array), (-1, 0))[1] != array.nbytes:
            raise UsageError(
                f"an array of shape {list(array.shape)} is not contiguous, and {operator.name} would read a copy of it "
                "at every run; give its contiguous()"
            )
    return PreparedCall(operator.name, outcome.variant, outcome.outputs, tuple(trace.calls))
