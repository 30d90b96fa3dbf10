"""Instrumented kernels, written once in C++ and compiled twice: plain for measuring, counting for exact counts."""

from energybench.kernels.compositions import (
    causal_conv1d,
    embed_positions,
    feed_forward,
    inception,
    multi_head_attention,
    padded_conv2d,
    separable_conv2d,
)
from energybench.kernels.counted import CountedRun, count, counted_run
from energybench.kernels.families.attention import attention, attention_backward, online_attention
from energybench.kernels.families.batch_norm import BatchNorm, batch_norm, batch_norm_backward
from energybench.kernels.families.conv import conv2d, conv2d_backward
from energybench.kernels.families.conv1d import conv1d, conv1d_backward
from energybench.kernels.families.conv_nhwc import conv2d_nhwc
from energybench.kernels.families.copies import (
    concat_channels,
    embedding,
    merge_heads,
    nchw_to_nhwc,
    nhwc_to_nchw,
    pad2d,
    pad2d_backward,
    split_heads,
)
from energybench.kernels.families.dropout import dropout, dropout_backward
from energybench.kernels.families.gru import GruGradients, gru, gru_backward
from energybench.kernels.families.linear import linear, linear_backward
from energybench.kernels.families.losses import cross_entropy, cross_entropy_backward
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
from energybench.kernels.prepared import prepare
from energybench.kernels.registry import KernelSpec, list_kernels
from energybench.kernels.repeat import PreparedCall

__all__ = [
    "BatchNorm",
    "CountedRun",
    "GruGradients",
    "KernelSpec",
    "PreparedCall",
    "adam_step",
    "add",
    "attention",
    "attention_backward",
    "avg_pool2d",
    "avg_pool2d_backward",
    "batch_norm",
    "batch_norm_backward",
    "causal_conv1d",
    "concat_channels",
    "conv1d",
    "conv1d_backward",
    "conv2d",
    "conv2d_backward",
    "conv2d_nhwc",
    "count",
    "counted_run",
    "cross_entropy",
    "cross_entropy_backward",
    "default_threads",
    "describe_native",
    "dropout",
    "dropout_backward",
    "embed_positions",
    "embedding",
    "feed_forward",
    "gelu",
    "gelu_backward",
    "gru",
    "gru_backward",
    "inception",
    "instruction_sets",
    "layer_norm",
    "layer_norm_backward",
    "leaky_relu",
    "leaky_relu_backward",
    "linear",
    "linear_backward",
    "list_kernels",
    "log_softmax",
    "log_softmax_backward",
    "max_pool2d",
    "max_pool2d_backward",
    "merge_heads",
    "momentum_step",
    "multi_head_attention",
    "nchw_to_nhwc",
    "nhwc_to_nchw",
    "online_attention",
    "openmp_runtimes",
    "pad2d",
    "pad2d_backward",
    "padded_conv2d",
    "pointer_cycle",
    "positional_encoding",
    "prepare",
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
    "separable_conv2d",
    "sgd_step",
    "sigmoid",
    "sigmoid_backward",
    "sinusoids",
    "softmax",
    "softmax_backward",
    "split_heads",
    "tanh",
    "tanh_backward",
]
