"""Variants of a row: each is another row with a name of its own, and really runs as it says."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch

from energybench.errors import UsageError
from energybench.workloads.native import (
    native_attention,
    native_conv2d,
    native_gru,
    native_linear,
    native_step,
)
from energybench.workloads.rotation import COLD_FACTOR, MOST_COPIES, Rotation, copies_for
from energybench.workloads.variants import (
    in_float64,
    optimizer_step,
    with_backward,
    with_channels_last,
    with_cold_caches,
    with_rung,
    with_threads,
)
from energybench.workloads.vendor import (
    cross_entropy,
    embedding,
    matmul,
    stream_add,
    vendor_conv2d,
    vendor_gru,
    vendor_linear,
)

CONV = (1, 6, 9, 8, 3)

ROWS = [
    native_conv2d(*CONV, padding=1, backward=True),
    native_conv2d(*CONV, channels_last=True),
    native_conv2d(1, 6, 9, 6, 3, groups=6, channels_last=True),
    native_gru(3, 2, 4, 5, backward=True),
    native_attention(1, 2, 7, 4, causal=True, backward=True),
    native_linear(3, 5, 4),
    native_linear(3, 5, 4, backward=True),
    *(native_step(name, 100) for name in ("sgd", "momentum", "adam")),
    *(optimizer_step(name, 100) for name in ("sgd", "momentum", "adam")),
    with_rung(native_conv2d(*CONV), "blocked"),
    in_float64(native_gru(3, 2, 4, 5)),
    in_float64(with_rung(native_attention(1, 2, 7, 4, backward=True), "blocked")),
    with_channels_last(vendor_conv2d(*CONV)),
    with_backward(with_channels_last(vendor_conv2d(*CONV))),
    with_backward(vendor_gru(3, 2, 4, 5)),
    cross_entropy(6, 10),
    embedding(6, 100, 8),
    matmul(8, 8, 8, dtype="bfloat16"),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda w: w.name)
def test_it_builds_runs_and_is_counted_and_so_does_a_copy_of_it(row):
    first = row.build("cpu", threads=1, seed=1)
    rotation = Rotation(first, 3)
    for _ in range(4):
        rotation.run()
    assert rotation.is_finite()
    assert row.counts().bytes > 0
    assert row.counts().launches >= 1
    assert (row.issued_counts() is not None) == (row.implementation == "native")


def test_names_and_kernels_tell_variants_apart():
    names = [row.name for row in ROWS]
    assert len(set(names)) == len(names)
    row = in_float64(with_rung(native_linear(3, 5, 4, backward=True), "avx2"))
    assert row.name == "native/linear_backward/b3i5o4/avx2/fp64"
    assert row.kernel_id == "linear_backward_avx2_fp64"
    assert (row.direction, row.dtype, row.kernel_class) == ("backward", "float64", "gemm")
    assert set(row.counts().by_dtype) == {"float64"}
    assert native_step("adam", 8).kernel_id == "adam_optimizer_naive_fp32"
    assert with_threads(matmul(8, 8, 8), 2).name == "vendor/matmul/m8n8k8/fp32/t2"
    assert with_channels_last(vendor_conv2d(*CONV)).kernel_id == "conv2d_forward_vendor_fp32_nhwc"


def test_a_native_step_counts_what_a_torch_step_counts():
    for name in ("sgd", "momentum", "adam"):
        ours, theirs = native_step(name, 1000).counts(), optimizer_step(name, 1000).counts()
        assert (ours.bytes, ours.other_flops, ours.macs) == (theirs.bytes, theirs.other_flops, theirs.macs), name


def test_the_rung_and_the_layout_really_run():
    row: Any = with_rung(native_linear(3, 5, 4), "blocked").build("cpu", threads=1, seed=1)
    assert row._options["variant"] == "blocked"
    call: Any = with_channels_last(vendor_conv2d(*CONV)).build("cpu", threads=1, seed=1)
    module, x = call._function, call._arguments[0]
    assert x.is_contiguous(memory_format=torch.channels_last)
    assert not x.is_contiguous()
    assert module.weight.is_contiguous(memory_format=torch.channels_last)
    call.run()
    plain: Any = vendor_conv2d(*CONV).build("cpu", threads=1, seed=1)
    plain.run()
    torch.testing.assert_close(call._output, plain._output)


@pytest.mark.parametrize(
    "make", [with_channels_last, lambda w: with_rung(w, "avx2"), in_float64], ids=["layout", "rung", "type"]
)
def test_rows_that_cannot_vary_so_are_refused(make):
    with pytest.raises(UsageError, match="use"):
        make(matmul(8, 8, 8))
    with pytest.raises(UsageError, match="images"):
        with_channels_last(vendor_linear(2, 3, 4))


def test_every_copy_has_memory_of_its_own_with_the_same_values():
    for row in (stream_add(64), vendor_linear(2, 3, 4), native_linear(3, 5, 4), optimizer_step("adam", 16)):
        rotation = Rotation(row.build("cpu", threads=1, seed=1), 3)
        calls: list[Any] = rotation._calls
        tensors = [_tensors(call) for call in calls]
        addresses = [t.data_ptr() for each in tensors for t in each]
        assert len(set(addresses)) == len(addresses) > 3, row.name
        for other in tensors[1:]:
            assert all(torch.equal(a, b) for a, b in zip(tensors[0], other, strict=True)), row.name
        ran: list[object] = []
        for call in calls:
            call.run = functools.partial(ran.append, call)
        for _ in range(7):
            rotation.run()
        assert ran == [calls[i % 3] for i in range(7)]


def _tensors(call):
    kept = getattr(call, "_arrays", None) or getattr(call, "_arguments", None) or (call._weight, call._gradient)
    module = getattr(call, "_function", None)
    weights = list(module.parameters()) if isinstance(module, torch.nn.Module) else []
    return [*kept, *weights, *getattr(call, "_outputs", ())]


def test_copies_that_fill_the_cache_several_times():
    assert copies_for("row", 10**6, 10**7) == 10 * COLD_FACTOR
    assert copies_for("row", 10**6 + 1, 10**7) == 10 * COLD_FACTOR  # the last one is begun
    assert copies_for("row", 10**9, 10**7) == 1
    with pytest.raises(UsageError, match="does not say"):
        copies_for("row", 10**6, None)
    least = COLD_FACTOR * 10**9 // MOST_COPIES + 1
    assert copies_for("row", least, 10**9) <= MOST_COPIES
    with pytest.raises(UsageError, match="use a larger row"):
        copies_for("row", least // 2, 10**9)
    with pytest.raises(UsageError, match="use a larger row"):
        copies_for("row", 0, 10**9)


def test_a_cold_row_needs_memory_for_its_copies():
    row = with_cold_caches(stream_add(1000))
    assert row.caches == "cold"
    assert row.name == "vendor/add/e1000/fp32/cold"
    assert row.needed_bytes(5) - row.needed_bytes() == 4 * 12_000
