"""Sweeps of a design: one thing varied at a time, the rest as a row that the design has anyhow.

Caches, threads, element type, layout, rung of a native kernel, direction and optimiser. A rung or an element type that
a machine does not have is skipped there, and the run says so.
"""

from __future__ import annotations

from typing import Final

from energybench.workloads.native import (
    native_attention,
    native_conv2d,
    native_gru,
    native_linear,
    native_probe_stream,
    native_step,
)
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
    layer_norm,
    matmul,
    matvec,
    softmax,
    stream_add,
    stream_copy,
    vendor_conv2d,
    vendor_gru,
    vendor_linear,
)
from energybench.workloads.workload import Workload

#: The optimisers that a step is counted for.
OPTIMIZERS: Final = ("sgd", "momentum", "adam")


def cpu_sweeps() -> list[Workload]:
    """What `standard` varies on a CPU."""
    return [
        # caches: each beside the same row with hot ones
        with_cold_caches(stream_add(2**19)),
        with_cold_caches(matvec(1024, 1024)),
        with_cold_caches(native_probe_stream(2**20)),
        with_cold_caches(softmax(512, 1024)),
        # threads: against the run's own number
        with_threads(matmul(512, 512, 512), 1),
        with_threads(vendor_conv2d(4, 64, 28, 64, 3, padding=1), 1),
        with_threads(stream_add(2**22), 1),
        with_threads(native_conv2d(1, 16, 32, 16, 3, padding=1), 1),
        # element types
        *(matmul(512, 512, k, dtype=d) for d in ("bfloat16", "float64") for k in (32, 512, 2048)),
        vendor_linear(256, 512, 512, dtype="bfloat16"),
        stream_add(2**19, dtype="bfloat16"),
        vendor_conv2d(1, 128, 14, 256, 1, dtype="float64"),
        in_float64(native_gru(8, 4, 64, 64)),
        # layout
        with_channels_last(vendor_conv2d(4, 64, 28, 64, 3, padding=1)),
        native_conv2d(1, 32, 28, 32, 3, stride=2, padding=1, channels_last=True),
        # rungs
        with_rung(native_conv2d(1, 32, 28, 32, 3, stride=2, padding=1), "avx2"),
        with_rung(native_conv2d(1, 32, 28, 32, 3, stride=2, padding=1), "avx512"),
        with_rung(native_gru(8, 4, 64, 64), "avx2"),
        with_rung(native_attention(1, 4, 128, 64), "avx2"),
        with_rung(native_linear(64, 256, 1024), "blocked"),
        with_rung(native_linear(64, 256, 1024), "avx2"),
        # backward
        with_rung(native_conv2d(1, 16, 32, 16, 3, padding=1, backward=True), "avx2"),
        with_rung(native_linear(64, 256, 1024, backward=True), "avx2"),
        with_rung(native_gru(8, 4, 64, 64, backward=True), "avx2"),
        with_rung(native_attention(1, 4, 64, 32, backward=True), "avx2"),
        with_backward(vendor_conv2d(1, 32, 32, 32, 3, padding=1)),
        with_backward(vendor_linear(64, 256, 1024)),
        with_backward(vendor_gru(16, 8, 64, 64)),
        # steps of an optimiser, and the ends of a training step
        *(optimizer_step(name, 2**20) for name in OPTIMIZERS),
        with_rung(native_step("adam", 2**16), "avx2"),
        cross_entropy(512, 1000),
        embedding(512, 10_000, 256),
    ]


def more_cpu_sweeps() -> list[Workload]:
    """What `thorough` adds to them."""
    gemm = native_linear(64, 256, 1024)
    return [
        *(with_cold_caches(stream_add(2**n)) for n in (18, 20, 22)),
        *(with_cold_caches(stream_copy(2**n)) for n in (18, 20, 23)),
        with_cold_caches(layer_norm(512, 1024)),
        with_cold_caches(vendor_linear(64, 256, 1024)),
        with_cold_caches(optimizer_step("adam", 2**20)),
        *(with_threads(matmul(512, 512, 512), n) for n in (2, 4)),
        *(with_threads(stream_add(2**22), n) for n in (2, 4)),
        *(with_threads(with_rung(gemm, "avx2"), n) for n in (1, 2)),
        *(vendor_conv2d(4, 64, 28, 64, 3, padding=1, dtype=d) for d in ("bfloat16", "float64")),
        *(vendor_gru(16, 8, 64, 64, dtype=d) for d in ("bfloat16", "float64")),
        *(stream_copy(2**18, dtype=d) for d in ("bfloat16", "float64")),
        in_float64(with_rung(gemm, "avx2")),
        with_channels_last(vendor_conv2d(2, 96, 28, 96, 3, padding=1, groups=96)),
        native_conv2d(1, 64, 32, 64, 3, padding=1, groups=64, channels_last=True),
        with_rung(native_conv2d(1, 32, 28, 32, 3, stride=2, padding=1), "blocked"),
        *(with_rung(native_gru(8, 4, 64, 64), rung) for rung in ("blocked", "avx512")),
        *(with_rung(native_attention(1, 4, 128, 64), rung) for rung in ("blocked", "avx512")),
        with_rung(gemm, "avx512"),
        with_backward(with_channels_last(vendor_conv2d(4, 64, 28, 64, 3, padding=1))),
        with_backward(vendor_linear(256, 512, 512, dtype="bfloat16")),
        *(with_rung(native_step(name, 2**20), "avx2") for name in OPTIMIZERS),
        *(optimizer_step(name, 2**14) for name in OPTIMIZERS),
        cross_entropy(64, 32_000),
        embedding(64, 50_000, 768),
    ]


def gpu_sweeps() -> list[Workload]:
    """What `standard` varies on a GPU, where threads mean nothing and our kernels have one rung."""
    return [
        with_cold_caches(stream_copy(2**22)),
        with_cold_caches(stream_add(2**22)),
        with_cold_caches(vendor_linear(64, 2048, 2048)),
        vendor_linear(64, 2048, 2048),
        matmul(2048, 2048, 2048, dtype="float64"),
        with_channels_last(vendor_conv2d(64, 128, 28, 128, 3, padding=1, dtype="bfloat16")),
        with_channels_last(vendor_conv2d(32, 64, 56, 64, 3, padding=1)),
        with_backward(vendor_conv2d(32, 64, 56, 64, 3, padding=1)),
        with_backward(vendor_linear(8192, 4096, 4096, dtype="bfloat16")),
        with_backward(vendor_gru(32, 256, 256, 1024)),
        *(optimizer_step(name, 2**25) for name in OPTIMIZERS),
        cross_entropy(8192, 32_000),
        embedding(8192, 50_000, 1024),
    ]
