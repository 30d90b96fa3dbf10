"""`CountingMode`: sees every operator below autograd, on the meta device, and tallies how often each distinct call ran.

Nothing is computed. A call is described by its operator, the metadata of its tensors and its other arguments; equal
descriptions have equal costs and equal output metadata, so the formula runs once per description, after the pass, and
a description seen before yields its outputs without asking torch for shapes again.

Integer and boolean tensors that the model makes itself (positions, masks) are small, and models branch on them: they
are made for real on the CPU, and become meta tensors where they meet one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from energybench.counting.call import OpCall, TensorSpec, walk
from energybench.counting.cost import Cost
from energybench.counting.formulas import find_formula
from energybench.counting.opaque import PackedWeights, Sparse, expanded, sparse_parts
from energybench.counting.operator_plan import OperatorPlan
from energybench.counting.scope import ModuleScope
from energybench.counting.shapes_without_meta import shape_function, sparse_name, sparse_shape_function, sparse_view
from energybench.counting.trace import Event, Place, Trace
from energybench.errors import CountingError
from energybench.records.vocabulary import Direction

#: Integer tensors up to this many elements keep their values; a mask of 2048² fits.
REAL_ELEMENTS_LIMIT: Final = 1 << 23

#: Floating ones and fills up to this many elements keep theirs too: some models make their masks so.
REAL_MASK_LIMIT: Final = 1 << 20
_MASK_MAKERS: Final = frozenset(("aten.ones", "aten.full", "aten.new_ones", "aten.new_full"))

#: What may be made for real at all; zeros and random numbers only as single ones (see `shapes_without_meta`).
_HAVE_VALUES: Final = _MASK_MAKERS | {"aten.zeros", "aten.scalar_tensor", "aten.rand"}

#: Higher-order operators that run one function with the arguments that follow it: the function's place.
_WRAPPERS: Final = {"wrap_with_set_grad_enabled": 1, "wrap_with_autocast": 4, "tag_activation_checkpoint": 0}

_META: Final = torch.device("meta")
_CPU: Final = torch.device("cpu")
_STRIDED: Final = torch.strided

#: What a call's description says of its tensors: some have values, some are shapes, some are sparse or packed.
_SHAPES, _VALUES, _OPAQUE = 1, 2, 4
Tensor = torch.Tensor


class CountedCall:
    """One distinct call: what ran and what it made."""

    __slots__ = ("call", "cost", "index", "plan", "template")

    def __init__(self, index: int, plan: OperatorPlan | None, call: OpCall, cost: Cost | None = None) -> None:
        self.index = index
        self.plan = plan
        self.call = call
        self.cost = cost
        self.template: Callable[[], Any] | None = None


class CountingMode(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts every operator while it is on.

    `calls`    distinct calls, in order of first appearance
    `tally`    (index of the call, place) → times
    `trace`    which memory every call touched, in order
    """

    supports_higher_order_operators = True

    def __init__(
        self,
        scope: ModuleScope,
        parameters: set[int],
        packed: PackedWeights,
        *,
        gradient: bool,
        attention_keeps_probabilities: bool = False,
        real_masks: bool = True,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.attention_keeps_probabilities = attention_keeps_probabilities
        self.scope = scope
        self.gradient = gradient
        self.packed = packed
        self._mask_limit = REAL_MASK_LIMIT if real_masks else 0
        self.direction: Direction = "forward"
        self.calls: list[CountedCall] = []
        self.tally: dict[tuple[int, Place], int] = {}
        self.trace = Trace()
        self._parameters = parameters
        self._plans: dict[Any, OperatorPlan] = {}
        self._known: dict[Any, CountedCall] = {}
        self._paused = False
        self._unknown_values: set[int] = set()
        self._keep: list[Tensor] = []
        #: Operators recorded above the dispatcher; reached here only where a model switches autograd off altogether.
        self.taken_whole: dict[str, Callable[..., Any]] = {}

    # ── recording ────────────────────────────────────────────────────────────────────────────────────────────────
    @contextmanager
    def paused(self) -> Iterator[None]:
        """Tensors made inside are scaffolding of the counter and are not counted."""
        before, self._paused = self._paused, True
        try:
            yield
        finally:
            self._paused = before

    def record_cost(self, key: Any, call: OpCall, cost: Cost, starts: list[tuple[int, int]]) -> None:
        """Count an operator that was taken above the dispatcher (a recurrent layer, attention).

        `starts`: storage and offset of each slot, and after them of whatever else it reads; -1 for what is new.
        """
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = CountedCall(len(self.calls), None, call, cost)
            self.calls.append(known)
        self._count(known, [storage for storage, _ in starts], [offset for _, offset in starts])

    def is_parameter(self, tensor: Tensor) -> bool:
        """Whether the tensor's memory belongs to a parameter."""
        return tensor.untyped_storage()._cdata in self._parameters

    def _count(self, known: CountedCall, storages: list[int], offsets: list[int], out: Any = None) -> None:
        backward = torch._C._current_graph_task_id() != -1
        direction: Direction = "backward" if backward else self.direction
        place = Place(self.scope.current(backward=backward), direction)
        counted = (known.index, place)
        self.tally[counted] = self.tally.get(counted, 0) + 1
        self.trace.events.append(Event(known.index, place, storages, offsets, self.trace.made(out)))

    # ── dispatch ─────────────────────────────────────────────────────────────────────────────────────────────────
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self._paused:
            return func(*args, **kwargs)
        plan = self._plans.get(func)
        if plan is None:
            if not isinstance(func, torch._ops.OpOverload):
                return self._higher_order(func, args, kwargs)
            plan = self._plans[func] = OperatorPlan(func)
        if plan.factory:
            kwargs = self._place_factory(plan, args, kwargs)
        elif plan.name == "aten._to_copy":
            kwargs = _place_copy(args[0], kwargs)
        if plan.free:
            return self._run_free(func, plan, args, kwargs)
        if plan.decomposes:
            whole = self.taken_whole.get(func.name())
            with self:
                if whole is not None:
                    return whole(*args, **kwargs)
                out = func.decompose(*args, **kwargs)
            if out is not NotImplemented:
                return out
        if plan.indexes:
            args = self._with_positions(args)
        key, kinds, storages, offsets = self._describe(func, args, kwargs)
        opaque = bool(kinds & _OPAQUE)
        mixed = kinds == _SHAPES | _VALUES and shape_function(plan.name) is None
        given = args
        if opaque:
            args = expanded(args, self.packed)
        elif mixed:
            args, kwargs = self._all_meta(plan, args, kwargs)
            key = self._describe(func, args, kwargs)[0]
        known = self._known.get(key) if key is not None else None
        if known is None:
            known, out = self._first_call(func, plan, key, args, kwargs)
        elif known.template is not None:
            out = known.template()
        elif plan.returns_self and args[0].is_meta:
            out = args[0]
        else:
            out = self._run(func, plan, args, kwargs)
        out = given[0] if mixed and plan.returns_self else out
        self._count(known, storages, offsets, out)
        return out

    def _describe(self, func: Any, args: Any, kwargs: Any) -> tuple[Any, int, list[int], list[int]]:
        """A hashable description, the kinds of tensors that meet, and each tensor's storage and offset."""
        parts: list[Any] = [func]
        storages: list[int] = []
        offsets: list[int] = []
        kinds = 0

        def add(value: Any) -> None:
            nonlocal kinds
            if isinstance(value, Tensor):
                if value.layout is not _STRIDED:
                    kinds |= _OPAQUE
                    add(sparse_parts(value))
                    return
                meta = value.is_meta
                kinds |= _SHAPES if meta else _VALUES
                storage = value.untyped_storage()._cdata
                slot = storages.index(storage) if storage in storages else len(storages)
                offset = int(value.storage_offset())
                storages.append(storage)
                offsets.append(offset)
                parts.append(
                    (
                        value.shape,
                        value.stride(),
                        value.dtype,
                        slot,
                        offset if slot != len(storages) - 1 else -1,
                        storage in self._parameters,
                        meta,
                    )
                )
            elif isinstance(value, list | tuple):
                parts.append(len(value))
                for item in value:
                    add(item)
            elif isinstance(value, torch.ScriptObject):
                kinds |= _OPAQUE
                add(self.packed.open(value))
            else:
                parts.append(value.__class__)
                parts.append(value)

        for value in args:
            add(value)
        for name, value in kwargs.items():
            parts.append(name)
            add(value)
        description = tuple(parts)
        try:
            hash(description)
        except TypeError:
            return None, kinds, storages, offsets
        return description, kinds, storages, offsets

    def _first_call(self, func: Any, plan: OperatorPlan, key: Any, args: Any, kwargs: Any) -> tuple[CountedCall, Any]:
        storages: list[tuple[int, int]] = []

        def spec(tensor: Tensor) -> TensorSpec:
            storage = tensor.untyped_storage()._cdata
            start = (storage, int(tensor.storage_offset()))
            if start not in storages:
                storages.append(start)
            return TensorSpec(
                tuple(tensor.shape),
                tuple(tensor.stride()),
                tensor.dtype,
                storages.index(start),
                storage in self._parameters,
            )

        spec_args = map_tensors(spec, args)
        spec_kwargs = map_tensors(spec, kwargs)
        out = self._run(func, plan, args, kwargs)
        spec_out = map_tensors(spec, expanded(out, self.packed))
        call = OpCall(plan.name, tuple(spec_args), dict(spec_kwargs), spec_out, self.gradient)
        known = CountedCall(len(self.calls), plan, call)
        self.calls.append(known)
        if key is not None:
            self._known[key] = known
            if plan.reusable:
                known.template = _template(out)
        return known, out

    def _run(self, func: Any, plan: OperatorPlan, args: Any, kwargs: Any) -> Any:
        if any(isinstance(value, Sparse) for value in args):
            return sparse_shape_function(plan.name)(args, kwargs)
        own = shape_function(plan.name)
        out = own(args, kwargs) if own is not None else NotImplemented
        return func(*args, **kwargs) if out is NotImplemented else out

    def _run_free(self, func: Any, plan: OperatorPlan, args: Any, kwargs: Any) -> Any:
        if args and isinstance(args[0], Tensor) and args[0].layout is not _STRIDED:
            return sparse_view(func, plan.name, args, kwargs)
        if plan.name in ("aten._local_scalar_dense", "aten.item"):
            tensor = args[0]
            if tensor.is_meta or tensor.untyped_storage()._cdata in self._unknown_values:
                raise CountingError(
                    "the model reads the value of a tensor that only exists as a shape (.item(), if tensor: …); "
                    "pass the integer inputs and masks it depends on as real tensors, or avoid the branch"
                )
        return func(*args, **kwargs)

    def _higher_order(self, func: Any, args: Any, kwargs: Any) -> Any:
        """Runs what a higher-order operator would run; a condition must have a value."""
        name = str(getattr(func, "__name__", func))
        if name == "cond":
            condition, if_true, if_false, operands = args
            if not (isinstance(condition, Tensor) and condition.is_meta):
                with self:
                    return (if_true if condition else if_false)(*operands)
        elif name in _WRAPPERS:
            with self:
                return args[_WRAPPERS[name]](*args[_WRAPPERS[name] + 1 :])
        raise CountingError(
            f"higher-order operator {name} has no counting rule; count the eager form of the model (without "
            "torch.compile or flex_attention)"
        )

    # ── devices ──────────────────────────────────────────────────────────────────────────────────────────────────
    def _place_factory(self, plan: OperatorPlan, args: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
        """Floating factories to meta, small integer ones to the CPU, whatever device the model names."""
        dtype = kwargs.get("dtype")
        source = args[0] if args and isinstance(args[0], Tensor) else None
        if dtype is None:
            dtype = source.dtype if source is not None else _factory_dtype(plan.name, args)
        device = kwargs.get("device")
        if dtype.is_floating_point or dtype.is_complex:
            if device is None and source is not None and not source.is_meta:
                return kwargs
            limit = self._mask_limit if plan.name in _MASK_MAKERS else min(self._mask_limit, 1)
            small = plan.name in _HAVE_VALUES and _elements(plan.name, args, source) <= limit
            wanted = _CPU if small else _META
        else:
            wanted = _CPU if _elements(plan.name, args, source) <= REAL_ELEMENTS_LIMIT else _META
            if plan.name in ("aten.empty", "aten.empty_strided", "aten.empty_like", "aten.randint", "aten.randperm"):
                wanted = _META if device is None or torch.device(device).type != "cpu" else _CPU
        return (
            {**kwargs, "device": wanted, "pin_memory": False}
            if kwargs.get("pin_memory")
            else {**kwargs, "device": wanted}
        )

    def _with_positions(self, args: Any) -> Any:
        """(tensor, indices, …) where only shapes are known: masks with values become the positions that they name."""
        if not any(isinstance(a, Tensor) and a.is_meta for a in (args[0], *args[2:3])):
            return args
        found: list[Tensor | None] = []
        with self.paused():
            for index in args[1]:
                if index is not None and not index.is_meta and index.dtype in (torch.bool, torch.uint8):
                    found += index.nonzero().unbind(1)
                else:
                    found.append(index)
        self._keep += [index for index in found if index is not None]
        return (args[0], found, *args[2:])

    def _all_meta(self, plan: OperatorPlan, args: Any, kwargs: Any) -> tuple[Any, Any]:
        if plan.written:  # a CPU tensor is about to receive what only exists as a shape: its value is lost
            for index in plan.written:
                target = args[index] if index < len(args) else None
                if isinstance(target, Tensor) and not target.is_meta:
                    self._unknown_values.add(target.untyped_storage()._cdata)
                    self._keep.append(target)
        with self.paused():
            return map_tensors(to_meta, args), map_tensors(to_meta, kwargs)


def _place_copy(source: Tensor, kwargs: dict[str, Any]) -> dict[str, Any]:
    """A move between devices: what has no values stays without, and what has small integer ones keeps them."""
    if source.is_meta:
        return {**kwargs, "device": _META}
    dtype = kwargs.get("dtype") or source.dtype
    if dtype.is_floating_point or dtype.is_complex:
        device = kwargs.get("device")
        return kwargs if device is None or torch.device(device).type == "cpu" else {**kwargs, "device": _META}
    return {**kwargs, "device": _CPU}


def _template(out: Any) -> Callable[[], Any] | None:
    """A maker of outputs like `out`; None where they are not all plain meta tensors."""
    if isinstance(out, Tensor):
        if not out.is_meta or type(out) is not Tensor or out.layout is not _STRIDED:
            return None
        size, stride, dtype = tuple(out.shape), tuple(out.stride()), out.dtype
        return lambda: torch.empty_strided(size, stride, dtype=dtype, device=_META)
    if isinstance(out, tuple | list):
        makers = [_template(item) if item is not None else (lambda: None) for item in out]
        if any(maker is None for maker in makers):
            return None
        kind = type(out)
        return lambda: kind(maker() for maker in makers if maker is not None)
    return None


def to_meta(tensor: Tensor) -> Tensor:
    """A meta tensor with the same shape, strides and dtype."""
    if tensor.is_meta:
        return tensor
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=_META)


def map_tensors(change: Callable[[Tensor], Any], value: Any) -> Any:
    """`change` applied to every tensor in nested tuples, lists and dicts."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, tuple):
        mapped = [map_tensors(change, item) for item in value]
        return type(value)(*mapped) if hasattr(value, "_fields") else tuple(mapped)
    if isinstance(value, list):
        return [map_tensors(change, item) for item in value]
    if isinstance(value, dict):
        return {name: map_tensors(change, item) for name, item in value.items()}
    return value


def _factory_dtype(name: str, args: Any) -> torch.dtype:
    if name in ("aten.arange", "aten.full", "aten.scalar_tensor"):
        numbers = args if name != "aten.full" else args[1:2]
        if any(isinstance(n, float) for n in numbers):
            return torch.get_default_dtype()
        return torch.bool if any(isinstance(n, bool) for n in numbers) else torch.int64
    if name in ("aten.randint", "aten.randperm", "aten.tril_indices", "aten.triu_indices"):
        return torch.int64
    return torch.get_default_dtype()


def _elements(name: str, args: Any, source: Tensor | None) -> int:
    total = 1
    if name == "aten.arange":
        numbers = [n for n in args if isinstance(n, int | float)]
        return int(abs(max(numbers, default=0)) + abs(min(numbers, default=0)))
    sizes = next((a for a in args if isinstance(a, list | tuple)), None)
    if sizes is None:
        return source.numel() if source is not None else 1
    for n in sizes:
        total *= int(n)
    return total


def cost_of(known: CountedCall) -> tuple[Cost, bool]:
    """The cost of a distinct call, and whether a formula gave it."""
    if known.cost is not None:
        return known.cost, True
    formula = known.plan.formula if known.plan is not None else None
    if any(isinstance(value, Sparse) for value in known.call.args):
        formula = find_formula(f"sparse::{sparse_name(known.call.name)}")
    cost = formula(known.call) if formula is not None else None
    return (Cost("copy"), False) if cost is None else (cost, True)


def default_reads(known: CountedCall) -> tuple[TensorSpec, ...]:
    """Inputs that are read: all but ``out=`` tensors and what an in-place operator overwrites."""
    plan, call = known.plan, known.call
    if plan is None:
        return call.inputs
    positional = call.args[1:] if plan.overwrites else call.args
    named = {n: v for n, v in call.kwargs.items() if n not in plan.out_names}
    return (*walk(positional), *walk(named))


def default_writes(known: CountedCall) -> tuple[TensorSpec, ...]:
    """Outputs; an in-place list operator (foreach) returns nothing and writes its first list."""
    plan, call = known.plan, known.call
    if call.results or plan is None:
        return call.results
    return tuple(s for i in plan.written if i < len(call.args) for s in walk(call.args[i]))
