"""The counts of the scalar rungs against an independent machine: data references that cachegrind sees executed.

A kernel runs once and twice in two processes; the difference is one call, without start-up. Every counted load and
store must be seen. What another compiler may add: sizes and addresses that it spills or reloads once an output or a
row, never inside the innermost loop; the bound is four references an output (the linear layer adds none: 14861 reads,
77 writes). A call into the C library's mathematics reads its tables and saves its arguments: 24 references each. The
GRU makes three for each state (two exponentials, one hyperbolic tangent; 38 reads and 9 writes were seen), attention
here one for 32 outputs. An optimiser step writes one to three outputs for each parameter and reads the step size and
the like, which are no loads, from memory: 1 to 1.7 reads, of 2.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from energybench import kernels
from energybench.kernels import native

CSRC = Path(__file__).parents[2] / "csrc"
DRIVER = """
#include <cstdlib>
#include <vector>
#include "kernels/attention.h"
#include "kernels/conv.h"
#include "kernels/elementwise.h"
#include "kernels/gru.h"
#include "kernels/linear.h"
#include "kernels/norm.h"
#include "kernels/pointwise.h"
#include "kernels/pool.h"
#include "kernels/softmax.h"
using namespace eb;
using Ops = PlainOps;
using In = Ops::Activation<const float>;
using Weights = Ops::Weight<const float>;
using Out = Ops::Activation<float>;
int main(int argc, char** argv) {
  const Index one = argc - 1;  // a size that the compiler does not know unrolls no loop and keeps no row in registers
  std::vector<float> x(4096, 0.5f), w(4096, 0.25f), b(4096, 1.0f), y(4096);
  const In X(x.data());
  const In X2(w.data()), X3(b.data());
  const Weights W(w.data()), B(b.data()), no_weights(nullptr);
  const Out Y(y.data());
  const Out Y2 = Y.at(1200), Y3 = Y.at(2400), nowhere(nullptr);
  const Ops::Parameter<float> p(0.5);
  Ops ops;
  for (int i = std::atoi(argv[1]); i > 0; --i) {
    %s
    (void)one;
    asm volatile("" ::: "memory");
  }
}
"""

#: References beyond those counted, at most: of an output, and of a call into the C library.
_OUTPUT, _CALL = 4, 24
#: Kernel → the loops over its body, its arrays' shapes and options, and the references for each output not counted.
FAMILIES: dict[str, tuple[str, list[tuple[int, ...]], dict[str, Any], float]] = {
    "linear": (
        """const LinearShape s{7, 96, 11, 1};
        const LinearOperands<Ops, float> a{X, W, B, Y};
        for (Index e = 0; e < s.M * s.N; ++e) linear_forward_naive(ops, a, s, e / s.N, e % s.N);""",
        [(7, 96), (11, 96), (11,)],
        {},
        _OUTPUT,
    ),
    "conv2d": (
        """const ConvShape s{1, 3, 9, 8, 4, 3, 3, 1, 1, 0, 0, 1, 1, 1, 1, 0};
        const ConvOperands<Ops, float> a{X, W, B, Y};
        for (Index c = 0; c < 4; ++c)
          for (Index h = 0; h < 7; ++h)
            for (Index v = 0; v < 6; ++v) conv2d_forward_naive(ops, a, s, 0, c, h, v);""",
        [(1, 3, 9, 8), (4, 3, 3, 3), (4,)],
        {},
        _OUTPUT,
    ),
    "relu": (
        """const PointwiseOperands<Ops, float> a{X, Y};
        for (Index e = 0; e < 1000; ++e) pointwise_forward_naive<Relu>(ops, a, e);""",
        [(1000,)],
        {},
        _OUTPUT,
    ),
    "softmax": (
        """const RowShape s{5, 100, 0, 0, 0};
        const SoftmaxOperands<Ops, float> a{X, Y};
        for (Index r = 0; r < 5; ++r) softmax_forward_naive(ops, a, s, r);""",
        [(5, 100)],
        {},
        _OUTPUT + _CALL,
    ),
    "layer_norm": (
        """const RowShape s{5, 100, 1, 1, 0};
        const Ops::Parameter<float> n(100), e(1e-5);
        const LayerNormOperands<Ops, float> a{X, W, B, Y, Out(nullptr), Out(nullptr), n, e};
        for (Index r = 0; r < 5; ++r) layer_norm_forward_naive(ops, a, s, r);""",
        [(5, 100), (100,), (100,)],
        {},
        _OUTPUT,
    ),
    "max_pool2d": (
        """const PoolShape s{1, 3, 12, 12, 3, 3, 3, 3, 0, 0, 1, 1, 0};
        const PoolOperands<Ops, float> a{X, Y, Ops::Activation<std::int64_t>(nullptr), Ops::Parameter<float>(9)};
        for (Index c = 0; c < 3; ++c)
          for (Index h = 0; h < 4; ++h)
            for (Index v = 0; v < 4; ++v) pool2d_forward_naive<MaxPool>(ops, a, s, c, h, v);""",
        [(1, 3, 12, 12)],
        {"kernel_size": 3},
        _OUTPUT,
    ),
    "gru": (
        """const GruShape s{3, 2, 20, 12, 1, 0, 0, 0};
        const GruOperands<Ops, float> a{X, X3, W, W, B, B, no_weights, no_weights, no_weights, no_weights,
                                        Y, Y2, nowhere, nowhere};
        for (Index t = 0; t < 3; ++t)
          for (Index e = 0; e < 24; ++e) gru_forward_naive(ops, a, s, t, e / 12, e % 12);""",
        [(3, 2, 20), (2, 12), (36, 20), (36, 12), (36,), (36,)],
        {},
        _OUTPUT + 3 * _CALL,
    ),
    "attention": (
        """const AttentionShape s{1, 1, 9, 8 * one, 256 * one, 0};
        const AttentionOperands<Ops, float> a{X, X2, X3, Y, p};
        for (Index i = 0; i < 9; ++i) attention_forward_naive(ops, a, s, Y3, 0, i);""",
        [(1, 1, 9, 256), (1, 1, 8, 256), (1, 1, 8, 256)],
        {},
        _OUTPUT + 8 * _CALL / 256,
    ),
    "sgd_step": (
        """const ElementwiseOperands<Ops, float> o{W, X, X, X, Y, Y, Y, p, p, p, p, p, p, p};
        for (Index e = 0; e < 1000; ++e) SgdStep<false>::at<float>(ops, o, OneByOne{}, e);""",
        [(1000,), (1000,)],
        {"lr": 0.5},
        2,
    ),
    "momentum_step": (
        """const ElementwiseOperands<Ops, float> o{W, X, X3, X, Y, Y2, Y, p, p, p, p, p, p, p};
        for (Index e = 0; e < 1000; ++e) MomentumStep<true>::at<float>(ops, o, OneByOne{}, e);""",
        [(1000,), (1000,), (1000,)],
        {"lr": 0.5, "momentum": 0.5, "weight_decay": 0.5},
        2,
    ),
    "adam_step": (
        """const ElementwiseOperands<Ops, float> o{W, X, X3, X3, Y, Y2, Y3, p, p, p, p, p, p, p};
        for (Index e = 0; e < 1000; ++e) AdamStep<false>::at<float>(ops, o, OneByOne{}, e);""",
        [(1000,)] * 4,
        {"lr": 0.5, "step": 1},
        2,
    ),
}


def data_references(program, calls, folder):
    out = folder / f"references.{calls}"
    command = ["valgrind", "--tool=cachegrind", "--cache-sim=yes", f"--cachegrind-out-file={out}", program, str(calls)]
    # what is loaded into every process (make sanitize) does not go with valgrind
    environment = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    text = out.read_text()
    names = re.search(r"^events: (.*)$", text, re.MULTILINE)
    totals = re.search(r"^summary: (.*)$", text, re.MULTILINE)
    assert names
    assert totals
    by_name = dict(zip(names[1].split(), map(int, totals[1].split()), strict=True))
    return by_name["Dr"], by_name["Dw"]


@pytest.mark.parametrize("kernel", FAMILIES)
def test_cachegrind_sees_the_counted_loads_and_stores(kernel, tmp_path):
    if shutil.which("valgrind") is None:
        pytest.skip("no valgrind")
    loops, shapes, options, beyond = FAMILIES[kernel]
    source, program = tmp_path / "driver.cpp", tmp_path / "driver"
    source.write_text(DRIVER % loops)
    flags = [flag for flag in native.cpu().compile_flags.split() if "-fsanitize" not in flag]
    # one number a reference: a vector's load would be one for eight numbers
    flags += ["-fno-tree-vectorize", "-fno-tree-slp-vectorize", "-fno-tree-loop-distribute-patterns"]
    subprocess.run(["g++", "-std=c++17", *flags, f"-I{CSRC}", source, "-o", program], check=True)
    once, twice = (data_references(program, times, tmp_path) for times in (1, 2))
    reads, writes = twice[0] - once[0], twice[1] - once[1]

    arrays = [np.ones(shape, "float32") for shape in shapes]
    counts = kernels.count(kernel, *arrays, variant="naive", basis="issued", **options)
    outputs = kernels.count(kernel, *arrays, variant="naive", **options).stores
    slack = outputs * beyond
    assert counts.loads <= reads <= counts.loads + slack
    assert counts.stores <= writes <= counts.stores + slack
