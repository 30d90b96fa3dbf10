"""Stub of the compiled CPU kernels (csrc/bindings/cpu/)."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

_Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
_Counts: TypeAlias = dict[str, Any]

count_fields: tuple[str, ...]
compile_flags: str
#: ``rung=vector_bytes flags`` of each tuned rung, with semicolons between them.
rung_flags: str
#: Those that this processor can run, the widest last.
instruction_sets: tuple[str, ...]

def default_threads() -> int: ...
def release_threads() -> int: ...
def release_workspace() -> int: ...
def empty(shape: Sequence[int], dtype: np.dtype[Any]) -> _Array: ...
def release_results() -> int: ...
def poison_results(on: bool) -> None: ...
def seat(array: _Array) -> _Array: ...

class RepeatTable:
    def __init__(self, most: int) -> None: ...
    def add(
        self,
        arrays: list[tuple[Any, ...] | None],
        options: dict[str, Any],
        threads: int,
        calls: list[tuple[Callable[..., Any], tuple[Any, ...], list[tuple[_Array, int]]]],
        memory: list[tuple[tuple[int, ...], np.dtype[Any]]],
        returned: list[int],
        from_numpy: Callable[[_Array], Any] | None,
    ) -> None: ...
    def run(self, arrays: tuple[Any, ...], options: dict[str, Any], threads: object) -> tuple[Any, ...] | None: ...
    def __len__(self) -> int: ...

def conv2d(
    x: _Array,
    w: _Array,
    bias: _Array | None,
    y: _Array,
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
    direct: bool,
    variant: str,
    threads: int,
    counting: bool,
) -> _Counts | None: ...
def batch_norm(
    x: _Array,
    weight: _Array | None,
    bias: _Array | None,
    running_mean: _Array | None,
    running_var: _Array | None,
    y: _Array,
    mean: _Array | None,
    rstd: _Array | None,
    new_mean: _Array | None,
    new_var: _Array | None,
    momentum: float,
    epsilon: float,
    training: bool,
    variant: str,
    threads: int,
    counting: bool,
) -> _Counts | None: ...
def batch_norm_backward(
    grad: _Array,
    x: _Array,
    mean: _Array,
    spread: _Array,
    weight: _Array | None,
    dx: _Array,
    dweight: _Array | None,
    dbias: _Array | None,
    epsilon: float,
    training: bool,
    variant: str,
    threads: int,
    counting: bool,
) -> _Counts | None: ...
def conv2d_backward(
    dy: _Array,
    x: _Array,
    w: _Array,
    dx: _Array,
    dw: _Array,
    db: _Array | None,
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
    direct: bool,
    variant: str,
    threads: int,
    counting: bool,
) -> _Counts | None: ...
def conv2d_nhwc_backward(
    dy: _Array,
    x: _Array,
    w: _Array,
    dx: _Array,
    dw: _Array,
    db: _Array | None,
    scratch: _Array | None,
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
    direct: bool,
    variant: str,
    threads: int,
    counting: bool,
) -> _Counts | None: ...
def cross_entropy(
    x: _Array, targets: _Array, y: _Array, loss: _Array, variant: str, threads: int, counting: bool
) -> _Counts | None: ...
def cross_entropy_backward(
    grad: _Array, y: _Array, targets: _Array, dx: _Array, variant: str, threads: int, counting: bool
) -> _Counts | None: ...
def dropout(
    x: _Array, y: _Array, mask: _Array, keep: float, seed: int, variant: str, threads: int, counting: bool
) -> _Counts | None: ...
def dropout_backward(
    grad: _Array, mask: _Array, dx: _Array, keep: float, variant: str, threads: int, counting: bool
) -> _Counts | None: ...
def gru(
    x: _Array,
    h0: _Array,
    w_ih: _Array,
    w_hh: _Array,
    b_ih: _Array | None,
    b_hh: _Array | None,
    w_io: _Array | None,
    w_ho: _Array | None,
    b_io: _Array | None,
    b_ho: _Array | None,
    y: _Array,
    h_n: _Array,
    state: _Array | None,
    gates: _Array | None,
    variant: str,
    threads: int,
    counting: bool,
) -> _Counts | None: ...
def gru_backward(
    grad: _Array,
    grad_h: _Array | None,
    x: _Array,
    h0: _Array,
    y: _Array | None,
    gates: _Array,
    w_ih: _Array,
    w_hh: _Array,
    w_io: _Array | None,
    w_ho: _Array | None,
    dx: _Array,
    dh0: _Array,
    dw_ih: _Array,
    dw_hh: _Array,
    db_ih: _Array | None,
    db_hh: _Array | None,
    dw_io: _Array | None,
    dw_ho: _Array | None,
    db_io: _Array | None,
    db_ho: _Array | None,
    variant: str,
    threads: int,
    counting: bool,
) -> _Counts | None: ...
def attention(
    q: _Array,
    k: _Array,
    v: _Array,
    y: _Array,
    scratch: _Array,
    scale: float,
    causal: bool,
    variant: str,
    threads: int,
    counting: bool,
) -> _Counts | None: ...
def attention_backward(
    grad: _Array,
    q: _Array,
    k: _Array,
    v: _Array,
    y: _Array,
    lse: _Array,
    dq: _Array,
    dk: _Array,
    dv: _Array,
    scale: float,
    causal: bool,
    variant: str,
    threads: int,
    counting: bool,
) -> _Counts | None: ...
def online_attention(
    q: _Array,
    k: _Array,
    v: _Array,
    y: _Array,
    lse: _Array,
    scale: float,
    causal: bool,
    variant: str,
    threads: int,
    counting: bool,
) -> _Counts | None: ...
def linear(
    x: _Array,
    w: _Array,
    bias: _Array | None,
    y: _Array,
    x_transposed: bool,
    w_transposed: bool,
    variant: str,
    threads: int,
    counting: bool,
) -> _Counts | None: ...
def linear_backward(
    grad: _Array,
    x: _Array,
    w: _Array,
    dx: _Array,
    dw: _Array,
    db: _Array | None,
    x_transposed: bool,
    w_transposed: bool,
    variant: str,
    threads: int,
    counting: bool,
) -> _Counts | None: ...
def softmax(
    x: _Array, kept: _Array | None, y: _Array, variant: str, threads: int, counting: bool
) -> _Counts | None: ...

softmax_backward = softmax
log_softmax = softmax
log_softmax_backward = softmax

def layer_norm(
    x: _Array,
    weight: _Array | None,
    bias: _Array | None,
    y: _Array,
    mean: _Array | None,
    rstd: _Array | None,
    epsilon: float,
    variant: str,
    threads: int,
    counting: bool,
) -> _Counts | None: ...
def layer_norm_backward(
    grad: _Array,
    x: _Array,
    mean: _Array,
    rstd: _Array,
    weight: _Array | None,
    dx: _Array,
    dweight: _Array | None,
    dbias: _Array | None,
    variant: str,
    threads: int,
    counting: bool,
) -> _Counts | None: ...
def relu(
    w: _Array | None,
    inputs: list[_Array],
    outputs: list[_Array],
    parameters: list[float],
    repeats: int,
    variant: str,
    threads: int,
    counting: bool,
) -> _Counts | None: ...

leaky_relu = relu
sigmoid = relu
tanh = relu
gelu = relu
add = relu
relu_backward = relu
leaky_relu_backward = relu
sigmoid_backward = relu
tanh_backward = relu
gelu_backward = relu
sgd_step = relu
sgd_decay_step = relu
momentum_step = relu
momentum_decay_step = relu
adam_step = relu
adam_decay_step = relu

def max_pool2d(
    x: _Array,
    y: _Array,
    winners: _Array | None,
    kernel_size: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    variant: str,
    threads: int,
    counting: bool,
) -> _Counts | None: ...

avg_pool2d = max_pool2d

def max_pool2d_backward(
    grad: _Array,
    winners: _Array | None,
    dx: _Array,
    kernel_size: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    variant: str,
    threads: int,
    counting: bool,
) -> _Counts | None: ...

avg_pool2d_backward = max_pool2d_backward

def probe_fma(x: _Array, y: _Array, steps: int, variant: str, threads: int, counting: bool) -> _Counts | None: ...
def probe_stream(x: _Array, y: _Array, repeats: int, variant: str, threads: int, counting: bool) -> _Counts | None: ...
def probe(
    kind: str,
    x: _Array | None,
    y: _Array | None,
    places: _Array | None,
    ends: _Array | None,
    n: int,
    times: int,
    chains: int,
    variant: str,
    threads: int,
    counting: bool,
) -> _Counts | None: ...
