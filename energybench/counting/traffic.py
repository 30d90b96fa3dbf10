"""What a policy spares of the traffic of single operators, and the least traffic that any policy can have.

`fused`: a value stays in registers (neither stored nor loaded, and its producer launches nothing) where
- an elementwise operator, norm or softmax makes it as its first output, and exactly one operator reads it, in the same
  pass, with the same shape and strides;
- that reader is elementwise with an output of that shape, or a softmax, layer norm or RMS norm over the dimensions over
  which the chain before it reduces, if it reduces at all (a batch norm in training ends what may come before it);
- nobody else can see it: no output, no gradient, no part of the model, not changed in part by an in-place operator.

`cached-weights`: each element of a parameter is loaded once a pass, by the first operator that reads it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from energybench.counting.call import OpCall, TensorSpec
from energybench.counting.cost import Access, dtype_name
from energybench.counting.trace import Event, Place
from energybench.records.op_counts import COUNT_FIELDS, DtypeCounts, OpCounts

#: What one row is spared: element type and tally → amount, with the launches under the type "".
Saving: TypeAlias = dict[tuple[str, str], int]


@dataclass(frozen=True)
class CallTraffic:
    """One distinct call with its settled reads and writes."""

    call: OpCall
    kernel_class: str
    reads: tuple[Access, ...]
    writes: tuple[Access, ...]
    launches: int
    whole: bool

    def places(self) -> dict[int, int]:
        """Slot → position of its storage in an event."""
        if self.whole:
            return {spec.slot: spec.slot for spec, _ in self.reads}
        positions: dict[int, int] = {}
        for position, spec in enumerate(self.call.inputs):
            positions.setdefault(spec.slot, position)
        return positions


Savings: TypeAlias = dict[tuple[int, Place], Saving]


def reduced(counts: OpCounts, saving: Mapping[tuple[str, str], int]) -> OpCounts:
    """`counts` less what is spared."""
    by_dtype = {}
    for dtype, one in counts.by_dtype.items():
        left = DtypeCounts(*(getattr(one, name) - saving.get((dtype, name), 0) for name in COUNT_FIELDS))
        if left.to_dict():
            by_dtype[dtype] = left
    return OpCounts(by_dtype, counts.launches - saving.get(("", "launches"), 0), counts.traffic_basis)


def _spare(savings: Savings, event: Event, spec: TensorSpec, elements: int, *, load: bool) -> None:
    saving = savings.setdefault((event.call, event.place), {})
    dtype, size = dtype_name(spec.dtype), elements * spec.dtype.itemsize
    amounts = {"loads": elements, "load_bytes": size} if load else {"stores": elements, "store_bytes": size}
    if load and spec.parameter:
        amounts["weight_load_bytes"] = size
    for name, amount in amounts.items():
        saving[dtype, name] = saving.get((dtype, name), 0) + amount


# ── parameters once ──────────────────────────────────────────────────────────────────────────────────────────────────
class _ReadOnce:
    """How much of each storage was read, and which views of it in full."""

    def __init__(self) -> None:
        self._elements: dict[int, int] = defaultdict(int)
        self._views: set[tuple[Any, ...]] = set()

    def read(self, storage: int, offset: int, spec: TensorSpec, elements: int, limit: int) -> int:
        """Elements that were not read before. A part (rows of a table) is taken as not read before."""
        view = (storage, offset, spec.shape, spec.stride)
        if view in self._views:
            return 0
        if elements >= spec.distinct:
            self._views.add(view)
        new = min(elements, limit - self._elements[storage])
        self._elements[storage] += new
        return new


def weights_once(
    events: Sequence[Event], calls: Sequence[CallTraffic], parameter_bytes: Mapping[int, int], savings: Savings
) -> None:
    """Adds to `savings` every load of a parameter after the first one in its pass."""
    once: dict[str, _ReadOnce] = defaultdict(_ReadOnce)
    reads = [
        [(spec, elements, places[spec.slot]) for spec, elements in traffic.reads if spec.parameter]
        for traffic, places in ((t, t.places()) for t in calls)
    ]
    for event in events:
        for spec, elements, position in reads[event.call]:
            storage = event.storages[position]
            limit = parameter_bytes[storage] // spec.dtype.itemsize
            new = once[event.place.direction].read(storage, event.offsets[position], spec, elements, limit)
            if new < elements:
                _spare(savings, event, spec, elements - new, load=True)


def minimal_bytes(
    events: Sequence[Event],
    calls: Sequence[CallTraffic],
    *,
    given_bytes: Mapping[int, int],
    made: Iterable[int],
    outputs: Mapping[int, int],
) -> int:
    """Bytes of what is read of parameters, buffers and inputs, and of the outputs that were made, each once."""
    once = _ReadOnce()
    total = 0
    places = [traffic.places() for traffic in calls]
    for event in events:
        for spec, elements in calls[event.call].reads:
            position = places[event.call].get(spec.slot)
            storage = event.storages[position] if position is not None else -1
            if position is not None and storage in given_bytes:
                size = spec.dtype.itemsize
                limit = given_bytes[storage] // size
                total += once.read(storage, event.offsets[position], spec, elements, limit) * size
    known = set(made)
    return total + sum(size for storage, size in outputs.items() if storage in known)


# ── chains of elementwise operators ──────────────────────────────────────────────────────────────────────────────────
_ELEMENTWISE_COPIES: Final = frozenset(("aten._to_copy", "aten.clone"))
_NOT_ELEMENTWISE: Final = frozenset(("aten.bucketize", "aten.searchsorted", "aten.glu_backward"))
_STARTS_A_CHAIN: Final = ("batch_norm", "group_norm", "weight_norm", "norm_backward", "norm_interface")
#: Dimensions of a reduction that no other reduction can share.
_ALONE: Final = (-1,)


def _fusible(traffic: CallTraffic) -> bool:
    return (
        traffic.kernel_class in ("pointwise", "norm", "softmax") or traffic.call.name in _ELEMENTWISE_COPIES
    ) and traffic.call.name not in _NOT_ELEMENTWISE


def _reduces_over(call: OpCall, kernel_class: str) -> tuple[int, ...]:
    """Dimensions over which a norm or softmax needs whole rows; empty for an elementwise operator."""
    if kernel_class not in ("norm", "softmax") or call.name.endswith(("norm_legit_no_training", "norm_no_update")):
        return ()
    if call.name.endswith("batch_norm") and call.arg(5, "training") is False:
        return ()  # scale and shift with known statistics
    rank = len(call.inputs[0].shape)
    if call.name in ("aten._softmax", "aten._log_softmax", "aten.softmax", "aten.log_softmax"):
        return (call.args[1] % rank if rank else 0,)
    if call.name in ("aten._softmax_backward_data", "aten._log_softmax_backward_data"):
        return (call.args[2] % rank if rank else 0,)
    if call.name in ("aten.native_layer_norm", "aten._fused_rms_norm", "aten.rms_norm"):
        return tuple(range(rank - len(call.args[1]), rank))
    return _ALONE


@dataclass(slots=True)
class _Value:
    """One content of one storage."""

    producer: int
    spec: TensorSpec | None
    readers: dict[int, TensorSpec] = field(default_factory=dict)
    seen: bool = False


def _values(
    events: Sequence[Event], calls: Sequence[CallTraffic], given: Mapping[int, int], outputs: Mapping[int, int]
) -> list[_Value]:
    """Every value that was made and which events touch it."""
    current: dict[int, _Value] = {}
    values: list[_Value] = []
    for number, event in enumerate(events):
        traffic = calls[event.call]
        specs = traffic.call.inputs
        for position, storage in enumerate(event.storages):
            value = current.get(storage)
            if value is not None:
                if number in value.readers or traffic.whole or position >= len(specs):
                    first = value.readers.get(number)
                    value.seen |= traffic.whole or first is None or first != specs[position]
                else:
                    value.readers[number] = specs[position]
        for result, (spec, storage) in enumerate(zip(traffic.call.results, event.outputs, strict=False)):
            before = current.get(storage)
            in_place = storage in event.storages
            whole = before is not None and before.spec is not None and before.spec[:3] == spec[:3]
            value = _Value(number, spec if result == 0 else None)
            value.seen = storage in given or (in_place and not whole)
            if in_place and not whole and before is not None:
                before.seen = True
            current[storage] = value
            values.append(value)
    for storage in outputs:
        if storage in current:
            current[storage].seen = True
    return values


def fuse(
    events: Sequence[Event],
    calls: Sequence[CallTraffic],
    *,
    given: Mapping[int, int],
    outputs: Mapping[int, int],
    savings: Savings,
) -> None:
    """Adds to `savings` what stays in registers. `given`: storages of parameters, buffers and inputs."""
    over: dict[int, tuple[int, ...]] = {}
    edges: dict[int, list[_Value]] = defaultdict(list)
    for value in _values(events, calls, given, outputs):
        if len(value.readers) == 1 and not value.seen and value.spec is not None:
            edges[next(iter(value.readers))].append(value)
    for number, event in enumerate(events):
        traffic = calls[event.call]
        if not _fusible(traffic):
            continue
        own = _reduces_over(traffic.call, traffic.kernel_class)
        chain = own
        for value in edges.get(number, ()):
            spec = value.spec
            producer = events[value.producer]
            before = calls[producer.call]
            if spec is None or not _fusible(before) or producer.place.direction != event.place.direction:
                continue
            joined = over[value.producer]
            read = value.readers[number]
            if (
                read[:3] != spec[:3]
                or not traffic.call.results
                or traffic.call.out.shape != spec.shape
                or (own == _ALONE)
                or (own and any(part in traffic.call.name for part in _STARTS_A_CHAIN))
                or (joined and chain and joined != chain)
                or (joined == _ALONE and bool(own))
            ):
                continue
            stored = [a for a in before.writes if a[0].slot == spec.slot]
            loaded = [a for a in traffic.reads if a[0].slot == read.slot]
            if not stored or not loaded:
                continue
            chain = joined or chain
            for item, elements in stored:
                _spare(savings, producer, item, elements, load=False)
            for item, elements in loaded:
                _spare(savings, event, item, elements, load=True)
            saving = savings[producer.call, producer.place]
            saving["", "launches"] = saving.get(("", "launches"), 0) + before.launches
        over[number] = chain


__all__ = ["CallTraffic", "Savings", "fuse", "minimal_bytes", "reduced", "weights_once"]
