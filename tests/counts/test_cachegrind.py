"""The counts of the scalar rungs against an independent machine: data references that cachegrind sees executed.

A kernel runs once and twice in two processes; the difference is one call, without start-up. Every counted load and
store must be seen. What another compiler may add: sizes and addresses that it spills or reloads once an output or a
row, never inside the innermost loop; the bound is four references an output (the linear layer adds none: 14861 reads,
77 writes). A call into the C library's mathematics reads its tables and saves its arguments: 24 references each.
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
#include "kernels/conv.h"
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
int main(int, char** argv) {
  std::vector<float> x(4096, 0.5f), w(4096, 0.25f), b(4096, 1.0f), y(4096);
  const In X(x.data());
  const Weights W(w.data()), B(b.data());
  const Out Y(y.data());
  Ops ops;
  for (int i = std::atoi(argv[1]); i > 0; --i) {
    %s
    asm volatile("" ::: "memory");
  }
}
"""

#: Kernel → the loops over its body, its arrays' shapes and options, and calls into the C library for each element.
FAMILIES: dict[str, tuple[str, list[tuple[int, ...]], dict[str, Any], int]] = {
    "linear": (
        """const LinearShape s{7, 96, 11, 1};
        const LinearOperands<Ops, float> a{X, W, B, Y};
        for (Index e = 0; e < s.M * s.N; ++e) linear_forward_naive(ops, a, s, e / s.N, e % s.N);""",
        [(7, 96), (11, 96), (11,)],
        {},
        0,
    ),
    "conv2d": (
        """const ConvShape s{1, 3, 9, 8, 4, 3, 3, 1, 1, 0, 0, 1, 1, 1, 1, 0};
        const ConvOperands<Ops, float> a{X, W, B, Y};
        for (Index c = 0; c < 4; ++c)
          for (Index h = 0; h < 7; ++h)
            for (Index v = 0; v < 6; ++v) conv2d_forward_naive(ops, a, s, 0, c, h, v);""",
        [(1, 3, 9, 8), (4, 3, 3, 3), (4,)],
        {},
        0,
    ),
    "relu": (
        """const PointwiseOperands<Ops, float> a{X, Y};
        for (Index e = 0; e < 1000; ++e) pointwise_forward_naive<Relu>(ops, a, e);""",
        [(1000,)],
        {},
        0,
    ),
    "softmax": (
        """const RowShape s{5, 100, 0, 0, 0};
        const SoftmaxOperands<Ops, float> a{X, Y};
        for (Index r = 0; r < 5; ++r) softmax_forward_naive(ops, a, s, r);""",
        [(5, 100)],
        {},
        1,
    ),
    "layer_norm": (
        """const RowShape s{5, 100, 1, 1, 0};
        const Ops::Parameter<float> n(100), e(1e-5);
        const LayerNormOperands<Ops, float> a{X, W, B, Y, Out(nullptr), Out(nullptr), n, e};
        for (Index r = 0; r < 5; ++r) layer_norm_forward_naive(ops, a, s, r);""",
        [(5, 100), (100,), (100,)],
        {},
        0,
    ),
    "max_pool2d": (
        """const PoolShape s{1, 3, 12, 12, 3, 3, 3, 3, 0, 0, 1, 1, 0};
        const PoolOperands<Ops, float> a{X, Y, Ops::Activation<std::int64_t>(nullptr), Ops::Parameter<float>(9)};
        for (Index c = 0; c < 3; ++c)
          for (Index h = 0; h < 4; ++h)
            for (Index v = 0; v < 4; ++v) pool2d_forward_naive<MaxPool>(ops, a, s, c, h, v);""",
        [(1, 3, 12, 12)],
        {"kernel_size": 3},
        0,
    ),
}
#: References of a call into the C library, at most.
_CALL = 24


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
    loops, shapes, options, calls = FAMILIES[kernel]
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
    slack = outputs * (4 + calls * _CALL)
    assert counts.loads <= reads <= counts.loads + slack
    assert counts.stores <= writes <= counts.stores + slack
