"""Output shapes of operators that torch cannot run on the meta device.

Sparse tensors and packed weights come as the named tuples of `opaque`. A quantised tensor is stood for by the integers
that hold it, because torch's own cannot be on the meta device.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias

import torch

from energybench.counting.opaque import Sparse, sparse_parts, sparse_tensor, stand_in_dtype
from energybench.errors import CountingError

ShapeFunction: TypeAlias = Callable[[Any, Any], Any]


def _pack_padded(args: Any, kwargs: Any) -> Any:
    """(input (T, B, …) or (B, T, …), lengths, batch_first) → (rows, batch sizes): lengths must have values."""
    x, lengths = args[:2]
    lengths = [int(n) for n in lengths.tolist()]
    batch_sizes = torch.tensor([sum(n > t for n in lengths) for t in range(max(lengths))], dtype=torch.int64)
    return torch.empty((sum(lengths), *x.shape[2:]), dtype=x.dtype, device=x.device), batch_sizes


def _pack_padded_backward(args: Any, kwargs: Any) -> Any:
    grad, size = args[0], args[1]
    return torch.empty(tuple(size), dtype=grad.dtype, device=grad.device)


def _grouped_product(args: Any, kwargs: Any) -> Any:
    """(a, b, offsets, bias, out_dtype): torch's own rule knows bfloat16 alone. Raggedness is in M, N or K."""
    a, b = args[:2]
    out_dtype = (args[4] if len(args) > 4 else kwargs.get("out_dtype")) or a.dtype
    offsets = args[2] if len(args) > 2 else kwargs.get("offs")
    if a.shape[-1] != b.shape[-2]:
        raise RuntimeError(f"grouped product of {tuple(a.shape)} and {tuple(b.shape)}: inner sizes differ")
    if a.dim() == 2 and b.dim() == 2:
        shape: tuple[int, ...] = (offsets.shape[0], a.shape[0], b.shape[1])
    elif a.dim() == 3 and b.dim() == 3:
        shape = (a.shape[0], a.shape[1], b.shape[2])
    else:
        shape = (a.shape[-2], b.shape[-1])
    return torch.empty(shape, dtype=out_dtype, device="meta")


def _single_random(args: Any, kwargs: Any) -> Any:
    """A single uniform number is real and has its mean, ½: models leave a layer out where one is below a rate."""
    if torch.Size(args[0]).numel() != 1 or torch.device(kwargs.get("device") or "cpu").type != "cpu":
        return NotImplemented
    return torch.full(args[0], 0.5, dtype=kwargs.get("dtype"), device="cpu")


def _like_input(args: Any, kwargs: Any) -> Any:
    """(grad, input, …) → gradient of the input."""
    return torch.empty(tuple(args[1].shape), dtype=args[1].dtype, device="meta")


def _ctc(args: Any, kwargs: Any) -> Any:
    """(logp (T, N, C) or (T, C), targets, input lengths, target lengths, …): lengths must have values."""
    logp, lengths = args[0], args[3]
    longest = int(lengths.max()) if isinstance(lengths, torch.Tensor) else max(lengths)
    batch = logp.shape[1] if logp.dim() == 3 else 1
    loss = torch.empty((batch,), dtype=logp.dtype, device="meta")
    return loss, torch.empty((batch, logp.shape[0], 2 * longest + 1), dtype=logp.dtype, device="meta")


# ── quantised ────────────────────────────────────────────────────────────────────────────────────────────────────────
def _empty(shape: Any, dtype: torch.dtype) -> torch.Tensor:
    return torch.empty(tuple(shape), dtype=stand_in_dtype(dtype), device="meta")


def _checked(name: str, given: int, wanted: int) -> None:
    if given != wanted:
        raise RuntimeError(f"{name} input has {given} features, the weight takes {wanted}")


def _packed_linear(args: Any, kwargs: Any) -> Any:
    x, packed = args[:2]
    _checked("quantised linear", x.shape[-1], packed.weight.shape[1])
    return _empty((*x.shape[:-1], packed.weight.shape[0]), x.dtype)


def _packed_convolution(args: Any, kwargs: Any) -> Any:
    x, packed = args[:2]
    dims = x.dim() - 2
    weight = torch.empty((*packed.weight.shape[:2], *packed.weight.shape[-dims:]), device="meta")
    sizes = (packed.stride, packed.padding, packed.dilation)
    stride, padding, dilation = (list(values[-dims:]) for values in sizes)
    more = list(packed.output_padding[-dims:]) if packed.transposed else [0] * dims
    floats = torch.empty(tuple(x.shape), device="meta")
    out = torch.ops.aten.convolution(
        floats, weight, None, stride, padding, dilation, packed.transposed, more, packed.groups
    )
    return _empty(out.shape, x.dtype)


