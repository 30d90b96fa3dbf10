"""Proof, on this machine and this build, that the native kernels count what they do.

Each case is counted by the counting kernel, by the closed form and by the model counter on its torch twin, on ragged
shapes; and the counting kernel's outputs are compared bit for bit with the plain kernel's, which is what gets measured.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from energybench import kernels
from energybench.counting import count_model
from energybench.records.op_counts import OpCounts

if TYPE_CHECKING:
    import torch

#: What a native kernel and its torch twin must agree on (design, section 2).
SHARED_TALLIES: Final = ("macs", "nominal_macs", "other_flops", "load_bytes", "store_bytes")


@dataclass(frozen=True, slots=True)
class CountCheck:
    """One kernel on one shape. The three agreements, and what the counting kernel found."""

    kernel_id: str
    shape: str
    macs: int
    closed_form: bool
    model: bool
    outputs: bool

    @property
    def passed(self) -> bool:
        return self.closed_form and self.model and self.outputs

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready mapping."""
        return {**asdict(self), "passed": self.passed}


@dataclass(frozen=True)
class _Case:
    operator: str
    arrays: tuple[torch.Tensor | None, ...]
    options: Mapping[str, Any]
    twin: Callable[..., Any]
    twin_inputs: tuple[torch.Tensor, ...]
    shape: str


def _conv2d(C_in: int, H: int, C_out: int, K: int, *, bias: bool, **options: Any) -> _Case:
    import torch

    module = torch.nn.Conv2d(C_in, C_out, K, bias=bias, **options)
    x = torch.randn(2, C_in, H, H + 1)
    label = f"x[2,{C_in},{H},{H + 1}] w[{C_out},{C_in // options.get('groups', 1)},{K},{K}]"
    more = "".join(f" {name}={value}" for name, value in options.items())
    return _Case("conv2d", (x, module.weight, module.bias), options, module, (x,), label + more)


def _conv1d() -> _Case:
    import torch

    module = torch.nn.Conv1d(4, 6, 3, stride=2, padding=3, dilation=2, groups=2)
    x = torch.randn(2, 4, 19)
    options = {"stride": 2, "padding": 3, "dilation": 2, "groups": 2}
    return _Case("conv1d", (x, module.weight, module.bias), options, module, (x,), "x[2,4,19] w[6,2,3] padding=3")


def _conv2d_nhwc(C: int, groups: int) -> _Case:
    import torch

    module = torch.nn.Conv2d(C, C, 3, padding=1, groups=groups)
    x = torch.randn(2, C, 6, 11).contiguous(memory_format=torch.channels_last)
    arrays = (x.permute(0, 2, 3, 1), module.weight.permute(0, 2, 3, 1), module.bias)
    label = f"x[2,6,11,{C}] w[{C},3,3,{C // groups}] padding=1"
    return _Case("conv2d_nhwc", arrays, {"padding": 1, "groups": groups}, module, (x,), label)


