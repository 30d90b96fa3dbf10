"""Instrumented kernels, written once in C++ and compiled twice: plain for measuring, counting for exact counts."""

from energybench.kernels.counted import CountedRun, count, counted_run
from energybench.kernels.families.attention import attention
from energybench.kernels.families.conv import conv2d
from energybench.kernels.families.gru import gru
from energybench.kernels.families.linear import linear
from energybench.kernels.families.optimisers import adam_step, momentum_step, sgd_step
from energybench.kernels.families.pointwise import (
    add,
    gelu,
    gelu_backward,
    leaky_relu,
    leaky_relu_backward,
    positional_encoding,
    relu,
    relu_backward,
    sigmoid,
    sigmoid_backward,
    sinusoids,
    tanh,
    tanh_backward,
)
from energybench.kernels.families.pool import avg_pool2d, avg_pool2d_backward, max_pool2d, max_pool2d_backward
from energybench.kernels.families.probes import (
    pointer_cycle,
    probe_chase,
    probe_fma,
    probe_intensity,
    probe_launch,
    probe_read,
    probe_special,
    probe_stream,
    probe_write,
)
from energybench.kernels.families.rows import (
    layer_norm,
    layer_norm_backward,
    log_softmax,
    log_softmax_backward,
    softmax,
    softmax_backward,
)
from energybench.kernels.native import (
    default_threads,
    describe_native,
    instruction_sets,
    openmp_runtimes,
    release_threads,
    release_workspace,
)
from energybench.kernels.registry import KernelSpec, list_kernels

__all__ = [
    "CountedRun",
    "KernelSpec",
    "adam_step",
    "add",
    "attention",
    "avg_pool2d",
    "avg_pool2d_backward",
    "conv2d",
    "count",
    "counted_run",
    "default_threads",
    "describe_native",
    "gelu",
    "gelu_backward",
    "gru",
    "instruction_sets",
    "layer_norm",
    "layer_norm_backward",
    "leaky_relu",
    "leaky_relu_backward",
    "linear",
    "list_kernels",
    "log_softmax",
    "log_softmax_backward",
    "max_pool2d",
    "max_pool2d_backward",
    "momentum_step",
    "openmp_runtimes",
    "pointer_cycle",
    "positional_encoding",
    "probe_chase",
    "probe_fma",
    "probe_intensity",
    "probe_launch",
    "probe_read",
    "probe_special",
    "probe_stream",
    "probe_write",
    "release_threads",
    "release_workspace",
    "relu",
    "relu_backward",
    "sgd_step",
    "sigmoid",
    "sigmoid_backward",
    "sinusoids",
    "softmax",
    "softmax_backward",
    "tanh",
    "tanh_backward",
]
