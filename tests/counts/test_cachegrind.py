"""The counts of the scalar rungs against an independent machine: data references that cachegrind sees executed.

A kernel runs once and twice in two processes; the difference is one call, without start-up. Every counted load and
store must be seen. What another compiler may add: sizes and addresses that it spills or reloads once an output, never
inside the loop over k; the bound is four references an output (here the numbers are equal: 14861 reads, 77 writes).
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from energybench import kernels
from energybench.kernels import native

CSRC = Path(__file__).parents[2] / "csrc"
DRIVER = """
#include <cstdlib>
#include <vector>
#include "kernels/linear.h"
using Ops = eb::PlainOps;
int main(int, char** argv) {
  const eb::LinearShape s{7, 96, 11, 1};
  std::vector<float> x(s.M * s.K, 0.5f), w(s.N * s.K, 0.25f), b(s.N, 1.0f), y(s.M * s.N);
  Ops ops;
  const eb::LinearOperands<Ops, float> a{Ops::Activation<const float>(x.data()), Ops::Weight<const float>(w.data()),
                                         Ops::Weight<const float>(b.data()), Ops::Activation<float>(y.data())};
  for (int i = std::atoi(argv[1]); i > 0; --i) {
    for (eb::Index e = 0; e < s.M * s.N; ++e) eb::linear_forward_naive(ops, a, s, e / s.N, e % s.N);
    asm volatile("" ::: "memory");
  }
}
"""


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


def test_cachegrind_sees_the_counted_loads_and_stores(tmp_path):
    if shutil.which("valgrind") is None:
        pytest.skip("no valgrind")
    source, program = tmp_path / "driver.cpp", tmp_path / "driver"
    source.write_text(DRIVER)
    flags = [flag for flag in native.cpu().compile_flags.split() if "-fsanitize" not in flag]
    subprocess.run(["g++", "-std=c++17", *flags, f"-I{CSRC}", source, "-o", program], check=True)
    once, twice = (data_references(program, calls, tmp_path) for calls in (1, 2))
    reads, writes = twice[0] - once[0], twice[1] - once[1]

    x, w, b = np.ones((7, 96), "float32"), np.ones((11, 96), "float32"), np.ones(11, "float32")
    counts = kernels.count("linear", x, w, b, variant="naive", basis="issued")
    assert counts.loads <= reads <= counts.loads + 4 * counts.stores
    assert counts.stores <= writes <= counts.stores * 5
