"""A call that cannot work is refused in one line that says what would."""

import importlib
from typing import Any

import numpy as np
import pytest
import torch

from energybench import kernels
from energybench.errors import NativeModuleError, UsageError
from energybench.kernels import native

X, W, B = torch.ones(2, 4, 6, 5), torch.ones(6, 4, 3, 3), torch.ones(6)
BAD_CONVOLUTIONS: dict[str, tuple[Any, Any, str]] = {
    "rank of x": ((X[0], W), {}, "x has 3 dimensions .* give 4"),
    "rank of w": ((X, W[0]), {}, "w has 3 dimensions"),
    "channels": ((X, W[:, :3]), {}, r"w has shape .* expected .* C_in/groups"),
    "groups": ((X, W), {"groups": 4}, "groups=4 divides not both"),
    "groups zero": ((X, W), {"groups": 0}, "groups=0 is not valid"),
    "bias": ((X, W, torch.ones(5)), {}, r"bias has shape \[5\], expected \[6\]"),
    "stride zero": ((X, W), {"stride": 0}, "stride=0 is not valid; give one or two integers of at least 1"),
    "stride of three": ((X, W), {"stride": (1, 1, 1)}, "one or two integers"),
    "stride float": ((X, W), {"stride": 1.5}, "one or two integers"),
    "padding negative": ((X, W), {"padding": -1}, "padding=-1 is not valid"),
    "padding word": ((X, W), {"padding": "same"}, "padding='same' is not valid"),
    "padding beyond 32 bits": ((X, W), {"padding": 2**31}, "is not valid"),
    "dilation zero": ((X, W), {"dilation": (1, 0)}, "dilation"),
    "kernel too large": ((X, W), {"dilation": 3}, "does not fit in 6x5 .* pad more"),
    "empty": ((X[:0], W), {}, "x is empty"),
    "half": ((X.half(), W.half()), {}, "element type float16; convert it to float32 or float64"),
    "integers": ((X.int(), W.int()), {}, "element type int32"),
    "mixed types": ((X, W.double()), {}, "x is float32 and w is float64"),
    "mixed kinds": ((X, W.numpy()), {}, "mix torch and numpy"),
    "a list": (([[1.0]], W), {}, "x is a list; give a torch tensor or a numpy array"),
    "big-endian": ((X.numpy().astype(">f4"), W.numpy()), {}, "element type >f4"),
    "variant": ((X, W), {"variant": "winograd"}, "no variant 'winograd' on cpu; choose auto or one of naive"),
    "algorithm": ((X, W), {"algorithm": "fft"}, "algorithm='fft' is unknown; choose one of auto, im2col, direct"),
    "no threads": ((X, W), {"threads": 0}, "threads=0 is not a number of threads"),
    "too many threads": ((X, W), {"threads": 10**6}, "threads=1000000"),
    "meta": ((X.to("meta"), W.to("meta")), {}, "x is on meta"),
    "two places": ((X, W.to("meta")), {}, "x is on cpu and w on meta"),
    "sparse": ((X.to_sparse(), W), {}, r"x\.to_dense\(\)"),
    "needs gradient": ((X.clone().requires_grad_(), W), {}, r"use torch.no_grad\(\)"),
    "output too large": ((X, W), {"padding": 2**31 - 1}, "y .* give smaller sizes"),
}


@pytest.mark.parametrize("case", BAD_CONVOLUTIONS)
def test_bad_convolution_is_refused(case):
    arguments, options, message = BAD_CONVOLUTIONS[case]
    with pytest.raises(UsageError, match=message) as caught:
        kernels.conv2d(*arguments, **options)
    assert "\n" not in str(caught.value)


def test_gradients_may_be_required_where_none_are_recorded():
    with torch.no_grad():
        assert not kernels.conv2d(X.clone().requires_grad_(), W).requires_grad


