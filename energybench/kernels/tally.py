"""`count`: what a call would do, from its shapes; nothing runs and no data is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from energybench.kernels import closed_form, launch, shapes
from energybench.kernels.arrays import is_torch
from energybench.kernels.closed_form import Basis
from energybench.kernels.registry import AUTO, resolve_operator, resolve_variant
from energybench.records.op_counts import OpCounts

_SHAPES: Final[Mapping[str, Callable[..., tuple[Any, str]]]] = {
    "conv2d": shapes.conv_shape,
    "gru": shapes.gru_shape,
    "attention": shapes.attention_shape,
    "linear": shapes.linear_shape,
    "softmax": shapes.softmax_shape,
    "layer_norm": shapes.layer_norm_shape,
    "relu": shapes.pointwise_shape,
    "sigmoid": shapes.pointwise_shape,
    "tanh": shapes.pointwise_shape,
    "gelu": shapes.pointwise_shape,
    "max_pool2d": shapes.max_pool_shape,
    "avg_pool2d": shapes.avg_pool_shape,
    "probe_fma": launch.fma_probe_shape,
    "probe_stream": launch.stream_probe_shape,
}
_CLOSED_FORMS: Final[Mapping[str, Callable[..., OpCounts]]] = {
    "conv2d": closed_form.conv2d,
    "gru": closed_form.gru,
    "attention": closed_form.attention,
    "linear": closed_form.linear,
    "softmax": closed_form.softmax,
    "layer_norm": closed_form.layer_norm,
    "relu": closed_form.relu,
    "sigmoid": closed_form.sigmoid,
    "tanh": closed_form.tanh,
    "gelu": closed_form.gelu,
    "max_pool2d": closed_form.max_pool2d,
    "avg_pool2d": closed_form.avg_pool2d,
    "probe_fma": closed_form.probe_fma,
    "probe_stream": closed_form.probe_stream,
}


def count(
    kernel: str,
    *arrays: Any,
    basis: Basis = "compulsory",
    variant: str = AUTO,
    threads: int | None = None,
    **options: Any,
) -> OpCounts:
    """Exact counts of a kernel call, by closed form: ``count("conv2d", x, w, padding=1)``.

    Arrays may lie on torch's meta device. The closed forms are proven equal to the counting kernels (`counted_run`)
    by tests, on ragged shapes; a record that uses them says ``counts_source="closed_form"``.

    Args:
        kernel: Name of the kernel.
        *arrays: Its arrays, as in the call.
        basis: ``compulsory`` (each tensor once) or ``issued`` (every load and store of the loops).
        variant: As in the call.
        threads: As in the call; counts do not depend on it.
        **options: Its keyword arguments, as in the call.

    Raises:
        UsageError: The call itself would be refused.
        CountingError: The basis is neither of the two.
    """
    del threads
    resolve_variant(resolve_operator(kernel), variant)
    shape, dtype = _SHAPES[kernel](*arrays, **options)
    device = "cuda" if is_torch(arrays[0]) and arrays[0].device.type == "cuda" else "cpu"
    return _CLOSED_FORMS[kernel](shape, dtype, basis, device=device)
