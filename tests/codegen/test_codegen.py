"""The plain instantiation costs nothing: on CUDA it is the code over bare numbers, and on the CPU like code by hand.

On the CPU every kernel is compared with its twin in test_twins.py.
"""

import platform

import pytest

KERNELS = (
    "conv2d_forward_naive",
    "gru_forward_naive",
    "attention_forward_naive",
    "linear_forward_naive",
    "softmax_forward_naive",
    "layer_norm_forward_naive",
    "gelu_forward_naive",
    "max_pool2d_forward_naive",
)


@pytest.fixture(scope="module")
def cuda_twins(cubin_text):
    return {(policy, extra): cubin_text(policy, extra) for policy in ("eb::PlainOps", "RawOps") for extra in (0, 1)}


@pytest.mark.cuda_build
@pytest.mark.parametrize("kernel", KERNELS)
def test_cuda_text_is_identical_over_opaque_and_bare_types(cuda_twins, kernel):
    plain, raw = cuda_twins["eb::PlainOps", 0][kernel], cuda_twins["RawOps", 0][kernel]
    assert len(plain) > 256
    assert plain == raw
    # the comparison can fail: one more multiplication changes the text
    assert plain != cuda_twins["eb::PlainOps", 1][kernel]
    assert raw != cuda_twins["RawOps", 1][kernel]


@pytest.fixture(scope="module")
def plain(instructions):
    return instructions("eb::PlainOps", 0)


def test_cpu_convolution_does_the_arithmetic_of_the_one_by_hand(plain, arithmetic):
    fused, by_hand = (
        {m: n for m, n in arithmetic(plain[name]).items() if m != "vxorps"}  # vxorps makes the zero
        for name in ("conv2d_forward_naive", "conv2d_by_hand")
    )
    assert fused == by_hand


@pytest.mark.skipif(platform.machine() != "x86_64", reason="reads AVX2 instructions")
def test_fma_probe_runs_one_instruction_for_each_counted_vector_mac(plain):
    lines = plain["probe_fma"]
    macs = [line for line in lines if line.startswith(("vfmadd", "vfnmadd"))]
    # 14 MACs on eight lanes a round: all of them vectors, none split, doubled or moved out of the loop, no spill
    assert len(macs) == 14
    assert all(line.split()[0].endswith("ps") and line.count("%ymm") == 3 for line in macs)
    first, last = lines.index(macs[0]), lines.index(macs[-1])
    assert not [line for line in lines[first:last] if "(%rsp)" in line or "(%rbp)" in line]
