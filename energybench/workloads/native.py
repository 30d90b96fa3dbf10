"""Rows that run our own kernels: convolution, GRU and attention over a sweep of shapes, and the calibration probes."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

from energybench.records.op_counts import OpCounts
from energybench.records.vocabulary import Direction, Family, KernelClass
from energybench.workloads.inputs import all_finite, normal_tensors
from energybench.workloads.vendor import TorchCall
from energybench.workloads.workload import Runnable, Tally, Workload

if TYPE_CHECKING:
    import torch


class _PreparedCall:
    """A call that is checked once. A deep copy is prepared anew, on arrays and outputs of its own."""

    def __init__(self, kernel: str, arrays: tuple[torch.Tensor, ...], options: Mapping[str, Any]) -> None:
        from energybench import kernels

        call = kernels.prepare(kernel, *arrays, **options)
        self.run = call.run
        self._kernel, self._arrays, self._options, self._outputs = kernel, arrays, options, call.outputs

    def __deepcopy__(self, memo: dict[int, Any]) -> _PreparedCall:
        return _PreparedCall(self._kernel, tuple(a.clone() for a in self._arrays), self._options)

    def is_finite(self) -> bool:
        return all_finite(self._outputs)


@dataclass(frozen=True)
class NativeRecipe:
    """A kernel of `energybench.kernels` with its arguments.

    `arrays`      shapes of the positional array arguments, in the kernel's order
    `parameters`  which of them are weights (the M of the document's equations)
    `options`     the keyword arguments
    `variant`     the rung; named, for `auto` would differ between machines
    `dtype`       element type of the arrays, float32 or float64
    `device`      where the call runs, of a GPU's own rows: launches are counted as that kernel makes them
    `derive`      the kernel's arrays from those drawn, where some are results of a forward pass
    """

    kernel: str
    arrays: tuple[tuple[int, ...], ...]
    parameters: frozenset[int]
    options: Mapping[str, Any] = field(default_factory=dict)
    component: str | None = None
    variant: str = "naive"
    dtype: str = "float32"
    device: Literal["cpu", "cuda"] = "cpu"
    derive: Callable[..., tuple[Any, ...]] | None = None

    def _count(self, basis: Literal["compulsory", "issued"]) -> OpCounts:
        import numpy as np

        from energybench import kernels

        # Counts depend on shapes alone; `empty` leaves the memory untouched.
        arrays = [np.empty(shape, dtype=self.dtype) for shape in self.arrays]
        return kernels.count(
            self.kernel, *arrays, basis=basis, variant=self.variant, device=self.device, **self.options
        )

    def tally(self) -> Tally:
        """Closed-form counts, which tests prove equal to the counting kernels."""
        counts = self._count("compulsory")
        return Tally(
            counts,
            "closed_form",
            parameters=sum(math.prod(self.arrays[i]) for i in self.parameters),
            operators=1,
            components={self.component: counts.flops} if self.component else {},
        )

    def issued_counts(self) -> OpCounts | None:
        """The traffic that the kernel's loops ask for."""
        return self._count("issued")

    def build(self, device: str, threads: int | None, seed: int) -> Runnable:
        """Inputs on the device and the call itself, prepared where it can be: windows pay for no check."""
        from energybench import kernels

        tensors = normal_tensors(self.arrays, dtype=self.dtype, device=device, seed=seed)
        if self.derive is not None:
            tensors = self.derive(*tensors)
        options = {**self.options, "variant": self.variant, "threads": threads}
        if device == "cpu":
            return _PreparedCall(self.kernel, tensors, options)
        return TorchCall(functools.partial(getattr(kernels, self.kernel), **options), *tensors)


def _native(
    kernel: str,
    label: str,
    family: Family,
    kernel_class: KernelClass,
    shape: dict[str, int],
    recipe: NativeRecipe,
    direction: Direction = "forward",
) -> Workload:
    """A row of the kernel `recipe.kernel`, whose operator is `kernel`."""
    return Workload(
        name=f"native/{recipe.kernel}/{label}",
        kernel_id=f"{kernel}_{direction}_{recipe.variant}_fp32",
        family=family,
        split="fit",
        kernel_class=kernel_class,
        implementation="native",
        dtype="float32",
        recipe=recipe,
        direction=direction,
        shape=shape,
    )


def native_conv2d(
    N: int,
    C_in: int,
    H: int,
    C_out: int,
    K: int,
    *,
    stride: int = 1,
    padding: int = 0,
    groups: int = 1,
    channels_last: bool = False,
    backward: bool = False,
) -> Workload:
    """Our convolution of x[N, C_in, H, H] with w[C_out, C_in/groups, K, K] and a bias, or its backward pass.

    With `channels_last` the kernel for channels innermost: x[N, H, H, C_in] and w[C_out, K, K, C_in/groups].
    """
    shape = {"N": N, "C_in": C_in, "H": H, "W": H, "C_out": C_out, "KH": K, "KW": K}
    shape.update(stride=stride, padding=padding, groups=groups)
    options = {"stride": stride, "padding": padding, "groups": groups}
    side = (H + 2 * padding - K) // stride + 1
    x, w = (N, C_in, H, H), (C_out, C_in // groups, K, K)
    operator = "conv2d"
    if backward:
        recipe = NativeRecipe(
            "conv2d_backward", ((N, C_out, side, side), x, w), frozenset({2}), {**options, "has_bias": True}
        )
    elif channels_last:
        operator = "conv2d_nhwc"
        recipe = NativeRecipe(
            operator, ((N, H, H, C_in), (C_out, K, K, C_in // groups), (C_out,)), frozenset({1, 2}), options
        )
    else:
        recipe = NativeRecipe(operator, (x, w, (C_out,)), frozenset({1, 2}), options)
    label = f"n{N}c{C_in}h{H}o{C_out}k{K}s{stride}p{padding}g{groups}"
    kernel_class: KernelClass = "depthwise" if groups == C_in > 1 else "conv"
    return _native(operator, label, "cnn", kernel_class, shape, recipe, "backward" if backward else "forward")


def native_gru(T: int, B: int, I: int, H: int, *, backward: bool = False) -> Workload:  # noqa: E741 - the glossary's I
    """Our GRU over x[T, B, I] with hidden size H, or its backward pass."""
    label, shape = f"t{T}b{B}i{I}h{H}", {"T": T, "B": B, "I": I, "H": H}
    x, h0, w_ih, w_hh = (T, B, I), (B, H), (3 * H, I), (3 * H, H)
    if backward:
        y = (T, B, H)
        recipe = NativeRecipe(
            "gru_backward", (y, h0, x, h0, y, (T, B, 4, H), w_ih, w_hh), frozenset({6, 7}), derive=_with_gates
        )
        return _native("gru", label, "rnn", "rnn", shape, recipe, "backward")
    recipe = NativeRecipe("gru", (x, h0, w_ih, w_hh, (3 * H,), (3 * H,)), frozenset({2, 3, 4, 5}))
    return _native("gru", label, "rnn", "rnn", shape, recipe)


def _with_gates(*arrays: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """States and gates as a forward pass leaves them."""
    from energybench import kernels

    grad, grad_h, x, h0, _, _, w_ih, w_hh = arrays
    y, _, gates = kernels.gru(x, h0, w_ih, w_hh, return_gates=True)
    return grad, grad_h, x, h0, y, gates, w_ih, w_hh


def native_attention(B: int, Hn: int, S: int, D: int, *, causal: bool = False, backward: bool = False) -> Workload:
    """Our attention over q, k, v[B, Hn, S, D], or its backward pass."""
    each, options, part = (B, Hn, S, D), {"causal": causal}, "self_attention"
    label = f"b{B}n{Hn}s{S}d{D}{'causal' if causal else ''}"
    shape = {"B": B, "Hn": Hn, "S": S, "D": D, "causal": int(causal)}
    if backward:
        derive = functools.partial(_with_sums, causal)
        recipe = NativeRecipe(
            "attention_backward", ((each,) * 5 + ((B, Hn, S),)), frozenset(), options, part, derive=derive
        )
        return _native("attention", label, "transformer", "attention", shape, recipe, "backward")
    recipe = NativeRecipe("attention", (each,) * 3, frozenset(), options, part)
    return _native("attention", label, "transformer", "attention", shape, recipe)


def _with_sums(causal: bool, *arrays: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Outputs and logarithms of sums as a forward pass leaves them."""
    from energybench import kernels

    grad, q, k, v, _, _ = arrays
    return grad, q, k, v, *kernels.online_attention(q, k, v, causal=causal)


def native_linear(B: int, I: int, O: int, *, backward: bool = False) -> Workload:  # noqa: E741
    """Our linear layer from I to O features on B rows with a bias, or its backward pass."""
    label, shape = f"b{B}i{I}o{O}", {"B": B, "I": I, "O": O}
    x, w = (B, I), (O, I)
    if backward:
        recipe = NativeRecipe(
            "linear_backward", ((B, O), x, w), frozenset({2}), {"has_bias": True}, component="feed_forward"
        )
    else:
        recipe = NativeRecipe("linear", (x, w, (O,)), frozenset({1, 2}), component="feed_forward")
    return _native("linear", label, "transformer", "gemm", shape, recipe, "backward" if backward else "forward")


#: Kernel of an optimiser -> its arrays besides the parameter, and its options. The rate is tiny as in torch's rows.
_STEPS: Final[Mapping[str, tuple[int, Mapping[str, Any]]]] = {
    "sgd": (1, {"lr": 1e-12}),
    "momentum": (2, {"lr": 1e-12}),
    "adam": (3, {"lr": 1e-12, "step": 2}),
}


def native_step(optimizer: str, elements: int) -> Workload:
    """Our step of ``sgd``, ``momentum`` or ``adam`` over `elements` parameters. CPU only."""
    others, options = _STEPS[optimizer]
    derive = _with_squares if optimizer == "adam" else None
    recipe = NativeRecipe(f"{optimizer}_step", ((elements,),) * (1 + others), frozenset({0}), options, derive=derive)
    return _native(optimizer, f"e{elements}", "probe", "optimizer", {"elements": elements}, recipe, "optimizer")


def _with_squares(*arrays: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Adam's second moment is no negative number."""
    return *arrays[:-1], arrays[-1].square()


def native_probe_fma(streams: int, steps: int) -> Workload:
    """MACs without memory traffic: 14·8 MACs a step in each stream. CPU only."""
    recipe = NativeRecipe("probe_fma", ((streams, 14, 8),), frozenset(), {"steps": steps})
    shape = {"streams": streams, "steps": steps}
    return _native("probe_fma", f"w{streams}k{steps}", "probe", "probe", shape, recipe)


def native_probe_stream(elements: int) -> Workload:
    """Bytes without arithmetic: a copy of `elements` by our own loop. CPU only."""
    recipe = NativeRecipe("probe_stream", ((elements,),), frozenset(), {"repeats": 1})
    return _native("probe_stream", f"e{elements}", "probe", "probe", {"elements": elements}, recipe)
