"""Instrumented kernels, written once in C++ and compiled twice: plain for measuring, counting for exact counts."""

from energybench.kernels.counted import CountedRun, count, counted_run
from energybench.kernels.families.attention import attention
from energybench.kernels.families.conv import conv2d
from energybench.kernels.families.gru import gru
from energybench.kernels.families.linear import linear
from energybench.kernels.families.pointwise import gelu, relu, sigmoid, tanh
from energybench.kernels.families.pool import avg_pool2d, max_pool2d
from energybench.kernels.families.probes import probe_fma, probe_stream
from energybench.kernels.families.rows import layer_norm, softmax
from energybench.kernels.native import (
    default_threads,
    describe_native,
    instruction_sets,
    openmp_runtimes,
    release_threads,
)
from energybench.kernels.registry import KernelSpec, list_kernels

__all__ = [
    "CountedRun",
    "KernelSpec",
    "attention",
    "avg_pool2d",
    "conv2d",
    "count",
    "counted_run",
    "default_threads",
    "describe_native",
    "gelu",
    "gru",
    "instruction_sets",
    "layer_norm",
    "linear",
    "list_kernels",
    "max_pool2d",
    "openmp_runtimes",
    "probe_fma",
    "probe_stream",
    "release_threads",
    "relu",
    "sigmoid",
    "softmax",
    "tanh",
]