def _pad2d() -> _Case:
    import torch

    x = torch.randn(2, 3, 5, 7)

    def twin(x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.pad(x, (1, 2, 2, 0), mode="reflect")

    options = {"padding": (1, 2, 2, 0), "mode": "reflect"}
    return _Case("pad2d", (x,), options, twin, (x,), "x[2,3,5,7] 1,2,2,0 reflect")


def _nchw_to_nhwc() -> _Case:
    import torch

    x = torch.randn(2, 19, 5, 7)
    return _Case("nchw_to_nhwc", (x,), {}, lambda x: x.permute(0, 2, 3, 1).contiguous(), (x,), "x[2,19,5,7]")


def _separable() -> _Case:
    import torch

    twin = torch.nn.Sequential(torch.nn.Conv2d(5, 5, 3, padding=1, groups=5), torch.nn.Conv2d(5, 7, 1))
    depthwise, depthwise_bias, pointwise, pointwise_bias = twin.parameters()
    x = torch.randn(2, 5, 6, 9)
    arrays = (x, depthwise, pointwise, depthwise_bias, pointwise_bias)
    return _Case("separable_conv2d", arrays, {"padding": 1}, twin, (x,), "x[2,5,6,9] 3×3 and 1×1 to 7 padding=1")


def _gru(T: int, B: int, I: int, H: int, *, bias: bool) -> _Case:  # noqa: E741 - the glossary's letter
    import torch

    module = torch.nn.GRU(I, H, bias=bias)
    x, h0 = torch.randn(T, B, I), torch.randn(B, H)
    arrays = (x, h0, *(p for _, p in module.named_parameters()))
    return _Case("gru", arrays, {}, module, (x, h0.unsqueeze(0)), f"x[{T},{B},{I}] h[{B},{H}] bias={bias}")


def _attention(B: int, Hn: int, S: int, D: int, *, causal: bool) -> _Case:
    import torch

    q, k, v = (torch.randn(B, Hn, S, D) for _ in range(3))

    def twin(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=causal)

    shape = f"q[{B},{Hn},{S},{D}] causal={causal}"
    return _Case("attention", (q, k, v), {"causal": causal}, twin, (q, k, v), shape)


def _linear(M: int, K: int, N: int, *, bias: bool) -> _Case:
    import torch

    module = torch.nn.Linear(K, N, bias=bias)
    x = torch.randn(M, K)
    return _Case("linear", (x, module.weight, module.bias), {}, module, (x,), f"x[{M},{K}] w[{N},{K}] bias={bias}")


def _rows(operator: str, twin: Callable[..., Any], *more: torch.Tensor) -> _Case:
    import torch

    x = torch.randn(3, 5, 7)
    return _Case(operator, (x, *more), {}, twin, (x,), "x[3,5,7]")


def _pool(operator: str, twin: Callable[..., Any]) -> _Case:
    import torch

    x = torch.randn(2, 3, 7, 9)
    options = {"kernel_size": 3, "stride": 2, "padding": 1}
    return _Case(operator, (x,), options, lambda x: twin(x, **options), (x,), "x[2,3,7,9] 3×3 stride=2 padding=1")


def _cases() -> tuple[_Case, ...]:
    import torch
    from torch.nn import functional

    norm = torch.nn.LayerNorm(7)
    return (
        _conv2d(3, 9, 5, 3, bias=True, padding=1),
        _conv2d(4, 11, 6, 3, bias=False, stride=2, padding=2, dilation=2, groups=2),
        _conv2d(6, 7, 6, 5, bias=True, padding=2, groups=6),
        _conv2d(8, 5, 7, 1, bias=True),
        _conv1d(),
        _conv2d_nhwc(6, 1),
        _conv2d_nhwc(19, 19),
        _pad2d(),
        _nchw_to_nhwc(),
        _separable(),
        _gru(5, 3, 7, 6, bias=True),
        _gru(1, 1, 1, 1, bias=False),
        _attention(2, 3, 7, 5, causal=False),
        _attention(1, 2, 6, 4, causal=True),
        _linear(5, 7, 3, bias=True),
        _rows("softmax", lambda x: functional.softmax(x, dim=-1)),
        _rows("layer_norm", norm, norm.weight, norm.bias),
        _rows("relu", functional.relu),
        _rows("sigmoid", functional.sigmoid),
        _rows("tanh", functional.tanh),
        _rows("gelu", functional.gelu),
        _pool("max_pool2d", functional.max_pool2d),
        _pool("avg_pool2d", functional.avg_pool2d),
    )


def verify_counts() -> list[CountCheck]:
    """Check every kernel family on ragged shapes; a second or so. Raises NativeModuleError without the kernels."""
    import torch

    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return [_check(case) for case in _cases()]


def _check(case: _Case) -> CountCheck:
    import torch

    counted = kernels.counted_run(case.operator, *case.arrays, **case.options)
    issued = kernels.count(case.operator, *case.arrays, basis="issued", **case.options)
    compulsory = kernels.count(case.operator, *case.arrays, **case.options)
    twin = count_model(case.twin, *case.twin_inputs, strict=True).total
    plain = getattr(kernels, case.operator)(*case.arrays, **case.options)
    outputs = plain if isinstance(plain, tuple) else (plain,)
    kernel_id = next(
        s.kernel_id
        for s in kernels.list_kernels()
        if (s.name, s.variant, s.dtype) == (case.operator, counted.variant, "float32")
    )
    return CountCheck(
        kernel_id=kernel_id,
        shape=case.shape,
        macs=counted.counts.macs,
        closed_form=counted.counts == issued,
        model=_shared(compulsory) == _shared(twin),
        outputs=all(torch.equal(a, b) for a, b in zip(outputs, counted.outputs, strict=True)),
    )


def _shared(counts: OpCounts) -> dict[str, int]:
    return {name: getattr(counts, name) for name in SHARED_TALLIES}