def _packed_recurrent(args: Any, kwargs: Any) -> Any:
    """(x, states, cells, …, bidirectional, batch_first), or (data, batch_sizes, states, cells, …, bidirectional)."""
    x, place = args[0], 2 if isinstance(args[2], list | tuple) and not isinstance(args[2][0], torch.Tensor) else 3
    states = args[place - 1]
    states = list(states) if isinstance(states, list | tuple) else [states]
    _checked("quantised recurrent layer", x.shape[-1], args[place][0].weights[0].weight.shape[1])
    directions = 2 if args[place + 5] else 1
    y = _empty((*x.shape[:-1], directions * states[0].shape[-1]), x.dtype)
    return (y, *(_empty(state.shape, state.dtype) for state in states))


def _packed_cell(args: Any, kwargs: Any) -> Any:
    states = args[1]
    _checked("quantised cell", args[0].shape[-1], args[2].weight.shape[1])
    if isinstance(states, list | tuple):
        return tuple(_empty(state.shape, state.dtype) for state in states)
    return _empty(states.shape, states.dtype)


def _quantize(args: Any, kwargs: Any) -> Any:
    dtype = next((a for a in (*args, *kwargs.values()) if isinstance(a, torch.dtype)), torch.quint8)
    return _empty(args[0].shape, dtype)


def _dequantize(args: Any, kwargs: Any) -> Any:
    return _empty(args[0].shape, torch.float32)


def _as_first(args: Any, kwargs: Any) -> Any:
    shapes = [a.shape for a in args[:2] if isinstance(a, torch.Tensor)]
    return _empty(torch.broadcast_shapes(*shapes), args[0].dtype)  # type: ignore[no-untyped-call]


def _mean(args: Any, kwargs: Any) -> Any:
    """Of quantised numbers, which torch averages on devices that have them, too."""
    x = args[0]
    if x.dtype not in (torch.uint8, torch.int8):
        return NotImplemented
    floats = torch.empty(tuple(x.shape), device="meta")
    return _empty(torch.mean(floats, *args[1:], **kwargs).shape, x.dtype)


def _quantised_cat(args: Any, kwargs: Any) -> Any:
    return torch.cat(list(args[0]), args[1] if len(args) > 1 else kwargs["dim"])


def _weight_only(args: Any, kwargs: Any) -> Any:
    x, weight = args[:2]
    return _empty((x.shape[0], weight.shape[0]), x.dtype)


# ── sparse ───────────────────────────────────────────────────────────────────────────────────────────────────────────
def _sparse_product(args: Any, kwargs: Any) -> Any:
    matrix, dense = args[-2:]
    if not isinstance(matrix, Sparse) or isinstance(dense, Sparse):
        raise RuntimeError("a product of two sparse matrices, or of a dense and a sparse one, has no counting rule")
    if matrix.shape[1] != dense.shape[0]:
        raise RuntimeError(f"sparse matrix {matrix.shape} and dense {tuple(dense.shape)} do not fit")
    return _empty((matrix.shape[0], *dense.shape[1:]), dense.dtype)


def _sparse_sum(args: Any, kwargs: Any) -> Any:
    dense, matrix = args[:2]
    if isinstance(dense, Sparse) or not isinstance(matrix, Sparse):
        raise RuntimeError("only a dense tensor plus a sparse one has a counting rule")
    return _empty(dense.shape, dense.dtype)


def _sparse_mask(args: Any, kwargs: Any) -> Any:
    dense, matrix = args[:2]
    *indices, values = matrix.parts
    return sparse_tensor(matrix._replace(parts=(*indices, _empty(values.shape, dense.dtype))), coalesced=True)


def _sparse_copy(args: Any, kwargs: Any) -> Any:
    matrix = args[0]
    dtype = kwargs.get("dtype") or matrix.values.dtype
    parts = [_empty(p.shape, p.dtype) for p in matrix.parts[:-1]]
    return sparse_tensor(matrix._replace(parts=(*parts, _empty(matrix.values.shape, dtype))), coalesced=True)


def _to_dense(args: Any, kwargs: Any) -> Any:
    matrix = args[0]
    return _empty(matrix.shape, kwargs.get("dtype") or matrix.values.dtype)


