"""`count_model`: the exact counts of one call of a model, without running it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, Final, NamedTuple

import torch
from torch import nn

from energybench.counting.call import TensorSpec
from energybench.counting.components import component_of, place_of
from energybench.counting.cost import Cost, distinct_accesses, to_counts, work_dtype
from energybench.counting.meta_twin import meta_twin, twin_tensor
from energybench.counting.mode import (
    CountedCall,
    CountingMode,
    cost_of,
    default_reads,
    default_writes,
    map_tensors,
)
from energybench.counting.opaque import PackedWeights, packed_objects, packed_tensors, strided_parts
from energybench.counting.policies import ExecutionPolicy, find_policy
from energybench.counting.scope import ModuleScope
from energybench.counting.traffic import CallTraffic, Savings, fuse, minimal_bytes, reduced, weights_once
from energybench.counting.whole_operators import taken_whole
from energybench.errors import CountingError, EnergybenchError, UsageError
from energybench.records.model_counts import ModelCounts, OperatorCounts
from energybench.records.op_counts import TRAFFIC_BASES, OpCounts, TrafficBasis

#: Hooks and replaced operators are global to the process while a count runs.
_ONE_AT_A_TIME: Final = threading.RLock()


def count_model(
    model: nn.Module | Callable[..., Any],
    *example_inputs: Any,
    backward: bool = False,
    policy: str = "eager",
    basis: TrafficBasis = "compulsory",
    strict: bool = False,
    **example_kwargs: Any,
) -> ModelCounts:
    """Counts MACs, other operations, bytes and launches of ``model(*example_inputs, **example_kwargs)``.

    Nothing is computed and no weight is allocated: a twin of the model runs on the meta device. The model, its
    parameters, its hooks and its training flag are left as they were.

    Args:
        model: A module, or any callable on tensors.
        example_inputs: Tensors, or nested lists, tuples and dicts of them. Integer and boolean tensors keep their
            values (models branch on masks), floating ones are used for shape and dtype alone.
        backward: Also count the backward pass: from the output named ``loss`` where there is one, else with a gradient
            given for every floating output.
        policy: How operators reach the hardware, a name in `POLICIES`.
        basis: What bytes mean; models are counted on the ``compulsory`` basis.
        strict: Raise where an operator has no formula, instead of reporting it as not covered.
        example_kwargs: Keyword arguments of the model.

    Raises:
        UsageError: inputs that the model refuses, an unknown policy or basis.
        CountingError: a model that cannot run without values; with `strict`, operators without a formula.
    """
    execution = find_policy(policy)
    if basis != "compulsory":
        known = ", ".join(TRAFFIC_BASES)
        raise UsageError(
            f"basis {basis!r} does not exist for a model (of {known}, models have 'compulsory'); leave basis out"
        )
    if not callable(model):
        raise UsageError(f"{type(model).__name__} is not a model; pass a torch.nn.Module or a function of tensors")
    model = getattr(model, "_orig_mod", model)  # a torch.compile wrapper: count the eager form
    with _ONE_AT_A_TIME:
        try:
            run = _run(model, example_inputs, example_kwargs, execution, backward=backward)
        except _ValueInTheGraph:
            run = _run(model, example_inputs, example_kwargs, execution, backward=backward, real_masks=False)
    mode, weights = run.mode, run.weights
    ends = _ends([*weights, *_tensors([run.args, run.kwargs])], run.outputs)
    calls = [_costed(known) for known in mode.calls]
    savings = _savings(mode, execution, calls, _storage_bytes(weights), run.given, ends)
    class_names = {name: type(m).__name__ for name, m in run.twin.named_modules()} if run.twin is not None else {}
    minimal = minimal_bytes(
        mode.trace.events, [c.traffic for c in calls], given_bytes=run.given, made=mode.trace.storages, outputs=ends
    )
    counts = ModelCounts(
        rows=_rows(mode, class_names, calls, savings),
        parameters=sum(w.numel() for w in weights),
        parameter_bytes=sum(w.numel() * w.dtype.itemsize for w in weights),
        traffic_basis=basis,
        policy=policy,
        notes=_notes(),
        minimal_bytes=minimal,
        eager_bytes=sum(calls[index].counts.bytes * times for (index, _), times in mode.tally.items()),
        issued_bytes=sum(calls[index].issued_bytes * times for (index, _), times in mode.tally.items()),
        module_calls=mode.scope.calls,
    )
    if strict and counts.uncovered:
        names = ", ".join(counts.uncovered)
        first = counts.uncovered[0].replace(".", "::", 1)
        raise CountingError(
            f'no formula for {names}; add one with @register_formula("{first}") on a function that returns a Cost'
        )
    return counts


class _ValueInTheGraph(Exception):
    """A tensor that was made with values, as a mask may be, took part in what is differentiated."""


class _Run(NamedTuple):
    """One pass over the twin. `weights`: its parameters and what packed weights hold; `given`: storage → size."""

    mode: CountingMode
    twin: nn.Module | None
    weights: list[torch.Tensor]
    given: dict[int, int]
    args: Any
    kwargs: Any
    outputs: Any


def _run(
    model: nn.Module | Callable[..., Any],
    example_inputs: tuple[Any, ...],
    example_kwargs: dict[str, Any],
    execution: ExecutionPolicy,
    *,
    backward: bool,
    real_masks: bool = True,
) -> _Run:
    """Runs the twin under the counting mode. Raises _ValueInTheGraph where `real_masks` stands in a gradient's way."""
    with ExitStack() as stack:
        twin = meta_twin(model) if isinstance(model, nn.Module) else None
        args, kwargs = map_tensors(twin_tensor, example_inputs), map_tensors(twin_tensor, example_kwargs)
        packed = PackedWeights()
        weights: list[torch.Tensor] = []
        buffers: list[torch.Tensor] = []
        if twin is not None:
            weights = [
                *twin.parameters(),
                *(t for _, o in packed_objects(twin) for t in packed_tensors(packed.open(o))),
            ]
            buffers = list(twin.buffers())
        scope = stack.enter_context(ModuleScope(twin))
        mode = CountingMode(
            scope,
            set(_storage_bytes(weights)),
            packed,
            gradient=backward,
            attention_keeps_probabilities=execution.keeps_probabilities,
            real_masks=real_masks,
        )
        stack.enter_context(_no_fast_path())
        stack.enter_context(taken_whole(mode))
        stack.enter_context(_explained(args, kwargs, retry=real_masks))
        stack.enter_context(torch.set_grad_enabled(backward))
        stack.enter_context(mode)
        given = _storage_bytes([*weights, *buffers, *_tensors([args, kwargs])])
        outputs = (model if twin is None else twin)(*args, **kwargs)
        if backward:
            mode.direction = "backward"
            _run_backward(mode, outputs)
    return _Run(mode, twin, weights, given, args, kwargs, outputs)


