"""Instrumented kernels, written once in C++ and compiled twice: plain for measuring, counting for exact counts."""

from energybench.kernels.launch import CountedRun, attention, conv2d, counted_run, gru, probe_fma, probe_stream
from energybench.kernels.layers import avg_pool2d, gelu, layer_norm, linear, max_pool2d, relu, sigmoid, softmax, tanh
from energybench.kernels.native import default_threads, describe_native, openmp_runtimes, release_threads
from energybench.kernels.registry import KernelSpec, list_kernels
from energybench.kernels.tally import count

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
