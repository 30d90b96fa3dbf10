"""Sparse tensors and packed weights: what they are made of, as plain meta tensors that formulas can read.

A sparse tensor has no strides and no single storage; the packed weight of a quantised layer is an object of torch's
C++ side. Both are shown to formulas as named tuples of tensors, so that their traffic is counted like any other. Their
values are never read, except how many a sparse tensor holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

import torch
from torch import nn

from energybench.errors import CountingError

Tensor = torch.Tensor
_META: Final = torch.device("meta")

#: Quantised element types and the integers that hold them: torch cannot run quantised tensors on the meta device.
INTEGERS: Final = {torch.quint8: torch.uint8, torch.qint8: torch.int8, torch.qint32: torch.int32}


class Sparse(NamedTuple):
    """A sparse tensor: its dense `shape`, and `parts` with the indices first and the stored values last."""

    layout: str
    shape: tuple[int, ...]
    parts: tuple[Any, ...]

    @property
    def values(self) -> Any:
        """The stored values, (nnz, …), or (blocks, rows, columns) in a blocked layout."""
        return self.parts[-1]


class Packed(NamedTuple):
    """A quantised layer's weight (N, K) or (C_out, C_in/groups, *kernel), its bias, and a convolution's geometry."""

    weight: Any
    bias: Any
    stride: tuple[int, ...] = ()
    padding: tuple[int, ...] = ()
    dilation: tuple[int, ...] = ()
    output_padding: tuple[int, ...] = ()
    groups: int = 1
    transposed: bool = False


class PackedCell(NamedTuple):
    """One layer and direction of a quantised recurrent layer: its input's and its state's weight."""

    weights: tuple[Packed, ...]


def stand_in_dtype(dtype: torch.dtype) -> torch.dtype:
    """The integers that hold a quantised type; other types as they are."""
    return INTEGERS.get(dtype, dtype)


def sparse_parts(tensor: Tensor) -> Sparse:
    """What a sparse tensor, in any layout, is made of."""
    if tensor.layout == torch.sparse_coo:
        parts: tuple[Tensor, ...] = (tensor._indices(), tensor._values())
    elif tensor.layout in (torch.sparse_csr, torch.sparse_bsr):
        parts = (tensor.crow_indices(), tensor.col_indices(), tensor.values())
    elif tensor.layout in (torch.sparse_csc, torch.sparse_bsc):
        parts = (tensor.ccol_indices(), tensor.row_indices(), tensor.values())
    else:
        raise CountingError(f"a tensor of layout {tensor.layout} has no counting rule; count its dense form")
    return Sparse(str(tensor.layout).removeprefix("torch."), tuple(tensor.shape), parts)


def sparse_tensor(made: Sparse, *, coalesced: bool) -> Tensor:
    """The sparse meta tensor that consists of these parts."""
    *indices, values = made.parts
    if made.layout == "sparse_coo":
        return torch.sparse_coo_tensor(
            indices[0], values, made.shape, is_coalesced=coalesced, check_invariants=False, device=_META
        )
    compressed, plain = indices
    return torch.sparse_compressed_tensor(
        compressed,
        plain,
        values,
        size=made.shape,
        layout=getattr(torch, made.layout),
        check_invariants=False,
        device=_META,
    )


def sparse_twin(tensor: Tensor) -> Tensor:
    """The same sparse tensor on the meta device: as many values, none of them known."""
    made = sparse_parts(tensor.detach())
    parts = (torch.empty(tuple(part.shape), dtype=part.dtype, device=_META) for part in made.parts)
    coalesced = tensor.layout == torch.sparse_coo and tensor.is_coalesced()
    return sparse_tensor(made._replace(parts=tuple(parts)), coalesced=coalesced)


class PackedWeights:
    """Opens the packed weights of quantised layers; what they hold counts as parameters.

    torch hands out a new wrapper of the same object at every call, so an object is known again by its bias, whose
    memory it shares, or where it has none by the bytes of its weight.
    """

    def __init__(self) -> None:
        self._opened: dict[Any, tuple[Any, Packed | PackedCell]] = {}

    def open(self, obj: Any) -> Packed | PackedCell:
        """Raises CountingError on an object of torch's C++ side that is no packed weight."""
        kind = str(obj._type()).rpartition(".")[2]
        if kind == "CellParamsBase":
            _, biases, _, _, packed = obj.__getstate__()[0]
            layers = tuple(
                p if p.bias is not None else p._replace(bias=b)
                for p, b in zip((self._layer(p) for p in packed), biases or (None, None), strict=True)
            )
            return self._known(obj, layers, lambda: PackedCell(tuple(map(_layer_twin, layers))))
        if not kind.endswith("PackedParamsBase") or not obj._has_method("unpack"):
            raise CountingError(f"an object of type {kind} has no counting rule; count the float form of the model")
        layer = self._layer(obj)
        return self._known(obj, (layer,), lambda: _layer_twin(layer))

    def _known(
        self, obj: Any, layers: tuple[Packed, ...], make: Callable[[], Packed | PackedCell]
    ) -> Packed | PackedCell:
        key = tuple(
            (tuple(w.weight.shape), _bytes_hash(w.weight) if w.bias is None else w.bias.data_ptr()) for w in layers
        )
        if key not in self._opened:
            self._opened[key] = (obj, make())  # the object is kept, so that no other gets its address
        return self._opened[key][1]

    def _layer(self, obj: Any) -> Packed:
        """The weight and bias as torch unpacks them, on the CPU."""
        weight, bias = obj.unpack()
        if not obj._has_method("groups"):
            return Packed(weight, bias)
        stride, padding, dilation, more = (
            tuple(int(n) for n in values)
            for values in (obj.stride(), obj.padding(), obj.dilation(), obj.output_padding())
        )
        return Packed(weight, bias, stride, padding, dilation, more, int(obj.groups()), bool(obj.transpose()))


