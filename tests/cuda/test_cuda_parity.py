"""The CUDA kernels against the CPU's naive rung: results, tallies and closed forms, on a GPU and on the host stand-in.

On the stand-in naive rungs give the CPU's bits, for one body serves both; a GPU's exp, tanh and erf round otherwise.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
import torch

from energybench import kernels
from energybench.kernels.registry import OPERATORS

pytestmark = pytest.mark.timeout(900)  # compiling the stand-in, on a busy machine

Random = Callable[..., torch.Tensor]
#: Arrays and options of a call.
Built = tuple[tuple[Any, ...], dict[str, Any]]


def gru_weights(random: Random, I: int, H: int, *, gate: bool, bias: bool) -> tuple[tuple[Any, ...], dict[str, Any]]:  # noqa: E741
    """w_ih … b_hh, and the option of an output gate."""
    biases = [random(3 * H), random(3 * H)] if bias else [None, None]
    of_gate = [random(H), random(H)] if bias else [None, None]
    options = {"output_gate": (random(H, I), random(H, H), *of_gate)} if gate else {}
    return (random(3 * H, I), random(3 * H, H), *biases), options


def of_gru(random: Random, *, T: int, B: int, I: int, H: int, bias: bool) -> Built:  # noqa: E741
    weights, options = gru_weights(random, I, H, gate=True, bias=bias)
    return (random(T, B, I), random(B, H), *weights), options


def of_gru_backward(random: Random, *, gate: bool, bias: bool, T: int, B: int, I: int, H: int) -> Built:  # noqa: E741
    x, h0 = random(T, B, I), random(B, H)
    weights, options = gru_weights(random, I, H, gate=gate, bias=bias)
    y, _, gates = kernels.gru(x, h0, *weights, return_gates=True, variant="naive", **options)
    grads = (random(T, B, H), random(B, H) if bias else None)
    return (*grads, x, h0, None if gate else y, gates, *weights[:2]), {"has_bias": bias, **options}


def of_attention_backward(random: Random, *, causal: bool) -> Built:
    q, k, v = random(2, 3, 9, 5), random(2, 3, 7, 5), random(2, 3, 7, 5)
    y, lse = kernels.online_attention(q, k, v, causal=causal, variant="naive")
    return (random(2, 3, 9, 5), q, k, v, y, lse), {"causal": causal}


def of_layer_norm_backward(random: Random, *, rows: int, n: int, weight: bool) -> Built:
    x = random(rows, n)
    _, mean, rstd = kernels.layer_norm(x, return_statistics=True, variant="naive")
    return (random(rows, n), x, mean, rstd, random(n) if weight else None), {"has_bias": rows % 2 == 1}


@dataclass(frozen=True)
class Case:
    """A call: shapes of its arrays, filled at random, or `build`, which makes them; and its options."""

    kernel: str
    shapes: tuple[tuple[int, ...], ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    build: Callable[[Random], Built] | None = None

    def call(self, dtype: torch.dtype) -> Built:
        generator = torch.Generator().manual_seed(1)

        def random(*shape: int) -> torch.Tensor:
            return torch.randn(shape, generator=generator, dtype=dtype)

        if self.build is not None:
            return self.build(random)
        return tuple(random(*shape) for shape in self.shapes), self.options

    def __str__(self) -> str:
        return "-".join([self.kernel, *("x".join(map(str, s)) for s in self.shapes[:1]), *map(str, self.options)])


CASES = [
    Case("conv2d", ((2, 6, 9, 7), (9, 2, 3, 2), (9,)), {"padding": (2, 1), "stride": (2, 1), "groups": 3}),
    Case("conv2d", ((1, 3, 8, 11), (5, 3, 3, 3)), {"padding": 2, "dilation": 2}),
    Case("conv2d", ((2, 4, 6, 6), (4, 1, 3, 3)), {"padding": 1, "groups": 4}),
    Case("gru", ((5, 3, 7), (3, 6), (18, 7), (18, 6), (18,), (18,))),
    Case("gru", ((1, 25, 3), (25, 6), (18, 3), (18, 6))),
    Case("attention", ((2, 3, 9, 5), (2, 3, 6, 5), (2, 3, 6, 5)), {"causal": True}),
    Case("attention", ((1, 2, 70, 3), (1, 2, 67, 3), (1, 2, 67, 3))),
    Case("linear", ((9, 7), (5, 7), (5,))),
    Case("linear", ((17, 3), (19, 3))),
    Case("linear", ((7, 9), (7, 5)), {"x_layout": "km", "w_layout": "kn"}),
    Case("softmax", ((3, 4, 37),)),
    Case("softmax", ((131, 1),)),
    Case("layer_norm", ((3, 4, 37), (37,), (37,))),
    Case("layer_norm", ((130, 5),)),
    Case("log_softmax", ((3, 4, 37),)),
    Case("softmax", ((4, 301),)),
    Case("softmax", ((2, 128),)),
    Case("layer_norm", ((3, 261), (261,), (261,)), {"return_statistics": True}),
    Case("linear", ((70, 37), (131, 37), (131,))),
    Case("linear", ((33, 64), (33, 129)), {"x_layout": "km", "w_layout": "kn"}),
    Case("conv2d", ((3, 4, 9, 7), (136, 2, 3, 3), (136,)), {"padding": 1, "groups": 2}),
    Case("relu", ((3, 137),)),
    Case("sigmoid", ((3, 37),)),
    Case("tanh", ((3, 37),)),
    Case("gelu", ((3, 37),)),
    Case("max_pool2d", ((2, 3, 9, 7),), {"kernel_size": 3, "stride": 2, "padding": 1}),
    Case("avg_pool2d", ((2, 3, 9, 7),), {"kernel_size": (3, 2), "padding": 1}),
    Case("gru", ((3, 5, 4), (5, 30), (90, 4), (90, 30), (90,), (90,)), {"return_gates": True}),
    Case("layer_norm", ((5, 37), (37,)), {"return_statistics": True}),
    Case("online_attention", ((1, 2, 70, 3), (1, 2, 67, 3), (1, 2, 67, 3)), {"causal": True}),
    Case("online_attention", ((2, 1, 5, 4), (2, 1, 131, 4), (2, 1, 131, 4))),
    Case(
        "conv2d_backward",
        ((2, 9, 6, 8), (2, 6, 9, 7), (9, 2, 3, 2)),
        {"padding": (2, 1), "stride": (2, 1), "groups": 3, "has_bias": True},
    ),
    Case(
        "conv2d_backward",
        ((1, 5, 8, 11), (1, 3, 8, 11), (5, 3, 3, 3)),
        {"padding": 2, "dilation": 2, "has_bias": False},
    ),
    Case("linear_backward", ((9, 5), (9, 7), (5, 7))),
    Case("linear_backward", ((9, 17), (11, 9), (11, 17)), {"has_bias": False, "x_layout": "km", "w_layout": "kn"}),
    Case("softmax_backward", ((5, 37), (5, 37))),
    Case("log_softmax_backward", ((5, 37), (5, 37))),
    Case("layer_norm_backward", build=partial(of_layer_norm_backward, rows=5, n=37, weight=True)),
    Case("layer_norm_backward", build=partial(of_layer_norm_backward, rows=131, n=3, weight=False)),
    Case("layer_norm_backward", build=partial(of_layer_norm_backward, rows=4, n=7, weight=False)),
    Case("attention_backward", build=partial(of_attention_backward, causal=True)),
    Case("attention_backward", build=partial(of_attention_backward, causal=False)),
    Case("gru", build=partial(of_gru, bias=True, T=3, B=3, I=5, H=7)),
    Case("gru_backward", build=partial(of_gru_backward, gate=False, bias=True, T=4, B=3, I=5, H=7)),
    Case("gru_backward", build=partial(of_gru_backward, gate=False, bias=False, T=1, B=5, I=2, H=31)),
    Case("gru_backward", build=partial(of_gru_backward, gate=True, bias=True, T=3, B=2, I=3, H=5)),
]


def check(run: Callable[..., Any], case: Case, variant: str, dtype: torch.dtype, tolerances: dict[str, Any]) -> None:
    arrays, options = case.call(dtype)
    cpu = kernels.counted_run(case.kernel, *arrays, variant="naive", **options)
    plain = run(case.kernel, *arrays, variant=variant, **options)
    counted = run(case.kernel, *arrays, variant=variant, counting=True, **options)
    assert plain.counts is None
    for of_plain, of_counting, of_cpu in zip(plain.outputs, counted.outputs, cpu.outputs, strict=True):
        assert (of_plain is None) == (of_cpu is None)
        if of_plain is not None:
            torch.testing.assert_close(of_plain, of_counting, rtol=0, atol=0)
            torch.testing.assert_close(of_plain, of_cpu, **tolerances)
    closed_form = kernels.count(case.kernel, *arrays, basis="issued", variant=variant, device="cuda", **options)
    assert counted.counts == closed_form
    if variant == "naive":
        assert counted.counts.by_dtype == cpu.counts.by_dtype


#: Rungs that add in the naive rung's order.
IN_ORDER = ("naive", "tiled")
EXACT = {"rtol": 0.0, "atol": 0.0}
BOUNDS = {torch.float32: {"rtol": 2e-6, "atol": 2e-6}, torch.float64: {"rtol": 4e-15, "atol": 4e-15}}
RUNGS = [(case, variant) for case in CASES for variant in OPERATORS[case.kernel].ladders["cuda"]]


@pytest.mark.parametrize("dtype", BOUNDS, ids=str)
@pytest.mark.parametrize(("case", "variant"), RUNGS, ids=str)
def test_the_stand_in_gives_what_the_cpu_gives_and_counts_the_same(on_stand_in, stand_in, case, variant, dtype):
    for seed in (0, 1):
        stand_in.begin(seed)
        check(on_stand_in, case, variant, dtype, EXACT if variant in IN_ORDER else BOUNDS[dtype])


@pytest.mark.gpu
@pytest.mark.parametrize("kernel", dict.fromkeys(case.kernel for case in CASES))
def test_a_gpu_gives_what_the_cpu_gives_and_counts_the_same(on_gpu, kernel):
    for case, variant in RUNGS:
        if case.kernel == kernel:
            for dtype, bound in BOUNDS.items():
                check(on_gpu, case, variant, dtype, bound)


def test_more_elements_than_a_grid_has_threads(on_stand_in, stand_in):
    x = torch.linspace(-1, 1, 132 * 16 * 128 + 77)
    stand_in.begin(3)
    (y,) = on_stand_in("relu", x).outputs
    torch.testing.assert_close(y, x.clamp(min=0), rtol=0, atol=0)


def test_a_nan_is_not_lost(on_stand_in):
    x = torch.zeros(3, 37)
    x[1, 5] = float("nan")
    (y,) = on_stand_in("softmax", x).outputs
    assert y[1].isnan().all()
    assert not y[0].isnan().any()


@pytest.mark.gpu
def test_a_second_kernel_waits_for_the_stream_of_the_first(on_gpu):
    device = torch.device("cuda", 0)
    x, w = torch.randn(1, 8, 64, 64, device=device), torch.randn(8, 8, 3, 3, device=device)
    stream = torch.cuda.Stream(device)
    with torch.cuda.stream(stream):
        y = kernels.conv2d(kernels.conv2d(x, w, padding=1), w, padding=1)
    stream.synchronize()
    reference = torch.nn.functional.conv2d(
        torch.nn.functional.conv2d(x.double(), w.double(), padding=1), w.double(), padding=1
    )
    torch.testing.assert_close(y.double(), reference, rtol=1e-4, atol=1e-2)
