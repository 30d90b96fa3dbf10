"""A native kernel and the model counter's view of its torch twin agree on work and on compulsory bytes."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - the name that torch's own documentation uses

from energybench import kernels
from energybench.counting import count_model

SHARED = ("macs", "nominal_macs", "other_flops", "load_bytes", "store_bytes")
CASES: dict[str, tuple[str, tuple[tuple[int, ...], ...], dict[str, Any], Any]] = {
    "conv2d": ("conv2d", ((2, 4, 9, 7), (6, 2, 3, 2), (6,)), {"padding": 1, "stride": 2, "groups": 2}, F.conv2d),
    "conv1d": ("conv1d", ((2, 4, 19), (6, 2, 3), (6,)), {"padding": 2, "stride": 3, "groups": 2}, F.conv1d),
    "conv2d_nhwc": (
        "conv2d_nhwc",
        ((2, 9, 7, 4), (6, 3, 2, 2), (6,)),
        {"padding": 1, "stride": 2, "groups": 2},
        lambda x, w, b, **o: F.conv2d(x.permute(0, 3, 1, 2), w.permute(0, 3, 1, 2), b, **o),
    ),
    "linear": ("linear", ((5, 7), (9, 7), (9,)), {}, F.linear),
    "linear without bias": ("linear", ((5, 7), (9, 7)), {}, F.linear),
    "softmax": ("softmax", ((3, 4, 5),), {}, lambda x: F.softmax(x, -1)),
    "layer_norm": ("layer_norm", ((3, 4, 5), (5,), (5,)), {}, lambda x, w, b: F.layer_norm(x, (5,), w, b)),
    "layer_norm, bare": ("layer_norm", ((3, 4, 5),), {}, lambda x: F.layer_norm(x, (5,))),
    "relu": ("relu", ((3, 5),), {}, F.relu),
    "sigmoid": ("sigmoid", ((3, 5),), {}, torch.sigmoid),
    "tanh": ("tanh", ((3, 5),), {}, torch.tanh),
    "gelu": ("gelu", ((3, 5),), {}, F.gelu),
    "max_pool2d": ("max_pool2d", ((2, 3, 9, 8),), {"kernel_size": 3, "stride": 2, "padding": 1}, F.max_pool2d),
    "max_pool2d, dilated": (
        "max_pool2d",
        ((1, 2, 11, 9),),
        {"kernel_size": (3, 2), "padding": 1, "dilation": (2, 3)},
        F.max_pool2d,
    ),
    "avg_pool2d": ("avg_pool2d", ((2, 3, 9, 8),), {"kernel_size": (3, 2), "stride": 2, "padding": 1}, F.avg_pool2d),
}


@pytest.mark.parametrize("case", CASES)
def test_native_counts_equal_those_of_the_torch_twin(case):
    operator, shapes, options, twin = CASES[case]
    arrays = [torch.randn(shape) for shape in shapes]
    native = kernels.count(operator, *arrays, **options)
    function_options = {} if operator in ("softmax", "layer_norm") else options
    model = count_model(lambda *a: twin(*a, **function_options), *arrays, strict=True).total
    assert {n: getattr(native, n) for n in SHARED} == {n: getattr(model, n) for n in SHARED}
    assert native.other_flops + native.macs > 0