def _bytes_hash(weight: Tensor) -> int:
    plain = weight.int_repr() if weight.is_quantized else weight
    return hash(plain.contiguous().numpy().tobytes())


def _layer_twin(layer: Packed) -> Packed:
    """The same on the meta device; what unpacks to single precision is held in half precision."""
    weight = layer.weight
    dtype = stand_in_dtype(weight.dtype) if weight.is_quantized else torch.float16
    bias = layer.bias
    return layer._replace(
        weight=torch.empty(tuple(weight.shape), dtype=dtype, device=_META),
        bias=None if bias is None else torch.empty(tuple(bias.shape), dtype=bias.dtype, device=_META),
    )


def expanded(value: Any, packed: PackedWeights) -> Any:
    """Sparse tensors and packed weights, in nested lists and tuples, as the named tuples of what they are made of."""
    if isinstance(value, Tensor):
        return value if value.layout == torch.strided else sparse_parts(value)
    if isinstance(value, torch.ScriptObject):
        return packed.open(value)
    if isinstance(value, list | tuple) and not isinstance(value, torch.Size):
        made = [expanded(item, packed) for item in value]
        if isinstance(value, list):
            return made
        return type(value)(*made) if hasattr(value, "_fields") else tuple(made)
    return value


def packed_objects(model: nn.Module) -> Iterator[tuple[nn.Module, Any]]:
    """Every packed weight that a module holds, with its module."""
    for module in model.modules():
        for value in vars(module).values():
            if isinstance(value, torch.ScriptObject):
                yield module, value


def packed_tensors(packed: Packed | PackedCell) -> Iterator[Tensor]:
    """The tensors inside."""
    if isinstance(packed, PackedCell):
        for one in packed.weights:
            yield from packed_tensors(one)
    else:
        yield from (t for t in (packed.weight, packed.bias) if t is not None)


def strided_parts(tensor: Tensor) -> tuple[Tensor, ...]:
    """The tensor itself, or what a sparse one is made of."""
    return (tensor,) if tensor.layout == torch.strided else tuple(sparse_parts(tensor).parts)


__all__ = [
    "Packed",
    "PackedCell",
    "PackedWeights",
    "Sparse",
    "expanded",
    "packed_objects",
    "packed_tensors",
    "sparse_parts",
    "sparse_tensor",
    "sparse_twin",
    "stand_in_dtype",
    "strided_parts",
]
