"""Gathers and scatters: the rows that are touched, never the whole table."""

from __future__ import annotations

from energybench.counting.call import OpCall, TensorSpec, walk
from energybench.counting.conventions import Ops
from energybench.counting.cost import Access, Cost, distinct_accesses
from energybench.counting.formulas.registry import register_formula


def _touched(table: TensorSpec, elements: int) -> Access:
    """`elements` of a table, at most all of it: the indices' values are not known, distinct ones are assumed."""
    return table, min(elements, table.distinct)


def _gather(source: TensorSpec, out: TensorSpec, indices: tuple[TensorSpec, ...]) -> Cost:
    return Cost("gather", reads=(_touched(source, out.numel), *distinct_accesses(indices)))


@register_formula("aten::embedding")
def embedding(call: OpCall) -> Cost:
    """(weight, indices): one row per index."""
    return _gather(call.tensor(0), call.out, (call.tensor(1),))


@register_formula("aten::embedding_dense_backward", "aten::embedding_backward")
def embedding_backward(call: OpCall) -> Cost:
    """(grad, indices, rows, …): the dense gradient is cleared and the touched rows are added to."""
    grad, indices = call.tensor(0), call.tensor(1)
    return Cost("gather", ops=Ops(adds=grad.numel)).with_traffic(reads=(grad, indices))


_SUM, _MEAN, _MAX = range(3)


@register_formula("aten::_embedding_bag", "aten::_embedding_bag_forward_only")
def embedding_bag(call: OpCall) -> Cost:
    """(weight, indices, offsets, by_frequency, mode, sparse, row_weights): the rows of a bag reduced."""
    weight, indices = call.tensor(0), call.tensor(1)
    elements = indices.numel * weight.shape[-1]
    mode = call.arg(4, "mode", _SUM)
    work = Ops(compares=elements) if mode == _MAX else Ops(adds=elements)
    if mode == _MEAN:
        work = work.plus(Ops(divs=call.out.numel))
    if isinstance(call.arg(6, "per_sample_weights"), TensorSpec):
        work = work.plus(Ops(muls=elements))
    reads = (_touched(weight, elements), *distinct_accesses(call.inputs[1:]))
    return Cost("gather", ops=work, reads=reads).with_traffic(writes=call.results[:1])


@register_formula("aten::_embedding_bag_backward", "aten::_embedding_bag_dense_backward")
def embedding_bag_backward(call: OpCall) -> Cost:
    """(grad, indices, …): the dense gradient is cleared and the rows of each bag are added to."""
    grad, indices = call.tensor(0), call.tensor(1)
    elements = indices.numel * grad.shape[-1]
    return Cost("gather", ops=Ops(adds=elements)).with_traffic(reads=call.inputs)


@register_formula("aten::index", "aten::_unsafe_index", "aten::_unsafe_masked_index")
def index(call: OpCall) -> Cost:
    """x[i, j, …]: boolean masks are read whole."""
    return _gather(call.tensor(0), call.out, tuple(walk(call.args[1])))


@register_formula("aten::index_select", "aten::gather", "aten::take", "aten::masked_select", "aten::take_along_dim")
def gather(call: OpCall) -> Cost:
    """One element read and written per output."""
    return _gather(call.tensor(0), call.out, call.inputs[1:])


@register_formula("aten::multinomial")
def multinomial(call: OpCall) -> Cost:
    """(weights, samples): a running sum of a row's weights, then a random number and a bisection for each sample."""
    weights, samples = call.tensor(0), call.out.numel
    row = weights.shape[-1]
    searches = samples * max(1, (row - 1).bit_length())
    return Cost("gather", ops=Ops(adds=weights.numel, specials=samples, compares=searches))


@register_formula("aten::nonzero", "aten::argwhere", "aten::bincount", "aten::histc")
def positions(call: OpCall) -> Cost:
    """A comparison per element."""
    return Cost("gather", ops=Ops(compares=call.tensor(0).numel))


@register_formula(
    "aten::index_put", "aten::_index_put_impl", "aten::_unsafe_index_put", "aten::_unsafe_masked_index_put_accumulate"
)
def index_put(call: OpCall) -> Cost:
    """(self, indices, values, accumulate): in place only the touched elements, else the copy as well."""
    target, values = call.tensor(0), next(iter(walk(call.args[2])))
    accumulate = bool(call.arg(3, "accumulate", "accumulate" in call.name))
    touched = _touched(target, max(values.numel, _index_rows(call)))
    in_place = call.name.endswith("_") or "impl" in call.name
    reads = distinct_accesses((values, *walk(call.args[1])))
    if not in_place:
        reads = (*reads, *distinct_accesses((target,)))
    elif accumulate:
        reads = (*reads, touched)
    return Cost(
        "gather",
        ops=Ops(adds=touched[1] if accumulate else 0),
        reads=reads,
        writes=(touched,) if in_place else None,
    )


def _index_rows(call: OpCall) -> int:
    """Elements that the indices name: their common shape times the dimensions that they leave whole."""
    indices = [i for i in call.args[1] if i is not None] if isinstance(call.args[1], list | tuple) else []
    if not indices or any(str(i.dtype) in ("torch.bool", "torch.uint8") for i in indices):
        return 0
    named = max(int(i.numel) for i in indices)
    whole: int = 1
    for dim, n in enumerate(call.tensor(0).shape):
        if dim >= len(call.args[1]) or call.args[1][dim] is None:
            whole *= n
    return named * whole


@register_formula(
    "aten::scatter", "aten::scatter_add", "aten::scatter_reduce", "aten::index_add", "aten::index_copy",
    "aten::index_fill", "aten::masked_scatter", "aten::put", "aten::index_reduce",
)  # fmt: skip
def scatter(call: OpCall) -> Cost:
    """(self, dim, index, source): touched elements written; read as well where they accumulate."""
    target, rest = call.inputs[0], call.inputs[1:]
    count = max((s.numel for s in rest if s.dtype == target.dtype), default=rest[0].numel if rest else 0)
    touched = _touched(target, count)
    accumulates = any(word in call.name for word in ("add", "reduce"))
    in_place = call.name.endswith("_")
    reads = distinct_accesses(rest)
    if not in_place:
        reads = (*reads, *distinct_accesses((target,)))
    elif accumulates:
        reads = (*reads, touched)
    return Cost(
        "gather",
        ops=Ops(adds=count if accumulates else 0),
        reads=reads,
        writes=(touched,) if in_place else None,
    )


@register_formula("aten::_pack_padded_sequence")
def pack_sequence(call: OpCall) -> Cost:
    """(input, lengths, batch_first): the rows that are not padding."""
    rows, source = call.out, call.tensor(0)
    reads = (_touched(source, rows.numel), *distinct_accesses(call.inputs[1:]))
    return Cost("gather", reads=reads).with_traffic(writes=call.results[:1])


@register_formula("aten::_pack_padded_sequence_backward")
def unpack_sequence(call: OpCall) -> Cost:
    """Zeros, with the gradient's rows at their places."""
    return Cost("gather")
