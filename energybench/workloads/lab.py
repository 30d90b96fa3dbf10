"""The designs of a lab run on a GPU: operators (A), networks for development and sealed networks (B), and more (C).

A row takes 3 to 4 s on a counter that ticks every 100 ms, so a design of about 125 rows fits a call of 9 minutes.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from energybench.workloads.awake import AWAKE_PREFIX, awake_workload
from energybench.workloads.designs import Design
from energybench.workloads.idle import idle_workload
from energybench.workloads.inputs import DISTRIBUTIONS
from energybench.workloads.native import native_attention, native_conv2d, native_gru, native_linear
from energybench.workloads.variants import on_cuda, optimizer_step, with_backward, with_rung, with_values
from energybench.workloads.vendor import (
    avg_pool,
    layer_norm,
    matmul,
    matvec,
    max_pool,
    softmax,
    stream_add,
    stream_copy,
    stream_exp,
    stream_gelu,
    vendor_attention,
    vendor_conv2d,
    vendor_gru,
    vendor_linear,
    vendor_projection,
)
from energybench.workloads.workload import Workload
from energybench.workloads.zoo_rows import development_rows, sealed_rows

#: Streaming multiprocessors that hold one block each: one, a few, a quarter, half and all of an H100's 132.
RESIDENT_BLOCKS: Final = (1, 8, 33, 66, 132)
#: A large GEMM, whose power is near the cap, and a stream, whose power is the memory's.
_ANCHORS: Final = (matmul(4096, 4096, 4096, dtype="bfloat16"), stream_copy(2**27))
#: Rows of A that B takes again: whether two calls agree.
_AGAIN: Final = (
    matmul(8192, 8192, 2048, dtype="bfloat16"),
    matmul(4096, 4096, 4096),
    matmul(64, 4096, 4095, dtype="bfloat16"),
    stream_add(2**26),
    vendor_conv2d(32, 64, 56, 64, 3, padding=1),
    vendor_attention(8, 16, 1024, 64, dtype="bfloat16"),
    vendor_gru(64, 64, 512, 512),
    layer_norm(16384, 1024),
    stream_add(16),
    native_conv2d(8, 64, 56, 64, 3, padding=1),
)


def lab_operators() -> Design:
    """A: operators of every kernel class, sweeps of size, residency and input values, with anchors and idle rows."""
    half = ("float16", "bfloat16")
    gemm = matmul(4096, 4096, 2048, dtype="bfloat16")
    rows = [
        *(idle_workload(i) for i in range(4)),
        awake_workload(10**6),
        awake_workload(10**7),
        *_ANCHORS,
        *_AGAIN,
        # matrix products: M from 1 to 8192, odd K, three element types
        *(matmul(m, 4096, 4095, dtype="bfloat16") for m in (1, 16, 256, 1024, 8192)),
        *(matmul(m, 4096, 4096) for m in (16, 256, 1024)),
        *(matmul(8192, 8192, k, dtype=d) for d in half for k in (64, 512)),
        *(matmul(4096, 4096, k) for k in (16, 127, 1024)),
        matvec(16384, 8192),
        matvec(16384, 8192, dtype="bfloat16"),
        vendor_linear(4096, 1024, 4096),
        vendor_linear(8192, 4096, 4096, dtype="bfloat16"),
        vendor_projection(4096, 1024, 3072),
        vendor_projection(512, 4096, 4096, dtype="float16"),
        # one tile of 128×128 a multiprocessor
        *(matmul(128, 128 * blocks, 16384, dtype="bfloat16") for blocks in RESIDENT_BLOCKS),
        # input values
        *(with_values(gemm, distribution) for distribution in DISTRIBUTIONS),
        *(with_values(stream_copy(2**26), distribution) for distribution in DISTRIBUTIONS[1:]),
        # convolution and depthwise
        vendor_conv2d(32, 256, 14, 512, 1),
        vendor_conv2d(16, 3, 224, 64, 7, stride=2, padding=3),
        *(vendor_conv2d(64, 128, 28, 128, 3, padding=1, dtype=d) for d in half),
        vendor_conv2d(64, 512, 7, 2048, 1, dtype="bfloat16"),
        vendor_conv2d(32, 256, 28, 256, 3, padding=1, groups=256),
        vendor_conv2d(64, 96, 56, 96, 7, padding=3, groups=96, dtype="bfloat16"),
        native_conv2d(8, 256, 14, 512, 1),
        with_rung(native_conv2d(8, 64, 56, 64, 3, padding=1), "tiled"),
        with_rung(native_conv2d(8, 256, 14, 512, 1), "tiled"),
        with_rung(native_linear(2048, 1024, 2048), "tiled"),
        native_linear(1024, 512, 1024),
        native_conv2d(16, 128, 28, 128, 3, padding=1, groups=128),
        # attention
        vendor_attention(8, 16, 1024, 64),
        vendor_attention(4, 32, 2048, 128, causal=True, dtype="bfloat16"),
        vendor_attention(64, 12, 128, 64, dtype="float16"),
        native_attention(4, 8, 256, 64),
        native_attention(2, 8, 512, 64, causal=True),
        # recurrent steps
        vendor_gru(1, 64, 1024, 1024),
        vendor_gru(32, 256, 256, 1024),
        vendor_gru(16, 512, 1024, 1024, dtype="bfloat16"),
        native_gru(16, 32, 128, 256),
        native_gru(4, 256, 256, 256),
        # streams: 4 to 512 MB of working set, from the L2 cache to memory
        *(stream_copy(2**n) for n in (19, 21, 22, 23, 24, 26)),
        *(stream_add(2**n) for n in (18, 21, 24, 27)),
        stream_copy(2**28, dtype="bfloat16"),
        # pointwise, norm, softmax, pool
        stream_exp(2**26),
        stream_exp(2**20),
        stream_gelu(2**26),
        stream_gelu(2**25, dtype="bfloat16"),
        softmax(16384, 1024),
        softmax(1024, 32768, dtype="bfloat16"),
        layer_norm(65536, 256, dtype="bfloat16"),
        max_pool(256, 112, 7),
        max_pool(128, 224, 3, dtype="bfloat16"),
        avg_pool(256, 112, 15),
        # launches
        stream_copy(16),
        stream_exp(16),
        stream_gelu(256),
        softmax(2, 8),
        matmul(8, 8, 8),
        # backward and optimiser
        with_backward(vendor_conv2d(32, 64, 56, 64, 3, padding=1)),
        with_backward(vendor_conv2d(64, 128, 28, 128, 3, padding=1, dtype="bfloat16")),
        with_backward(vendor_linear(8192, 4096, 4096, dtype="bfloat16")),
        with_backward(vendor_gru(32, 256, 256, 1024)),
        native_conv2d(8, 64, 28, 64, 3, padding=1, backward=True),
        native_linear(1024, 512, 1024, backward=True),
        native_gru(8, 32, 128, 128, backward=True),
        native_attention(16, 16, 64, 32, backward=True),
        *(optimizer_step(name, 2**25) for name in ("sgd", "momentum", "adam")),
    ]
    return Design(
        "lab-operators",
        tuple(map(on_cuda, rows)),
        min_repeats=1,
        max_repeats=3,
        target_rel_error=0.02,
        window_s=2.0,
        anchors=tuple(w.name for w in _ANCHORS),
        anchor_windows=4,
    )


def lab_development() -> Design:
    """B, first part: anchors, ten rows of A again, six networks in three configurations."""
    rows = tuple(map(on_cuda, (idle_workload(0), idle_workload(1), *_ANCHORS, *_AGAIN, *development_rows())))
    return replace(lab_operators(), name="lab-development", workloads=rows, window_s=4.0, anchor_windows=2)


def lab_sealed() -> Design:
    """B, second part: ten sealed networks with anchors. Every row is held out; a fit refuses the networks."""
    rows = (idle_workload(0), idle_workload(1), *_ANCHORS, *sealed_rows())
    return replace(lab_operators(), name="lab-sealed", workloads=rows, max_repeats=2, window_s=4.0, anchor_windows=2)


def smallest(design: Design, rows: int) -> Design:
    """The design's lightest rows, for a dry run of the real path on a machine without a GPU."""
    work = sorted((w for w in design.workloads if not w.is_idle), key=lambda w: w.counts().macs + w.counts().bytes)
    kept = {w.name for w in [w for w in work if not w.name.startswith(AWAKE_PREFIX)][:rows]}
    return replace(
        design,
        workloads=tuple(w for w in design.workloads if w.name in kept or w.is_idle),
        anchors=tuple(name for name in design.anchors if name in kept),
        window_s=0.2,
        max_repeats=1,
    )