GRU = {
    "x": torch.ones(2, 3, 4),
    "h0": torch.ones(3, 5),
    "w_ih": torch.ones(15, 4),
    "w_hh": torch.ones(15, 5),
    "b_ih": torch.ones(15),
    "b_hh": torch.ones(15),
}
GATE = (torch.ones(5, 4), torch.ones(5, 5), torch.ones(5), torch.ones(5))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": torch.ones(3, 4)}, "x has 2 dimensions .* give 3"),
        ({"h0": torch.ones(1, 3, 5)}, "h0 has 3 dimensions"),
        ({"h0": torch.ones(2, 5)}, r"h0 has shape \[2, 5\], expected \[3, 5\]"),
        ({"w_ih": torch.ones(4, 15)}, "w_ih has shape .* expected"),
        ({"w_hh": torch.ones(10, 5)}, "w_hh has shape"),
        ({"b_hh": None}, "give both or neither"),
        ({"output_gate": GATE[:3]}, "not a tuple of four"),
        ({"output_gate": 3}, "not a tuple of four"),
        ({"output_gate": (*GATE[:2], None, None)}, "biases exactly when the cell has them"),
        ({"output_gate": (GATE[1], *GATE[1:])}, "w_io has shape"),
        ({"x": torch.ones(2, 3, 4, dtype=torch.float64)}, "x is float64 and h0 is float32"),
    ],
)
def test_bad_gru_is_refused(change, message):
    with pytest.raises(UsageError, match=message):
        kernels.gru(**{**GRU, **change})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y": None}, "y is missing; give the result of the forward pass"),
        ({"grad": torch.ones(2, 3, 4)}, "grad has shape"),
        ({"grad_h": torch.ones(1, 3, 5)}, "grad_h has 3 dimensions"),
        ({"gates": torch.ones(2, 3, 6, 5)}, r"gates has shape .* expected \[2, 3, 4, 5\]"),
        ({"output_gate": GATE}, r"gates has shape .* expected \[2, 3, 6, 5\]"),
        ({"output_gate": GATE[:2]}, "not a tuple of four"),
        ({"w_hh": torch.ones(10, 5)}, "w_hh has shape"),
        ({"y": torch.ones(2, 3, 5, dtype=torch.float64)}, "grad is float32 and y is float64"),
    ],
)
def test_bad_gru_backward_is_refused(change, message):
    whole: Any = GRU
    y, _, gates = kernels.gru(**whole, return_gates=True)
    weights: Any = {name: array for name, array in GRU.items() if not name.startswith("b_")}
    with pytest.raises(UsageError, match=message):
        kernels.gru_backward(**{"grad": y, "grad_h": None, "y": y, "gates": gates, **weights, **change})


@pytest.mark.parametrize(
    ("shapes", "options", "message"),
    [
        (((2, 3, 4), (2, 3, 4), (2, 3, 4)), {}, "q has 3 dimensions"),
        (((1, 2, 3, 4), (1, 2, 3, 5), (1, 2, 3, 5)), {}, "k has shape"),
        (((1, 2, 3, 4), (1, 2, 6, 4), (1, 2, 5, 4)), {}, "v has shape"),
        (((1, 2, 3, 4), (1, 1, 3, 4), (1, 1, 3, 4)), {}, "k has shape"),
        (((1, 2, 3, 4),) * 3, {"causal": 1}, "causal=1 is not valid"),
        (((1, 2, 3, 4),) * 3, {"scale": "large"}, "scale='large' is not a number"),
    ],
)
def test_bad_attention_is_refused(shapes, options, message):
    with pytest.raises(UsageError, match=message):
        kernels.attention(*(torch.ones(shape) for shape in shapes), **options)


def test_bad_probes_are_refused():
    with pytest.raises(UsageError, match=r"expected \[2, 14, 8\]"):
        kernels.probe_fma(torch.ones(2, 14, 4), steps=1)
    with pytest.raises(UsageError, match="steps=0"):
        kernels.probe_fma(torch.ones(2, 14, 8), steps=0)
    with pytest.raises(UsageError, match="repeats=-1"):
        kernels.probe_stream(torch.ones(5), repeats=-1)


def arrays(*shapes):
    return [np.ones(shape, "float32") for shape in shapes]


def test_native_module_checks_what_it_is_given():
    # The binding is the last line: nothing that reaches it may read or write outside an array.
    x, w, y = arrays((1, 2, 4, 4), (3, 2, 3, 3), (1, 3, 2, 2))
    good = ((1, 1), (0, 0), (1, 1), 1, False, "naive", 1, False)
    assert native.cpu().conv2d(x, w, None, y, *good) is None
    read_only = y.copy()
    read_only.flags.writeable = False
    for bad in (
        y[:, :, :1],
        y[:, :2].copy(),
        np.ones((1, 3, 2, 2)),
        np.ones((1, 3, 2, 4), "float32")[..., ::2],
        read_only,
    ):
        with pytest.raises(ValueError, match=r"^y: "):
            native.cpu().conv2d(x, w, None, bad, *good)
    with pytest.raises(ValueError, match="must be positive"):
        native.cpu().conv2d(x, w, None, y, (0, 1), *good[1:])
    with pytest.raises(ValueError, match="unknown rung"):
        native.cpu().conv2d(x, w, None, y, *good[:5], "fastest", 1, False)
    with pytest.raises(ValueError, match="threads"):
        native.cpu().conv2d(x, w, None, y, *good[:6], 0, False)
    with pytest.raises(TypeError, match="element type"):
        native.cpu().conv2d(x.astype("int32"), w, None, y, *good)
    q, scratch = arrays((1, 1, 4, 2), (1, 4))
    with pytest.raises(ValueError, match="scratch"):
        native.cpu().attention(q, q, q, q.copy(), scratch, 1.0, False, "naive", 2, False)


def test_missing_cpu_module_is_one_clear_error(monkeypatch):
    def missing(name):
        raise ImportError(f"No module named {name!r}")

    native.cpu.cache_clear()
    monkeypatch.setattr(importlib, "import_module", missing)
    try:
        with pytest.raises(NativeModuleError, match="reinstall with: pip install"):
            kernels.describe_native("cpu")
    finally:
        native.cpu.cache_clear()
