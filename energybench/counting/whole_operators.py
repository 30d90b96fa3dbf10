"""Attention and recurrent layers taken whole, above torch's decomposition into small operators.

While a count runs, torch's own composite implementations of these operators are replaced *for meta tensors*: each call
becomes one autograd function that makes outputs of the right shape and records a closed form, forward and backward.
However the model reaches the operator (module, functional, exported graph), it is seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import prod
from typing import Any, Final

import torch

from energybench.counting.call import OpCall, TensorSpec
from energybench.counting.formulas.attention import AttentionShape
from energybench.counting.formulas.recurrent import GATES, KEPT, Cell, LayerShape
from energybench.counting.mode import CountingMode

Tensor = torch.Tensor


def _contiguous(shape: Sequence[int], dtype: torch.dtype, slot: int) -> TensorSpec:
    stride, strides = 1, []
    for n in reversed(shape):
        strides.append(stride)
        stride *= n
    return TensorSpec(tuple(shape), tuple(reversed(strides)), dtype, slot, False)


@dataclass
class WholeOperator:
    """What one autograd function needs: how to make outputs and what to record in each direction.

    `made`   storages of the outputs, which the backward pass may read
    """

    mode: CountingMode
    outputs: Callable[[], tuple[Tensor, ...]]
    forward: Callable[[], None]
    backward: Callable[[tuple[bool, ...], tuple[bool, ...], list[tuple[int, int]]], None]
    made: list[int] = field(default_factory=list)


class _Whole(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, operator: WholeOperator, *tensors: Tensor | None) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(False)
        ctx.operator = operator
        ctx.like = [None if t is None else (t.shape, t.dtype) for t in tensors]
        operator.forward()
        with operator.mode.paused():
            outputs = operator.outputs()
        operator.made = operator.mode.trace.bind(outputs)
        return outputs

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Any, ...]:
        needed = tuple(ctx.needs_input_grad[1:])
        operator = ctx.operator
        also_read = [g.untyped_storage()._cdata for g in grads if g is not None] + operator.made
        operator.backward(needed, tuple(g is not None for g in grads), [(storage, 0) for storage in also_read])
        with operator.mode.paused():
            made = [
                torch.empty(like[0], dtype=like[1], device="meta") if need and like is not None else None
                for need, like in zip(needed, ctx.like, strict=True)
            ]
        operator.mode.trace.bind(made)
        return (None, *made)


def _apply(operator: WholeOperator, *tensors: Tensor | None) -> tuple[Tensor, ...]:
    result: tuple[Tensor, ...] = _Whole.apply(operator, *tensors)  # type: ignore[no-untyped-call]
    return result


class _Specs:
    """Numbers the tensors of one whole operator."""

    def __init__(self, mode: CountingMode) -> None:
        self._mode = mode
        self.starts: list[tuple[int, int]] = []

    def of(self, tensor: Tensor | None) -> TensorSpec | None:
        if tensor is None:
            return None
        start = (tensor.untyped_storage()._cdata, int(tensor.storage_offset()))
        if start not in self.starts:
            self.starts.append(start)
        slot = self.starts.index(start)
        return TensorSpec(
            tuple(tensor.shape), tuple(tensor.stride()), tensor.dtype, slot, self._mode.is_parameter(tensor)
        )

    def new(self, shape: Sequence[int], dtype: torch.dtype) -> TensorSpec:
        self.starts.append((-1, len(self.starts)))
        return _contiguous(shape, dtype, len(self.starts) - 1)


# ── attention ────────────────────────────────────────────────────────────────────────────────────────────────────────
def _attention(mode: CountingMode) -> Callable[..., Any]:
    def scaled_dot_product_attention(
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        *,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> Tensor:
        out_shape = _checked_attention_shape(query, key, value, grouped=enable_gqa)
        shape = AttentionShape(
            batch=prod(out_shape[:-2]),
            queries=query.shape[-2],
            keys=key.shape[-2],
            head=query.shape[-1],
            value_head=value.shape[-1],
            causal=is_causal,
            mask=None if attn_mask is None else attn_mask.dtype,
            dropout=dropout_p > 0,
        )
        specs = _Specs(mode)
        q, k, v, mask = (specs.of(t) for t in (query, key, value, attn_mask))
        dtype = query.dtype
        out = specs.new(out_shape, dtype)
        if mode.attention_keeps_probabilities:  # math: the softmax output; flash: one log-sum-exp a row
            kept = specs.new((shape.batch, shape.queries, shape.keys), dtype)
        else:
            kept = specs.new((shape.batch, shape.queries), torch.promote_types(dtype, torch.float32))
        name = "scaled_dot_product_attention"
        shapes = (shape, q, k, v, mask)

        def forward() -> None:
            writes = (out, kept if mode.gradient else None)
            cost = shape.forward().with_traffic(reads=(q, k, v, mask), writes=writes)
            mode.record_cost((name, *shapes), OpCall(name, (q, k, v, mask), {}, out), cost, list(specs.starts))

        def backward(needed: tuple[bool, ...], given: tuple[bool, ...], more: list[tuple[int, int]]) -> None:
            flash = not mode.attention_keeps_probabilities
            grad = specs.new(out_shape, dtype)
            made = [specs.new(s.shape, s.dtype) for s, need in zip((q, k, v, mask), needed, strict=True) if need and s]
            cost = shape.backward(recompute=flash)
            cost = cost.with_traffic(reads=(grad, q, k, v, out, kept, mask if flash else None), writes=made)
            label = f"{name}_backward"
            call = OpCall(label, (grad, q, k, v, mask), {}, tuple(made))
            mode.record_cost((label, needed, *shapes), call, cost, [*specs.starts, *more])

        def outputs() -> tuple[Tensor, ...]:
            return (torch.empty(out_shape, dtype=dtype, device="meta"),)

        (result,) = _apply(WholeOperator(mode, outputs, forward, backward), query, key, value, attn_mask)
        return result

    return scaled_dot_product_attention


def _checked_attention_shape(query: Tensor, key: Tensor, value: Tensor, *, grouped: bool) -> tuple[int, ...]:
    q, k, v = query.shape, key.shape, value.shape
    if min(len(q), len(k), len(v)) < 2 or q[-1] != k[-1] or k[-2] != v[-2]:
        raise RuntimeError(f"attention shapes do not fit: query {tuple(q)}, key {tuple(k)}, value {tuple(v)}")
    if grouped:
        if len(q) < 3 or q[-3] % k[-3] or q[-3] % v[-3]:
            raise RuntimeError(f"query heads {tuple(q)} are no multiple of key and value heads {tuple(k)}")
        return (*q[:-1], v[-1])
    batch = torch.broadcast_shapes(q[:-2], k[:-2], v[:-2])  # type: ignore[no-untyped-call]
    return (*batch, q[-2], v[-1])


# ── recurrent layers ─────────────────────────────────────────────────────────────────────────────────────────────────
@dataclass(frozen=True)
class _Layer:
    """One layer and direction: input (rows…, I), states, weights (w_ih, w_hh, b_ih, b_hh, w_hr as present)."""

    cell: Cell
    operator: str
    x: Tensor
    states: tuple[Tensor, ...]
    weights: tuple[Tensor, ...]
    bias: bool

    @property
    def shape(self) -> LayerShape:
        hidden = self.weights[0].shape[0] // GATES[self.cell]
        projects = self.cell == "lstm" and len(self.weights) in (3, 5)
        projection = self.weights[-1].shape[0] if projects else 0
        inputs = self.x.shape[-1]
        return LayerShape(
            self.cell, prod(self.x.shape[:-1]), prod(self.states[0].shape[:-1]), inputs, hidden, projection
        )


def _run_layer(mode: CountingMode, layer: _Layer, *, cell_only: bool = False) -> tuple[Tensor, ...]:
    """(y, h_n[, c_n]) of one layer and direction, recorded as one operator; a single cell returns (h'[, c'])."""
    shape = layer.shape
    x, dtype = layer.x, layer.x.dtype
    if x.shape[-1] != layer.weights[0].shape[1]:
        raise RuntimeError(
            f"{layer.operator} input has {x.shape[-1]} features, the weights take {layer.weights[0].shape[1]}"
        )
    specs = _Specs(mode)
    x_spec = specs.of(x)
    state_specs = [specs.of(s) for s in layer.states]
    weight_specs = [specs.of(w) for w in layer.weights]
    y_shape = (*x.shape[:-1], shape.recurrent)
    y = specs.new(y_shape, dtype)
    last = [specs.new(s.shape, s.dtype) for s in layer.states]
    written = last if cell_only else [y, *last]
    kept = specs.new((KEPT[layer.cell], shape.rows, shape.hidden), dtype) if KEPT[layer.cell] else None
    inputs = (x, *layer.states, *layer.weights)
    key = (layer.operator, shape, x_spec, *state_specs, *weight_specs)

    def forward() -> None:
        reads = (x_spec, *state_specs, *weight_specs)
        writes = (*written, kept if mode.gradient else None)
        cost = shape.forward().with_traffic(reads=reads, writes=writes)
        mode.record_cost(key, OpCall(layer.operator, reads, {}, tuple(written)), cost, list(specs.starts))

    def backward(needed: tuple[bool, ...], given: tuple[bool, ...], more: list[tuple[int, int]]) -> None:
        n_states = len(layer.states)
        weight_grad = any(needed[1 + n_states :])
        state_grad = any(needed[1 : 1 + n_states])
        cost = shape.backward(input_grad=needed[0], state_grad=state_grad, weight_grad=weight_grad, bias=layer.bias)
        grads = [specs.new(s.shape, s.dtype) for s, there in zip(written, given, strict=True) if there]
        made = [specs.new(t.shape, t.dtype) for t, need in zip(inputs, needed, strict=True) if need]
        matrices = (spec for spec, w in zip(weight_specs, layer.weights, strict=True) if w.dim() > 1)  # no biases
        reads = (*grads, x_spec if weight_grad else None, *state_specs, y, kept, *matrices)
        label = f"{layer.operator}_backward"
        cost = cost.with_traffic(reads=reads, writes=made)
        call = OpCall(label, reads, {}, tuple(made))
        mode.record_cost((label, needed, given, *key), call, cost, [*specs.starts, *more])

    def outputs() -> tuple[Tensor, ...]:
        shapes = [s.shape for s in layer.states] if cell_only else [y_shape, *(s.shape for s in layer.states)]
        return tuple(torch.empty(s, dtype=dtype, device="meta") for s in shapes)

    return _apply(WholeOperator(mode, outputs, forward, backward), *inputs)


def _layers(
    mode: CountingMode,
    cell: Cell,
    x: Tensor,
    states: Sequence[Tensor],
    weights: Sequence[Tensor],
    *,
    has_biases: bool,
    num_layers: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
) -> tuple[Tensor, ...]:
    """All layers: x (T, B, I) or packed (rows, I), states (layers·directions, B, R) each."""
    directions = 2 if bidirectional else 1
    per_layer = len(weights) // (num_layers * directions)
    by_layer = [state.unbind(0) for state in states]
    finals: list[list[Tensor]] = [[] for _ in states]
    for number in range(num_layers):
        outputs = []
        for direction in range(directions):
            place = number * directions + direction
            layer = _Layer(
                cell,
                cell,
                x,
                tuple(state[place] for state in by_layer),
                tuple(weights[place * per_layer : (place + 1) * per_layer]),
                has_biases,
            )
            y, *last = _run_layer(mode, layer)
            outputs.append(y)
            for kept, state in zip(finals, last, strict=True):
                kept.append(state)
        with mode.paused():  # both directions write into one buffer: joining costs nothing
            x = outputs[0] if directions == 1 else torch.cat(outputs, -1)
        mode.trace.made(x)
        if dropout > 0 and train and number < num_layers - 1:
            x = torch.dropout(x, dropout, True)
    with mode.paused():
        joined = tuple(torch.stack(kept) for kept in finals)
    mode.trace.made(joined)
    return (x, *joined)


def _time_first(x: Tensor, batch_first: bool) -> Tensor:
    return x.transpose(0, 1) if batch_first else x


def _recurrent(mode: CountingMode, cell: Cell) -> Callable[..., Any]:
    def padded(
        x: Tensor,
        hx: Any,
        params: Sequence[Tensor],
        has_biases: bool,
        num_layers: int,
        dropout: float,
        train: bool,
        bidirectional: bool,
        batch_first: bool,
    ) -> Any:
        states = list(hx) if isinstance(hx, list | tuple) else [hx]
        y, *last = _layers(
            mode,
            cell,
            _time_first(x, batch_first),
            states,
            params,
            has_biases=has_biases,
            num_layers=num_layers,
            dropout=dropout,
            train=train,
            bidirectional=bidirectional,
        )
        return (_time_first(y, batch_first), *last)

    return padded


def _packed_recurrent(mode: CountingMode, cell: Cell) -> Callable[..., Any]:
    def packed(
        data: Tensor,
        batch_sizes: Tensor,
        hx: Any,
        params: Sequence[Tensor],
        has_biases: bool,
        num_layers: int,
        dropout: float,
        train: bool,
        bidirectional: bool,
    ) -> Any:
        states = list(hx) if isinstance(hx, list | tuple) else [hx]
        return _layers(
            mode,
            cell,
            data,
            states,
            params,
            has_biases=has_biases,
            num_layers=num_layers,
            dropout=dropout,
            train=train,
            bidirectional=bidirectional,
        )

    return packed


def _single_cell(mode: CountingMode, cell: Cell) -> Callable[..., Any]:
    def step(
        x: Tensor,
        hx: Any,
        w_ih: Tensor,
        w_hh: Tensor,
        b_ih: Tensor | None = None,
        b_hh: Tensor | None = None,
    ) -> Any:
        states = tuple(hx) if isinstance(hx, list | tuple) else (hx,)
        weights = tuple(w for w in (w_ih, w_hh, b_ih, b_hh) if w is not None)
        layer = _Layer(cell, f"{cell}_cell", x, states, weights, b_ih is not None)
        result = _run_layer(mode, layer, cell_only=True)
        return result if len(result) > 1 else result[0]

    return step


def _dropout(x: Tensor, p: float, train: bool) -> Tensor:
    """One kernel, as on a GPU; torch's composite for other devices is three operators."""
    return torch.native_dropout(x, p, True)[0] if train and p > 0 else x


_CELLS: Final[tuple[Cell, ...]] = ("gru", "lstm", "rnn_tanh", "rnn_relu")


def whole_operators(mode: CountingMode) -> dict[str, Callable[..., Any]]:
    """Operator and overload → what stands for it while `mode` counts."""
    table: dict[str, Callable[..., Any]] = {"scaled_dot_product_attention": _attention(mode), "dropout": _dropout}
    for cell in _CELLS:
        table[f"{cell}.input"] = _recurrent(mode, cell)
        table[f"{cell}.data"] = _packed_recurrent(mode, cell)
        table[f"{cell}_cell"] = _single_cell(mode, cell)
    return table


@contextmanager
def taken_whole(mode: CountingMode) -> Iterator[None]:
    """Replaces the operators for meta tensors; torch's own come back on leaving."""
    library: Any = torch.library.Library("aten", "IMPL")  # type: ignore[no-untyped-call]
    try:
        for name, stand_in in whole_operators(mode).items():
            library.impl(name, stand_in, "AutogradMeta")
            mode.taken_whole[f"aten::{name}"] = stand_in
        yield
    finally:
        mode.taken_whole.clear()
        library._destroy()
