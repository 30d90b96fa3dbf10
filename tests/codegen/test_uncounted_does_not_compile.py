"""An operation that the policy does not tally must not compile: drift between work and count is a compile error."""

import os
import re
import subprocess

import pytest

from energybench.kernels import native

BODY = """
#include "common/ops.h"
#include "kernels/conv.h"
using namespace eb;

template <class Ops>
EB_HD void body(Ops& ops, typename Ops::template Activation<const float> x, typename Ops::template Activation<float> y,
                Parameter<float> p, float run_time, Index i, const RandomBlock& numbers) {{
  auto a = ops.load(x, i);
  auto b = ops.load(x, i + 1);
  auto v = ops.load(Lanes<8>{{}}, x, i);
  auto d = ops.template negative_infinity<double>();
  {statement}
  (void)a; (void)b; (void)v; (void)d; (void)p; (void)run_time; (void)y; (void)numbers;
}}
template void body<{policy}>({policy}&, {policy}::Activation<const float>, {policy}::Activation<float>,
                             Parameter<float>, float, Index, const RandomBlock&);
"""

ALLOWED = "ops.store(y, i, ops.mac(a, b, ops.add(ops.mul(a, ops.parameter(p)), ops.sum(ops.mac(v, v, v)))));"

#: what: (statement, what the compiler must say about it)
FORBIDDEN = {
    "a product": ("ops.store(y, i, a * b);", r"no match for 'operator\*'"),
    "a sum": ("ops.store(y, i, a + b);", r"no match for 'operator\+'"),
    "an update in place": ("a += b;", r"no match for 'operator\+='"),
    "a negation": ("a = -a;", r"no match for 'operator-'"),
    "a comparison": ("if (a < b) ops.store(y, i, a);", "no match for 'operator<'"),
    "a sum of vectors": ("v = v + v;", r"no match for 'operator\+'"),
    "a lane of a vector": ("run_time = v[0];", r"no match for 'operator\[\]'"),
    "reading memory by index": ("run_time = x[i];", r"no match for 'operator\[\]'"),
    "reading memory by pointer": ("run_time = *x;", r"no match for 'operator\*'"),
    "writing memory": ("*y.address_ = run_time;", "is private within this context"),
    "taking the address": ("const float* raw = x; run_time = raw[0];", "cannot convert"),
    "arithmetic on pointers": ("run_time = *(x + i);", r"no match for 'operator\+'"),
    "reading a scalar": ("run_time = a.value_;", "is private within this context"),
    "converting a scalar": ("run_time = static_cast<float>(a);", "invalid .*'?static_cast'?"),
    "a scalar from a run-time number": ("a = Scalar<float>(run_time * 2);", "is private within this context"),
    "a run-time number as an operand": ("a = ops.mul(a, run_time);", "no matching function for call to"),
    "a run-time number as a constant": ("a = ops.constant(run_time);", "no matching function for call to"),
    "a number in a verb's place": ("ops.store(y, i, 1.0f);", "no matching function for call to"),
    "mixed element types": ("ops.store(y, i, ops.add(a, d));", "no matching function for call to"),
    "a library function": ("a = sqrtf(a);", "cannot convert"),
    "writing through a constant": (
        "ops.store(x, i, a);",
        "no matching function for call to|read-only|deduced conflict",
    ),
    "a random word as a number": ("a = ops.mul(a, numbers.word[0]);", "no matching function for call to"),
    "a random word as a scalar": ("a = Scalar<float>(numbers.word[0]);", "is private within this context"),
    "reading a parameter": ("run_time = p.value_;", "is private within this context"),
    "peeping at the tally": ("run_time = sizeof(ops.tally_);", "is private within this context"),
}


@pytest.fixture(scope="module")
def compile_body(gxx, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bodies")

    def syntax(statement, policy, compiler=None):
        source = folder / ("body.cpp" if compiler is None else "body.cu")
        source.write_text(BODY.format(statement=statement, policy=policy), encoding="utf-8")
        if compiler is None:
            flags = ["-fsyntax-only", "-Wall", "-Wextra", "-Werror", *native.cpu().compile_flags.split()]
        else:
            flags = ["-cuda", "-o", folder / "out"]
        environment = {**os.environ, "LC_ALL": "C"}  # messages in English
        command = [*(compiler or gxx), *flags, source]
        return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)

    return syntax


@pytest.mark.parametrize("policy", ["PlainOps", "CountingOps"])
def test_counted_operations_compile(compile_body, policy):
    result = compile_body(ALLOWED, policy)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("what", FORBIDDEN)
def test_uncounted_operation_does_not_compile(compile_body, what):
    statement, message = FORBIDDEN[what]
    result = compile_body(statement, "PlainOps")
    assert result.returncode != 0, f"{what} compiles: {statement}"
    errors = "\n".join(line for line in result.stderr.splitlines() if "error:" in line)
    assert re.search(message, errors), f"{what} fails for another reason:\n{errors}"


@pytest.mark.cuda_build
def test_device_code_refuses_it_too(compile_body, nvcc):
    assert compile_body(ALLOWED, "CountingOps", nvcc).returncode == 0
    refused = compile_body("ops.store(y, i, a * b);", "CountingOps", nvcc)
    assert refused.returncode != 0
    assert "no operator" in refused.stderr + refused.stdout
