"""Stub of the compiled CUDA kernels (csrc/bindings/cuda/); addresses are 0 for an absent array."""

from collections.abc import Sequence
from typing import Any, TypeAlias

_Counts: TypeAlias = dict[str, Any]

count_fields: tuple[str, ...]
compile_flags: str
architectures: str

def device_count() -> tuple[int, str]: ...
def conv2d(
    dtype: str, sizes: Sequence[int], addresses: Sequence[int], device: int, stream: int, counting: bool
) -> _Counts | None: ...
def gru(
    dtype: str, sizes: Sequence[int], addresses: Sequence[int], device: int, stream: int, counting: bool
) -> _Counts | None: ...
def attention(
    dtype: str,
    sizes: Sequence[int],
    addresses: Sequence[int],
    scale: float,
    device: int,
    stream: int,
    counting: bool,
) -> _Counts | None: ...
def linear(
    dtype: str, sizes: Sequence[int], addresses: Sequence[int], device: int, stream: int, counting: bool
) -> _Counts | None: ...
def softmax(
    dtype: str, sizes: Sequence[int], addresses: Sequence[int], device: int, stream: int, counting: bool
) -> _Counts | None: ...
def relu(
    dtype: str, sizes: Sequence[int], addresses: Sequence[int], device: int, stream: int, counting: bool
) -> _Counts | None: ...
def sigmoid(
    dtype: str, sizes: Sequence[int], addresses: Sequence[int], device: int, stream: int, counting: bool
) -> _Counts | None: ...
def tanh(
    dtype: str, sizes: Sequence[int], addresses: Sequence[int], device: int, stream: int, counting: bool
) -> _Counts | None: ...
def gelu(
    dtype: str, sizes: Sequence[int], addresses: Sequence[int], device: int, stream: int, counting: bool
) -> _Counts | None: ...
def max_pool2d(
    dtype: str, sizes: Sequence[int], addresses: Sequence[int], device: int, stream: int, counting: bool
) -> _Counts | None: ...
def avg_pool2d(
    dtype: str, sizes: Sequence[int], addresses: Sequence[int], device: int, stream: int, counting: bool
) -> _Counts | None: ...
def layer_norm(
    dtype: str,
    sizes: Sequence[int],
    addresses: Sequence[int],
    epsilon: float,
    device: int,
    stream: int,
    counting: bool,
) -> _Counts | None: ...