SPARSE_SHAPES: Final[dict[str, ShapeFunction]] = {
    "mm": _sparse_product,
    "mv": _sparse_product,
    "addmm": _sparse_product,
    "_sparse_addmm": _sparse_product,
    "add": _sparse_sum,
    "sparse_mask": _sparse_mask,
    "clone": _sparse_copy,
    "_to_copy": _sparse_copy,
    "_coalesce": _sparse_copy,
    "_to_dense": _to_dense,
    "to_dense": _to_dense,
}

_LINEAR: Final = (
    *(f"linear{relu}_dynamic{half}" for relu in ("", "_relu") for half in ("", "_fp16")),
    *("linear", "linear_relu", "linear_leaky_relu"),
)
_CELLS: Final = tuple(f"quantized_{cell}_cell_dynamic" for cell in ("lstm", "gru", "rnn_tanh", "rnn_relu"))
_CONVOLUTIONS: Final = tuple(
    f"conv{kind}{d}d{end}" for kind in ("", "_transpose") for d in (1, 2, 3) for end in ("", "_relu", "_dynamic")
)

SHAPES: Final[dict[str, ShapeFunction]] = {
    "aten._pack_padded_sequence": _pack_padded,
    "aten._pack_padded_sequence_backward": _pack_padded_backward,
    "aten._grouped_mm": _grouped_product,
    "aten._ctc_loss": _ctc,
    "aten.rand": _single_random,
    **dict.fromkeys(
        ("aten._ctc_loss_backward", "aten.multi_margin_loss_backward", "aten.multilabel_margin_loss_backward"),
        _like_input,
    ),
    **{f"quantized.{name}": _packed_linear for name in _LINEAR},
    **{f"quantized.{name}": _packed_cell for name in _CELLS},
    **{f"quantized.{name}": _packed_convolution for name in _CONVOLUTIONS},
    **dict.fromkeys(("aten.quantized_lstm", "aten.quantized_gru"), _packed_recurrent),
    **{f"aten.quantize_per_{kind}": _quantize for kind in ("tensor", "channel", "tensor_dynamic")},
    "aten.dequantize": _dequantize,
    **{f"quantized.{name}{relu}": _as_first for name in ("add", "mul") for relu in ("", "_relu")},
    **dict.fromkeys(("quantized.cat", "quantized.cat_relu"), _quantised_cat),
    "aten._weight_int8pack_mm": _weight_only,
    "aten.mean": _mean,
}


def shape_function(name: str) -> ShapeFunction | None:
    """Our own shape rule for ``aten.op``, None where torch's meta kernel is used."""
    return SHAPES.get(name)


def sparse_shape_function(name: str) -> ShapeFunction:
    """The shape rule for ``aten.op`` where an argument is sparse. Raises CountingError where there is none."""
    rule = SPARSE_SHAPES.get(sparse_name(name))
    if rule is None:
        raise _no_sparse_rule(name)
    return rule


def sparse_name(name: str) -> str:
    """``aten.add_`` → ``add``: what formulas of sparse operators are registered under."""
    return name.rpartition(".")[2].removesuffix("_")


def _no_sparse_rule(name: str) -> CountingError:
    return CountingError(f"{name} on a sparse tensor has no counting rule; count the dense form of that part")


#: What torch itself may be asked of a sparse meta tensor. Its transposition forgets how many values there are.
_ASKED: Final = frozenset(
    (
        "detach alias is_coalesced _coalesced_ _nnz _indices _values indices values crow_indices col_indices "
        "ccol_indices row_indices sparse_dim dense_dim _dimI _dimV size dim numel sym_size sym_numel is_same_size"
    ).split()
)


def sparse_view(func: Any, name: str, args: Any, kwargs: Any) -> Any:
    """A view of a sparse tensor, or a question about it. Raises CountingError where it has no rule."""
    base = name.rpartition(".")[2]
    if base in _ASKED:
        return func(*args, **kwargs)
    matrix = args[0]
    if base not in ("t", "transpose") or matrix.dim() != 2:
        raise _no_sparse_rule(name)
    if base == "transpose" and args[1] % 2 == args[2] % 2:
        return matrix
    made = sparse_parts(matrix)
    layout = _TRANSPOSED.get(made.layout, made.layout)  # rows and columns of a compressed layout change their names
    return sparse_tensor(Sparse(layout, made.shape[::-1], made.parts), coalesced=False)


_TRANSPOSED: Final = {"sparse_csr": "sparse_csc", "sparse_csc": "sparse_csr"}
