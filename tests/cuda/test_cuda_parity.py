"""The CUDA kernels against the CPU's naive rung: results, tallies and closed forms, on a GPU and on the host stand-in.

On the stand-in naive rungs give the CPU's bits, for one body serves both; a GPU's exp, tanh and erf round otherwise.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch

from energybench import kernels
from energybench.kernels.closed_form import CountRequest
from energybench.kernels.registry import OPERATORS


@dataclass(frozen=True)
class Case:
    """A call: shapes of its arrays, filled at random, or `build`, which makes them; and its options."""

    kernel: str
    shapes: tuple[tuple[int, ...], ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    build: Callable[..., tuple[Any, ...]] | None = None

    def arrays(self, dtype: torch.dtype) -> tuple[Any, ...]:
        generator = torch.Generator().manual_seed(1)

        def random(*shape: int) -> torch.Tensor:
            return torch.randn(shape, generator=generator, dtype=dtype)

        return self.build(random) if self.build else tuple(random(*shape) for shape in self.shapes)

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
    Case("relu", ((3, 137),)),
    Case("sigmoid", ((3, 37),)),
    Case("tanh", ((3, 37),)),
    Case("gelu", ((3, 37),)),
    Case("max_pool2d", ((2, 3, 9, 7),), {"kernel_size": 3, "stride": 2, "padding": 1}),
    Case("avg_pool2d", ((2, 3, 9, 7),), {"kernel_size": (3, 2), "padding": 1}),
]


def check(run: Callable[..., Any], case: Case, variant: str, dtype: torch.dtype, tolerances: dict[str, Any]) -> None:
    arrays = case.arrays(dtype)
    cpu = kernels.counted_run(case.kernel, *arrays, variant="naive", **case.options)
    plain = run(case.kernel, *arrays, variant=variant, **case.options)
    counted = run(case.kernel, *arrays, variant=variant, counting=True, **case.options)
    assert plain.counts is None
    for of_plain, of_counting, of_cpu in zip(plain.outputs, counted.outputs, cpu.outputs, strict=True):
        assert (of_plain is None) == (of_cpu is None)
        if of_plain is not None:
            torch.testing.assert_close(of_plain, of_counting, rtol=0, atol=0)
            torch.testing.assert_close(of_plain, of_cpu, **tolerances)
    operator = OPERATORS[case.kernel]
    shape, name = operator.read_shape(*arrays, **case.options)
    assert counted.counts == operator.closed_form(shape, CountRequest(name, "issued", "cuda", variant))
    if variant == "naive":
        assert counted.counts.by_dtype == cpu.counts.by_dtype


EXACT = {"rtol": 0.0, "atol": 0.0}
BOUNDS = {torch.float32: {"rtol": 2e-6, "atol": 2e-6}, torch.float64: {"rtol": 4e-15, "atol": 4e-15}}
RUNGS = [(case, variant) for case in CASES for variant in OPERATORS[case.kernel].ladders["cuda"]]


@pytest.mark.parametrize("dtype", BOUNDS, ids=str)
@pytest.mark.parametrize(("case", "variant"), RUNGS, ids=str)
def test_the_stand_in_gives_what_the_cpu_gives_and_counts_the_same(on_stand_in, stand_in, case, variant, dtype):
    for seed in (0, 1):
        stand_in.begin(seed)
        check(on_stand_in, case, variant, dtype, EXACT if variant == "naive" else BOUNDS[dtype])


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