def _notes() -> tuple[str, ...]:
    if torch.is_autocast_enabled("cuda") or torch.is_autocast_enabled("cpu"):
        return ("autocast is on, but the count uses the dtypes of weights and inputs as they are",)
    return ()


@contextmanager
def _no_fast_path() -> Iterator[None]:
    """The fused inference path of nn.MultiheadAttention hides its operators."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _tensors(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _tensors(item)


def _shapes(args: Any, kwargs: Any) -> str:
    return ", ".join("x".join(map(str, t.shape)) or "scalar" for t in _tensors([args, kwargs])) or "no inputs"


_NEEDS_VALUES: Final = ("meta", "data-dependent", "DataDependent", "cannot be called on", "FakeTensor")


#: What autograd says where a tensor with values was written to by one without, and a gradient flows back.
_GRADIENT_ON_ANOTHER_DEVICE: Final = "expected device cpu but got meta"


@contextmanager
def _explained(args: Any, kwargs: Any, *, retry: bool) -> Iterator[None]:
    """Turns what torch raises into one line that names the fix."""
    try:
        yield
    except EnergybenchError:
        raise
    except NotImplementedError as error:
        raise CountingError(
            f"an operator of the model cannot run without values ({_first_line(error)}); "
            "give it a shape rule with torch.library.register_fake, or avoid it"
        ) from error
    except (RuntimeError, ValueError, TypeError, IndexError, KeyError, AssertionError, AttributeError) as error:
        reason = _first_line(error)
        if retry and _GRADIENT_ON_ANOTHER_DEVICE in reason:
            raise _ValueInTheGraph from error
        if "FlexAttention" in reason:
            raise CountingError(
                "flex_attention has no counting rule; count the model with scaled_dot_product_attention in its place"
            ) from error
        if any(word in reason for word in _NEEDS_VALUES):
            raise CountingError(
                f"the model needs tensor values that a count does not have ({reason}); "
                "pass masks and integer inputs as real tensors"
            ) from error
        raise UsageError(
            f"the model refuses inputs of shape {_shapes(args, kwargs)} ({reason}); "
            "give inputs of the shape and dtype that its forward takes"
        ) from error


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__


def _seeds(outputs: Any) -> list[torch.Tensor]:
    """What the backward pass starts from: the loss of an output mapping, its own tensors, or every tensor."""
    if isinstance(outputs, Mapping):
        loss = outputs.get("loss")
        if isinstance(loss, torch.Tensor):
            return [loss]
        own = [v for v in outputs.values() if isinstance(v, torch.Tensor) and v.requires_grad]
        outputs = own or list(outputs.values())
    return [t for t in _tensors(outputs) if t.requires_grad]


def _run_backward(mode: CountingMode, outputs: Any) -> None:
    starts = _seeds(outputs)
    if not starts:
        raise UsageError("no output depends on a parameter, so there is no backward pass; count with backward=False")
    with mode.paused():
        gradients = [torch.empty_like(t) for t in starts]
    torch.autograd.backward(starts, gradients)


def _storage_bytes(tensors: Iterable[torch.Tensor]) -> dict[int, int]:
    """Storage → its size."""
    storages = (part.untyped_storage() for t in tensors for part in strided_parts(t))
    return {storage._cdata: storage.nbytes() for storage in storages}


def _ends(leaves: Iterable[torch.Tensor], outputs: Any) -> dict[int, int]:
    """What the call leaves behind, outputs and gradients: storage → bytes that somebody can see."""
    ends: dict[int, int] = {}
    gradients = [t.grad for t in leaves if t.is_leaf and t.grad is not None]
    for tensor in (part for t in (*_tensors(outputs), *gradients) for part in strided_parts(t)):
        storage = tensor.untyped_storage()._cdata
        spec = TensorSpec(tuple(tensor.shape), tuple(tensor.stride()), tensor.dtype, 0, False)
        ends[storage] = max(ends.get(storage, 0), spec.distinct * tensor.dtype.itemsize)
    return ends


def _savings(
    mode: CountingMode,
    policy: ExecutionPolicy,
    calls: list[_CostedCall],
    parameters: Mapping[int, int],
    given: Mapping[int, int],
    ends: Mapping[int, int],
) -> Savings:
    savings: Savings = {}
    traffic = [c.traffic for c in calls]
    if policy.caches_weights:
        weights_once(mode.trace.events, traffic, parameters, savings)
    if policy.fuses:
        fuse(mode.trace.events, traffic, given=given, outputs=ends, savings=savings)
    return savings


def _rows(
    mode: CountingMode, class_names: Mapping[str, str], costs: list[_CostedCall], savings: Savings
) -> tuple[OperatorCounts, ...]:
    places = {place.module: place_of(place.module, class_names) for _, place in mode.tally}
    has_attention = any(p == "attention" for p in places.values()) or any(
        c.cost.kernel_class == "attention" for c in costs
    )
    groups: dict[tuple[Any, ...], list[tuple[OpCounts, int]]] = {}
    for (index, place), times in mode.tally.items():
        cost, counts, covered = costs[index][:3]
        name = mode.calls[index].call.name
        component = component_of(name, cost.kernel_class, places[place.module], has_attention=has_attention)
        key = (name, place.module, place.direction, cost.kernel_class, covered, component)
        saving = savings.get((index, place))
        total = counts if times == 1 else counts.scaled(times)
        groups.setdefault(key, []).append((reduced(total, saving) if saving else total, times))
    return tuple(
        OperatorCounts(
            operator=name,
            module=module,
            direction=direction,
            kernel_class=kernel_class,
            calls=sum(times for _, times in items),
            counts=OpCounts.sum(total for total, _ in items),
            covered=covered,
            component=component,
        )
        for (name, module, direction, kernel_class, covered, component), items in groups.items()
    )


class _CostedCall(NamedTuple):
    cost: Cost
    counts: OpCounts
    covered: bool
    traffic: CallTraffic

    @property
    def issued_bytes(self) -> int:
        """Loads and stores of a kernel that fetches both operands of every MAC, and else as counted."""
        dtype = self.cost.dtype or work_dtype(self.traffic.call)
        return max(self.counts.load_bytes, 2 * self.cost.macs * dtype.itemsize) + self.counts.store_bytes


def _costed(known: CountedCall) -> _CostedCall:
    cost, covered = cost_of(known)
    reads = distinct_accesses(default_reads(known)) if cost.reads is None else cost.reads
    writes = distinct_accesses(default_writes(known)) if cost.writes is None else cost.writes
    counts = to_counts(cost, known.call, reads=reads, writes=writes)
    traffic = CallTraffic(known.call, cost.kernel_class, reads, writes, cost.launches, known.plan is None)
    return _CostedCall(cost, counts, covered, traffic)


__all__ = ["count_model"]
