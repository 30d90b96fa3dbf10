"""The tuned rungs cost nothing for being counted: opaque and bare vectors compile to the same work."""

import platform
import re

import pytest

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="reads x86-64 instructions")

RUNGS = ("blocked", "avx2", "avx512")
KERNELS = ("gemm_tile", "linear_dots", "linear_rows", "nhwc_depthwise")
#: Rung → multiply-adds of the matrix product's inner loop and the register they work on.
INNER = {"blocked": (12, "%xmm"), "avx2": (12, "%ymm"), "avx512": (24, "%zmm")}


def same_work(one, other):
    """Whether two histograms differ by no more than the tails that a compiler may keep twice: 3 %, rounded down."""
    zeroing = {"vxorps", "vpxor"}
    return all(abs(one[m] - other[m]) <= 0.03 * min(one[m], other[m]) for m in {*one, *other} - zeroing)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("rung", RUNGS)
def test_arithmetic_is_the_same_over_opaque_and_bare_types(tuned_instructions, arithmetic, rung, kernel):
    plain, raw = (tuned_instructions(rung, policy, 0)[kernel] for policy in ("eb::PlainOps", "RawOps"))
    assert sum(arithmetic(plain).values()) > 0
    assert same_work(arithmetic(plain), arithmetic(raw))
    # moves and address arithmetic are the allocator's choice, but being opaque must not add to them
    assert len(plain) <= 1.05 * len(raw)
    assert not same_work(arithmetic(plain), arithmetic(tuned_instructions(rung, "eb::PlainOps", 1)[kernel]))


def straight_runs(lines):
    """Runs of instructions without a jump among them; an inner loop's body is one."""
    body: list[str] = []
    for line in [*lines, "ret"]:
        if re.match(r"(j\w+|ret|call)\b", line):
            yield body
            body = []
        else:
            body.append(line)


@pytest.mark.parametrize("rung", RUNGS)
def test_inner_loop_of_the_matrix_product_has_its_macs_and_no_spill(tuned_instructions, rung):
    macs, register = INNER[rung]
    runs = [
        body
        for body in straight_runs(tuned_instructions(rung, "eb::PlainOps", 0)["gemm_tile"])
        if sum(line.startswith("vfmadd") for line in body) == macs
    ]
    assert runs, "no run of instructions holds the tile's multiply-adds"
    for body in runs:
        fused = [line for line in body if line.startswith("vfmadd")]
        assert all(register in line for line in fused)
        first, last = body.index(fused[0]), body.index(fused[-1])
        assert not [line for line in body[first : last + 1] if "(%rsp)" in line or "(%rbp)" in line]