def timed_operators() -> list[Workload]:
    """About two thousand operators to be timed without energy: what a law of durations is fitted to."""
    dtypes = ("float32", "float16", "bfloat16")
    sizes = (1, 16, 64, 128, 256, 1024, 4096, 8192)
    return [
        *(matmul(m, n, k, dtype=d)
          for d in dtypes for m in sizes for n in sizes[2:] for k in (64, 255, 512, 1024, 2048, 4096)),
        *(matvec(m, k, dtype=d) for d in dtypes for m in sizes[3:] for k in sizes[3:]),
        *(
            vendor_conv2d(n, c, h, o, k, padding=k // 2, dtype=d)
            for d in dtypes
            for n in (1, 8, 64)
            for c in (16, 64, 256)
            for o in (64, 256)
            for h in (7, 14, 28, 56)
            for k in (1, 3)
        ),
        *(
            vendor_conv2d(n, c, h, c, k, padding=k // 2, groups=c, dtype=d)
            for d in dtypes
            for n in (1, 32)
            for c in (96, 384)
            for h in (14, 56)
            for k in (3, 7)
        ),
        *(
            vendor_attention(b, 12, s, 64, causal=causal, dtype=d)
            for d in dtypes
            for b in (1, 8, 64)
            for s in (64, 256, 1024)
            for causal in (False, True)
        ),
        *(vendor_gru(t, b, h, h, dtype=d)
          for d in dtypes for t in (1, 16, 64) for b in (1, 32, 256) for h in (128, 1024)),
        *(
            make(2**n, dtype=d)
            for d in dtypes
            for n in range(8, 28)
            for make in (stream_add, stream_copy, stream_exp, stream_gelu)
        ),
        *(
            make(r, c, dtype=d)
            for d in dtypes
            for r in (64, 1024, 16384)
            for c in (64, 768, 4096)
            for make in (softmax, layer_norm)
        ),
        *(make(c, h, k, dtype=d) for d in dtypes for c in (64, 256) for h in (28, 112) for k in (3, 7)
          for make in (max_pool, avg_pool)),
    ]  # fmt: skip
